"""What passes over the bus: to operators as it is said, to nobody else, and never more than can be read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from contracts.subjects import ROOT
from services.gateway import traffic
from tests.gateway.web import Web, open_web


@asynccontextmanager
async def tapped(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Listen; yields what each frame says."""
    async with client.stream("GET", "/bus") as answer:
        assert answer.status_code == 200, await answer.aread()
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry")

        async def said() -> AsyncIterator[dict[str, Any]]:
            async for line in lines:
                if line.startswith("data: "):
                    yield json.loads(line[6:])

        with anyio.fail_after(20):
            yield said()


async def test_pings_answers_and_what_became_of_them_are_heard_in_full(web: Web) -> None:
    reader = await web.caller("read_only")
    async with tapped(reader) as said:
        _, lease = await web.world.given("ann")
        await web.world.settle()
        ping = await anext(said)
        assert ping["subject"] == f"{ROOT}.ping.ann.{lease.id}"
        assert ping["data"]["attempt"] == 1
        await web.world.leaves("ann", "ack", lease, session="private")
        await web.world.settle()
        heard = [await anext(said) for _ in range(2)]
    by = {one["subject"].split(".")[2]: one["data"] for one in heard}
    assert set(by) <= {"ack", "answer", "ping"}
    assert by["ack"]["kind"] == "ack"
    assert "private" not in json.dumps(heard)


async def test_an_agent_hears_nothing_of_others(web: Web) -> None:
    await web.world.agent("ann")
    caller = await web.caller("agent", agent="ann")
    assert (await caller.get("/bus")).status_code == 403


async def test_a_session_is_shown_to_nobody(web: Web) -> None:
    """It is what an agent tells its life from an older one by: whoever looks has no use of it."""
    await web.world.agent("ann")
    await web.world.asks("ann", "agent.join", session="private")
    await web.world.raw("cmd.machine.box.join", b'{"session":"private"}')
    admin, reader = await web.client(), await web.caller("read_only")
    for client in (admin, reader):
        for path in ("/agents", "/agents/ann", "/machines", "/audit"):
            shown = await client.get(path)
            assert shown.status_code == 200
            assert "private" not in shown.text, path


async def test_who_reads_too_slowly_is_told_how_much_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "QUEUE_MAX", 3)
    monkeypatch.setattr(traffic, "LISTENERS_MAX", 1)
    async with open_web(tmp_path) as web:
        operator, other = await web.caller("operator"), await web.caller("operator")
        async with tapped(operator) as said:
            assert (await other.get("/bus")).status_code == 429
            for number in range(50):
                await web.world.bus.publish(f"{ROOT}.notice.ann.{number}", b"not json" if number else b"[1]")
            heard = [await anext(said)]
            while "missed" not in heard[-1]:
                heard.append(await anext(said))
    assert heard[0]["data"] == {"bytes": 3}
    shown = [one for one in heard if "subject" in one]
    assert len(shown) >= 3
    assert heard[-1]["missed"] > 0


async def test_one_token_cannot_take_the_places_of_others(web: Web) -> None:
    operator, other = await web.caller("operator"), await web.caller("operator")
    async with AsyncExitStack() as open_ones:
        for _ in range(traffic.LISTENERS_EACH):
            await open_ones.enter_async_context(tapped(operator))
        assert (await operator.get("/bus")).status_code == 429
        await open_ones.enter_async_context(tapped(other))


async def test_a_stream_ends_with_its_token(web: Web) -> None:
    operator = await web.caller("operator", name="olga")
    async with tapped(operator) as said:
        await web.world.operator("token.revoke", name="olga")
        await web.world.forward(seconds=5)  # a token that was just looked up counts for a moment
        assert [one async for one in said] == []
