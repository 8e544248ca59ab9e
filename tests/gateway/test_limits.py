"""Too many, too slow, too much: refused or cut, and nobody else feels it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import tokens
from services.gateway import Listening, connection, waiting
from services.gateway.rates import FAILURES, WINDOW_S, Rates
from tests.gateway.web import FIXED, Web, open_web

BURST = 10_000


@given(st.lists(st.floats(0, 100), max_size=200), st.integers(1, 50))
def test_nobody_gets_more_than_its_share(pauses: list[float], limit: int) -> None:
    rates = Rates(limit)
    now, allowed = 0.0, 0
    for pause in pauses:
        now += pause
        left = rates.take("x", now)
        allowed += left.allowed
        assert 0 <= left.remaining <= limit
        assert left.retry_s >= 1
        assert 0 <= left.reset_s <= WINDOW_S + 1
    assert allowed <= limit + now * limit / WINDOW_S + 1


def test_only_so_many_are_kept_however_many_come() -> None:
    rates = Rates(10, buckets_max=100)
    for number in range(10_000):
        rates.take(str(number), 0.0)
    assert len(rates) == 100


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    rates = Rates(2)
    assert rates.take("x", 100.0).remaining == 1
    assert rates.take("x", 50.0).remaining == 0


async def test_what_is_left_is_said(web: Web) -> None:
    admin = await web.client()
    first = await admin.get("/tasks")
    assert first.headers["ratelimit-policy"] == '"default";q=6000;w=60'
    assert first.headers["ratelimit"].startswith('"default";r=5999;t=')


async def test_a_burst_of_one_is_refused_and_another_is_served(tmp_path: Path) -> None:
    listening = Listening(fixed=tokens.digest(FIXED), per_minute=100)
    async with open_web(tmp_path, listening) as web:
        admin, other = await web.client(), await web.caller("read_only")
        statuses: list[int] = []

        async def ask(count: int) -> None:
            statuses.extend([(await admin.get("/tasks")).status_code for _ in range(count)])

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask, 40)
        assert set(statuses) == {200, 429}
        assert 100 <= statuses.count(200) < 320
        while (refused := await admin.get("/tasks")).status_code == 200:  # it fills a little meanwhile
            pass
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
        assert (await other.get("/tasks")).status_code == 200


async def test_ten_thousand_requests_at_once(web: Web) -> None:
    """Pipelined on a few connections: 429 after its share, and another caller is answered meanwhile."""
    host, port = web.url.removeprefix("http://").split(":")
    other = await web.caller("read_only")
    head = f"GET /api/v1/tasks HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {FIXED}\r\n"
    seen: list[bytes] = []

    async def burst(count: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}\r\n".encode() * (count - 1) + f"{head}connection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        seen.append(answer)
        writer.close()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(burst, BURST // 20)
        for _ in range(20):
            assert (await other.get("/tasks")).status_code == 200
    whole = b"".join(seen)
    served, refused = whole.count(b"HTTP/1.1 200"), whole.count(b"HTTP/1.1 429")
    assert served + refused == BURST
    assert 6_000 <= served < BURST  # a slow machine gives the bucket time to fill meanwhile


async def test_whoever_guesses_hears_no_more_than_that(web: Web) -> None:
    guesser = await web.client("guess-guess-guess-guess")
    statuses = [(await guesser.get("/tasks")).status_code for _ in range(FAILURES + 5)]
    assert statuses == [401] * FAILURES + [429] * 5
    assert (await (await web.client()).get("/tasks")).status_code == 200


async def opened(web: Web) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = web.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def answered(web: Web) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that has been answered once, and stays."""
    reader, writer = await opened(web)
    writer.write(b"GET /problems/invalid HTTP/1.1\r\nhost: localhost\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    return reader, writer


async def test_whoever_says_nothing_or_little_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    async with open_web(tmp_path) as web:
        idle = [await opened(web) for _ in range(1_000)]
        heads = [await opened(web), await answered(web)]
        bodies = [await opened(web), await answered(web)]
        for _, writer in heads:
            writer.write(b"GET /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        start = f"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {FIXED}\r\n"
        for _, writer in bodies:
            writer.write(f"{start}content-length: 50\r\n\r\n{{".encode())
        assert (await (await web.client()).get("/tasks")).status_code == 200
        with anyio.fail_after(20):
            for reader, writer in (*idle, *heads, *bodies):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
        assert (await (await web.client()).get("/tasks")).status_code == 200


async def test_a_head_without_end_is_cut(web: Web) -> None:
    reader, writer = await opened(web)
    writer.write(b"GET / HTTP/1.1\r\n" + b"x-more: and more\r\n" * 2_000)
    with anyio.fail_after(10):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_there_are_only_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 2)
    async with open_web(tmp_path) as web:
        first, *others = [await opened(web) for _ in range(3)]
        with anyio.fail_after(10):
            with suppress(ConnectionResetError):
                assert await first[0].read() == b""
        for _, one in (first, *others):
            one.close()


async def test_a_hundred_megabytes_are_not_taken_in(web: Web) -> None:
    reader, writer = await opened(web)
    head = f"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {FIXED}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: 100000000\r\n\r\n".encode())
    with anyio.fail_after(10):
        assert b"413 " in await reader.readline()
    writer.close()


async def test_a_wait_ends_when_something_is_due(web: Web) -> None:
    await web.world.agent("ann")
    ann = await web.caller("agent", agent="ann")
    nothing = await ann.get("/agent/next", headers={"prefer": "wait=0"})
    assert nothing.json()["status"] == "none"
    found: list[str] = []

    async def wait() -> None:
        found.append(
            (await ann.get("/agent/next", headers={"prefer": "respond-async, wait=50"})).json()["status"]
        )

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            await web.world.task("ship it")
    assert found == ["due"]


async def test_a_wait_ends_with_its_token(web: Web) -> None:
    await web.world.agent("ann")
    ann = await web.client(await web.token("agent", "of-ann", agent="ann"))
    statuses: list[int] = []

    async def wait() -> None:
        statuses.append((await ann.get("/agent/next", headers={"prefer": "wait=50"})).status_code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            await (await web.client()).delete("/tokens/of-ann")
            web.world.clock.move(web.world.clock.at + 1_000_000)
    assert statuses == [401]


async def test_a_wait_ends_with_its_time_and_without_a_bus(web: Web) -> None:
    await web.world.agent("ann")
    ann = await web.caller("agent", agent="ann")
    await web.world.cut_off()
    with anyio.fail_after(10):
        answer = await ann.get("/agent/next", headers={"prefer": "wait=1"})
    assert answer.json()["status"] == "none"
    await web.world.join_again()


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", 0),
        ("wait=5", 5),
        ("wait=999999", 50),
        ("respond-async,wait=7;x=1", 7),
        ("wait=-1", 0),
        ("await=3", 0),
    ],
)
def test_how_long_one_may_wait(prefer: str, expected: float) -> None:
    assert waiting.preferred(prefer) == expected


@pytest.mark.parametrize(("proxies", "code"), [((), 429), (("127.0.0.1",), 401)])
async def test_a_known_proxy_says_whose_failures_count(
    tmp_path: Path, proxies: tuple[str, ...], code: int
) -> None:
    """One caller's wrong tokens are not another's; what a caller claims itself counts for nothing."""
    listening = Listening(fixed=tokens.digest(FIXED), proxies=proxies)
    async with open_web(tmp_path, listening) as web:
        stranger = await web.client("wrong")
        claims = [{"x-forwarded-for": f"192.0.2.{n}, 198.51.100.1"} for n in range(FAILURES + 1)]
        answers = [await stranger.get("/tasks", headers=claim) for claim in claims]
        assert answers[-1].status_code == 429
        other = await stranger.get("/tasks", headers={"x-forwarded-for": "198.51.100.2"})
        assert other.status_code == code
