"""The bench of HTTP does its job in miniature: both ways say the same, and what is counted is right."""

import httpx
import pytest

from bench import bare, http, streams
from bench.seed import leases, pinged
from rollcall import log

FEW = 40


@pytest.fixture(autouse=True)
def _quiet() -> None:
    log.setup("critical")


async def test_the_limit_answers_as_the_gateway_does() -> None:
    async with http.reading() as (ours, limit), httpx.AsyncClient() as client:
        for path in http.READS.values():
            answer = await client.get(ours + path, headers={"authorization": f"Bearer {http.TOKEN}"})
            assert answer.status_code == 200
            assert answer.content == (await client.get(limit + path)).content
            assert await http.asked(limit, path, FEW) > 0


async def test_what_is_refused_is_no_figure() -> None:
    async with http.door() as on:
        leases(on.path, 1)
        pinged(on.path)
        async with bare.served(on.path) as url:
            with pytest.raises(RuntimeError, match="40 of 40"):
                await http.asked(url, "/api/v1/nothing", FEW)


async def test_each_agent_acknowledges_once_by_its_own_token() -> None:
    assert await http.acknowledged(FEW) > 0


async def test_every_stream_hears_every_change() -> None:
    late_ms, lost = await streams.lateness(3, 2)
    assert lost == 0
    assert len(late_ms) == 6
    assert min(late_ms) > 0
