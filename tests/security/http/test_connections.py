"""Connections that say nothing, too slowly, too much or nonsense: cut, and nobody else feels it."""

from __future__ import annotations

import asyncio
import re
import resource
from pathlib import Path

import anyio
import pytest

from services.gateway import connection
from services.gateway.rates import BUCKETS_MAX, Rates
from services.gateway.turns import Turns
from tests.gateway.web import Web, open_web
from tests.security.http.raw import BEARER, Wire, told

MIB = 2**20


def peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_silence_does_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are taken by connections that say nothing: whoever comes then is served all the same."""
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 20)
    async with open_web(tmp_path) as web:
        silent = [await Wire.to(web.url) for _ in range(60)]
        admin = await web.client()
        assert (await admin.get("/tasks")).status_code == 200
        assert [await one.rest() for one in silent[:40]] == [b""] * 40
        for wire in silent:
            wire.close()


async def test_who_has_asked_once_is_silent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 5)
    async with open_web(tmp_path) as web:
        kept = [await Wire.to(web.url) for _ in range(5)]
        for wire in kept:
            await wire.say("GET /problems/invalid HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200 OK" in await wire.reader.readline()
        assert (await (await web.client()).get("/tasks")).status_code == 200
        assert await kept[0].rest()
        for wire in kept:
            wire.close()


async def test_who_is_being_answered_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 2)
    async with open_web(tmp_path) as web:
        streams = [await Wire.to(web.url) for _ in range(2)]
        for wire in streams:
            await wire.say(f"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n{BEARER}\r\n")
            assert b"200 OK" in await wire.reader.readline()
        assert await told(web.url, "") == (0, b"")
        await web.world.agent("ann")
        for wire in streams:
            with anyio.fail_after(10):
                assert b"agent.registered" in await wire.reader.readuntil(b"agent.registered")
            wire.close()


async def test_who_does_not_hear_its_answers_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for megabytes and reads nothing: what it would not read is not kept for ever."""
    monkeypatch.setattr(connection, "HEAR_S", 0.2)
    cut = anyio.Event()
    ending = connection.Connection.cut

    def noted(one: connection.Connection) -> None:
        ending(one)
        cut.set()

    monkeypatch.setattr(connection.Connection, "cut", noted)
    async with open_web(tmp_path) as web:
        wire = await Wire.to(web.url, buffer=4096)
        asked = f"GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n{BEARER}\r\n"
        wire.writer.write(asked.encode() * 200)
        with anyio.fail_after(20):
            await cut.wait()
        assert (await wire.rest()).count(b"HTTP/1.1 200") < 200
        wire.close()


@pytest.mark.parametrize("size", ["content-length: 100000000\r\n", "transfer-encoding: chunked\r\n"])
async def test_a_hundred_megabytes_from_each_of_twenty(web: Web, size: str) -> None:
    """They are refused by their length, or once they have said too much; nothing of it is kept."""
    head = f"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n{BEARER}content-type: application/json\r\n"
    part = b"100000\r\n" + b"x" * MIB + b"\r\n"
    statuses: list[int] = []
    before = peak()

    async def send() -> None:
        wire = await Wire.to(web.url)
        await wire.say(f"{head}{size}\r\n")
        for _ in range(100):
            if wire.reader._buffer:  # type: ignore[attr-defined]  # it has been answered
                break
            await wire.say(part)
        with anyio.fail_after(20):
            statuses.append(int((await wire.reader.readline()).split()[1]))
        wire.close()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(send)
    assert statuses == [413] * 20
    assert peak() - before < 100 * MIB
    assert (await (await web.client()).get("/tasks")).status_code == 200


async def test_what_stands_behind_a_body_is_not_taken_for_a_header(web: Web) -> None:
    head = "POST /api/v1/tasks HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
    body = 'content-type: application/json\r\n\r\nd\r\n{"title":"t"}\r\n0\r\n'
    assert (await told(web.url, f"{head}host: localhost\r\n{BEARER}{body}x: y\r\n\r\n"))[0] == 201
    assert (await told(web.url, f"{head}host: localhost\r\n{body}{BEARER}\r\n"))[0] == 401
    assert (await told(web.url, f"{head}{BEARER}{body}host: localhost\r\n\r\n"))[0] == 421


async def test_what_stands_behind_a_body_is_not_kept(web: Web) -> None:
    wire = await Wire.to(web.url)
    before = peak()
    await wire.say("POST / HTTP/1.1\r\nhost: evil.example\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    for _ in range(100):
        await wire.say(b"a: b\r\n" * 20_000)
    wire.close()
    assert peak() - before < 30 * MIB
    assert (await (await web.client()).get("/tasks")).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-x\r\n\r\n",
        b"GET /api/v1/tasks HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_our_form(
    web: Web, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    status, answer = await told(web.url, said)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status == 400
    assert b"content-type: application/problem+json" in head
    assert b'"code":"malformed"' in body
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


@pytest.mark.parametrize(
    "twice",
    [
        "host: localhost\r\nhost: evil.example\r\n",
        "host: localhost\r\nauthorization: Bearer x\r\n",
        "host: localhost\r\norigin: https://evil.example\r\norigin: http://localhost\r\n",
        "host: localhost\r\nidempotency-key: a\r\nidempotency-key: b\r\n",
        'host: localhost\r\nif-match: "1"\r\nif-match: "2"\r\n',
    ],
)
async def test_what_may_be_said_once_is_not_said_twice(web: Web, twice: str) -> None:
    asked = f"GET /api/v1/tasks HTTP/1.1\r\n{twice}{BEARER}connection: close\r\n\r\n"
    status, answer = await told(web.url, asked)
    assert (status, b"malformed" in answer) == (400, True)


def test_a_million_callers_leave_no_trace() -> None:
    rates = Rates(10)
    for number in range(1_000_000):
        rates.take(f"token:{number}", 0.0)
    assert len(rates) == BUCKETS_MAX


async def test_a_thousand_requests_of_one_are_no_wait_for_another() -> None:
    turns = Turns(64)
    working, most, done = 0, 0, 0
    gate = anyio.Event()

    async def work() -> None:
        nonlocal working, most, done
        async with turns.turn("operator:loud"):
            working += 1
            most = max(most, working)
            await gate.wait()
            working -= 1
        done += 1

    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(work)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            async with turns.turn("operator:quiet"):
                assert (working, len(turns)) == (64, 2)
        gate.set()
    assert (most, done, len(turns)) == (64, 1_000, 0)


async def test_who_goes_while_it_waits_takes_no_turn() -> None:
    turns = Turns(1)
    served: list[int] = []

    async def wait(number: int) -> None:
        async with turns.turn("operator:x"):
            served.append(number)

    async with turns.turn("operator:x"):
        waiting = [asyncio.create_task(wait(number)) for number in range(3)]
        await anyio.wait_all_tasks_blocked()
        waiting[0].cancel()
        await anyio.wait_all_tasks_blocked()
    waiting[1].cancel()  # just as it is called
    await asyncio.gather(*waiting, return_exceptions=True)
    assert served == [2]
    assert len(turns) == 0


async def _head(wire: Wire) -> bytes:
    """Read one answer whole, and return its head; nothing at the end."""
    try:
        head = await wire.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    await wire.reader.readexactly(int(length[1]))
    return head


async def test_a_burst_of_ten_thousand_is_not_felt_by_another(web: Web) -> None:
    """Between its request and its answer the loud one gets a handful: both are served in turn."""
    other = await web.caller("read_only")
    request = f"GET /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n{BEARER}"
    seen = 0
    statuses: set[bytes] = set()

    async def burst(count: int) -> None:
        nonlocal seen
        wire = await Wire.to(web.url)
        wire.writer.write(f"{request}\r\n".encode() * (count - 1))
        wire.writer.write(f"{request}connection: close\r\n\r\n".encode())
        with anyio.fail_after(50):
            while head := await _head(wire):
                seen += 1
                statuses.add(head[9:12])
        wire.close()

    waits: list[int] = []
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(burst, 500)
        for _ in range(20):
            before = seen
            assert (await other.get("/tasks")).status_code == 200
            waits.append(seen - before)
    assert (seen, statuses) == (10_000, {b"200", b"429"})
    assert max(waits) < 1_000  # as many as 10 000 at once would be in front of it, were there no turns
