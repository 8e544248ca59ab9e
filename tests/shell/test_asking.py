"""How a verb asks at a door that is gone, falls silent, or is none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec import Struct

from rollcall.door import Hall, bridge
from rollcall.door.hall import bind
from rollcall.shell import door, life
from tests.cli.conftest import Bus
from tests.shell.conftest import Way
from tests.support.nats import until

OUTCOME = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}
NONE = {"status": "none", "lease": None, "retry": True}
DUE = {"status": "due", "lease": {"assignment": 5, "status": "pending", "ping": None}, "retry": True}


class Odd(Struct):
    """A door that answers as it is told, byte by byte; nothing is silence and the end of the connection."""

    path: Path
    answers: list[bytes]
    asked: list[bytes]

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.asked.append(await reader.readexactly(length))
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def odd(tmp_path: Path) -> AsyncIterator[Odd]:
    found = Odd(tmp_path / "odd" / "ann.sock", [b""], [])
    found.path.parent.mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bind(listener, found.path)
    serving = await asyncio.start_unix_server(found.hear, sock=listener)
    yield found
    serving.close()


def http(body: object, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nServer: odd\r\n\r\n{json.dumps(body)}".encode()


async def test_a_lost_answer_is_asked_for_again_under_the_same_id(short: Way, odd: Odd) -> None:
    odd.answers = [b"", b"HTTP/1.1 200 OK\r\n\r\n{", http(OUTCOME)]
    done = await short("ack", "5", ROLLCALL_SOCKET=str(odd.path))
    assert (done.code, done.out) == (0, "assignment 5: acknowledged\n")
    assert len(odd.asked) == 3
    assert len(set(odd.asked)) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n{}", b"HTTP/1.1 200\r\n\r\n\xff"]
)
async def test_what_is_no_door_is_unavailable(short: Way, odd: Odd, answer: bytes) -> None:
    odd.answers = [answer]
    done = await short("ack", "5", ROLLCALL_SOCKET=str(odd.path))
    assert (done.code, done.out) == (69, "")
    identity = json.loads(odd.asked[0])["command_id"]
    assert f"to try again safely add --command-id {identity} (unavailable)\n" in done.err
    assert done.err.endswith("next: the same command again: it is carried out once\n")
    query = await short("sync", "-o", "json", ROLLCALL_SOCKET=str(odd.path))
    assert (query.code, json.loads(query.err)["code"]) == (69, "unavailable")
    assert "command-id" not in query.err


async def test_an_answer_without_end_is_cut(short: Way, odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BYTES_MAX", 100)
    odd.answers = [http("x" * 1_000_000)]
    assert (await short("ack", "5", ROLLCALL_SOCKET=str(odd.path))).code == 69


async def test_a_door_that_closes_between_two_tries_leaves_the_outcome_unknown(short: Way, odd: Odd) -> None:
    odd.answers = [b""]
    hear = odd.hear

    async def last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd.path.unlink()
        await hear(reader, writer)

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = odd.path.with_name("bob.sock")
    odd.path.unlink()
    odd.path = path
    bind(listener, path)
    serving = await asyncio.start_unix_server(last, sock=listener)
    done = await short("ack", "5", ROLLCALL_SOCKET=str(path))
    serving.close()
    assert done.code == 69
    assert len(odd.asked) == 1


async def test_a_socket_without_a_door_leaves_it_to_the_long_way(short: Way, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bind(listener, tmp_path / "ann.sock")
    listener.close()
    assert (await short("ack", "5", ROLLCALL_SOCKET=str(tmp_path / "ann.sock"))).code is None


async def test_a_long_path_is_reached(short: Way, hall: Hall, bus: Bus, tmp_path: Path) -> None:
    bus.answer("ack", OUTCOME)
    far = tmp_path / ("x" * 100)
    far.symlink_to((await hall.open("ann")).parent)
    assert (await short("ack", "5", ROLLCALL_SOCKET=str(far / "ann.sock"))).code == 0


async def test_a_wait_longer_than_a_long_poll_asks_again(
    short: Way, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert life.WAIT_S == 50.0
    monkeypatch.setattr(life, "WAIT_S", 0.02)
    bus.answer("next", NONE, NONE, NONE, NONE, NONE, DUE)
    done = await short("next", "--wait", "1000")
    assert done.code == 0
    assert done.err == "next: rollcall ack 5   (or: rollcall decline 5)\n"


async def test_a_ping_ends_the_wait(short: Way, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "ASK_AGAIN_S", 1_000)
    bus.answer("next", NONE, DUE)
    asking = asyncio.create_task(short("next"))
    await until(lambda: bool(bus.asked))
    await bus.client.publish("rollcall.v1.ping.ann.5", b"{}")
    assert (await asking).code == 0
    assert len(bus.asked) == 2
