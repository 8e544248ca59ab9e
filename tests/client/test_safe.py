"""The faults of nats-py that both safe clients cure; each test fails with the plain client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client

from bus.client import SafeClient as BusClient
from rollcall.client.safe import SafeClient as AgentClient
from tests.support.nats import server

INFO = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true}\r\n'
Kind = Callable[[], Client]

each = pytest.mark.parametrize("kind", [AgentClient, BusClient], ids=["agent", "bus"])


async def quiet(_error: Exception) -> None:
    """Say nothing."""


class FakeServer:
    """Speaks just enough of the protocol, and keeps the verbs it reads."""

    def __init__(self) -> None:
        self.verbs: list[bytes] = []
        self.connections = 0
        self.complaint = b""
        self.again = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        self.connections += 1
        if self.connections > 1:
            self.again.set()
        with suppress(ConnectionError):
            while read := await reader.readline():
                self.verbs.append(read.split()[0])
                if read.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                    if self.complaint and self.connections == 1:
                        writer.write(self.complaint)
                if read.startswith((b"PUB", b"HPUB")):
                    await reader.readexactly(int(read.split()[-1]) + 2)
        writer.close()


@asynccontextmanager
async def fake(kind: Kind, complaint: bytes = b"") -> AsyncIterator[tuple[FakeServer, Client]]:
    told = FakeServer()
    told.complaint = complaint
    listening = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    client = kind()
    options: dict[str, Any] = {"reconnect_time_wait": 0.01, "max_reconnect_attempts": -1, "error_cb": quiet}
    await client.connect(f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}", **options)
    try:
        yield told, client
    finally:
        await client.close()
        listening.close()


@each
async def test_a_flush_is_a_barrier(kind: Kind) -> None:
    async with fake(kind) as (told, client):
        told.verbs.clear()
        await client.publish("a", b"1")
        await client.subscribe("z")
        await client.publish("a", b"2")
        await client.flush()
        assert told.verbs == [b"PUB", b"SUB", b"PUB", b"PING"]


@each
async def test_cancelled_flushes_leave_the_read_loop_alive(kind: Kind, tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        client = kind()
        await client.connect(running.url, error_cb=quiet)
        for _ in range(20):
            task = asyncio.create_task(client.flush())
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert await client.rtt() > 0
        await client.close()


@each
@pytest.mark.parametrize("word", ["user authentication expired", "account authentication expired", "made up"])
async def test_a_complaint_of_the_server_is_not_the_end(kind: Kind, word: str) -> None:
    async with fake(kind, f"-ERR '{word}'\r\n".encode()) as (told, client):
        async with asyncio.timeout(10):
            await told.again.wait()
        assert not client.is_closed


@each
async def test_a_refused_publish_does_not_reconnect(kind: Kind) -> None:
    async with fake(kind, b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n") as (told, client):
        await client.flush()
        await client.flush()
        assert told.connections == 1


@each
async def test_what_the_server_would_refuse_is_refused_here(kind: Kind) -> None:
    async with fake(kind) as (told, client):
        client._max_payload = 100
        with pytest.raises(nats.errors.MaxPayloadError):
            await client.publish("a", b"x" * 90, headers={"Name": "value"})
        await client.publish("a", b"x" * 60, headers={"Name": "value"})
        await client.flush()
        assert told.verbs.count(b"HPUB") == 1


@each
async def test_a_cancelled_publish_is_cancelled(kind: Kind) -> None:
    async with fake(kind) as (_, client):
        task = asyncio.create_task(client._flush_pending(force_flush=True))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@each
async def test_what_was_refused_is_closed(kind: Kind) -> None:
    """Whoever comes back and is let in no more knocks again and again, and leaves nothing behind."""
    ended = 0
    closed = asyncio.Event()
    knocks = count(1)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        number = next(knocks)
        writer.write(INFO)
        with suppress(ConnectionError):
            while read := await reader.readline():
                if number > 1 and read.startswith(b"CONNECT"):
                    writer.write(b"-ERR 'Authorization Violation'\r\n")
                if number == 1 and read.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                    break
        if number > 1:
            ended += 1
            closed.set()
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    client = kind()
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    options: dict[str, Any] = {"reconnect_time_wait": 0.01, "max_reconnect_attempts": -1, "error_cb": quiet}
    await client.connect(url, **options)
    async with asyncio.timeout(10):
        while ended < 3:
            closed.clear()
            await closed.wait()
    await client.close()
    listening.close()


@each
async def test_reconnecting_that_is_cancelled_leaves_the_end_to_be_waited_for(kind: Kind) -> None:
    """Closing cancels reconnecting, which may wait for the lost connection's end; then it waits itself."""
    async with fake(kind) as (_, client):
        writer = client._transport._io_writer  # type: ignore[union-attr]
        ended = writer._protocol._get_close_waiter(writer)
        await client._process_op_err(nats.errors.StaleConnectionError())
        assert client._reconnection_task is not None
        await asyncio.sleep(0)  # it has begun to wait
        assert not ended.done()
        client._reconnection_task.cancel()
        await asyncio.wait({client._reconnection_task})
        assert not ended.cancelled()
