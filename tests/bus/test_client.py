"""The faults of nats-py that SafeClient removes; where it is cheap, the plain client shows them beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import nats.errors as ne
import pytest
from nats.aio.client import Client, Server
from nats.aio.msg import Msg

from bus.api import BusTimeout, BusUnavailable, ConsumerGone, NoResponders, Unsendable
from bus.client import PENDING_BYTES_MAX, Access, SafeClient, connect, jittered, js_api, own_errors
from bus.embedded import EmbeddedServer, Token
from tests.support.nats import kept, server, until

INFO = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true}\r\n'


class FakeServer:
    """Speaks just enough of the protocol to see what a client sends, and to send it what it must survive."""

    def __init__(self) -> None:
        self.verbs: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(INFO)
        while line := await reader.readline():
            self.verbs.append(line.split()[0])
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"PUB"):
                await reader.readline()
        writer.close()


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    listening = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        listening.close()
        for writer in fake.writers:
            writer.close()
        await listening.wait_closed()


async def wire_order(client: Client) -> list[bytes]:
    async with fake_server() as fake:
        await client.connect(fake.url)
        fake.verbs.clear()
        await client.publish("a", b"1")
        await client.subscribe("z")
        await client.publish("a", b"2")
        await client.flush()
        seen = list(fake.verbs)
        await client.close()
    return seen


async def test_flush_is_a_barrier() -> None:
    """The plain client sends PING first, so its flush() returns before the server has seen anything."""
    assert await wire_order(SafeClient()) == [b"PUB", b"SUB", b"PUB", b"PING"]
    assert (await wire_order(Client()))[0] == b"PING"


async def cancel_a_flush(client: Client) -> None:
    task = asyncio.ensure_future(client.flush())
    await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_flushes_leave_the_read_loop_alive(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        client = await connect(nats.url, name="test")
        for _ in range(50):
            await cancel_a_flush(client)
            with anyio.move_on_after(0):
                await client.rtt()
        await client.flush()
        assert await client.rtt() < 5
        assert client.stats["reconnects"] == 0
        await client.close()


async def test_one_cancelled_flush_kills_the_plain_client(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        client = Client()
        await client.connect(nats.url)
        await cancel_a_flush(client)
        reading = client._reading_task
        assert reading is not None
        await until(reading.done)
        assert client.is_connected  # and believes itself well
        await client.close()


async def test_callbacks_that_raise_change_nothing(tmp_path: Path) -> None:
    def raising(*_: object) -> None:
        raise RuntimeError("a callback must never matter")

    async with server(tmp_path) as nats:
        client, back = await connect(nats.url, name="test"), anyio.Event()
        client.on_error.append(raising)
        client.on_lost.append(raising)
        client.on_back += [raising, back.set]
        await client.listen("x", never, limit=1)
        for _ in range(5):
            await client.publish("x", b"1")
        await client.flush()
        assert client.dropped in {3, 4}  # one waits, and one may be in the callback's hand
        await nats.kill()
        await nats.start()
        with anyio.fail_after(10):
            await back.wait()
        assert await client.rtt() < 5
        await client.close()


async def test_backpressure_does_not_swallow_a_cancellation(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        client = SafeClient()
        await client.connect(nats.url, pending_size=10)
        task = asyncio.ensure_future(client.publish("x", b"1" * 1000))
        await anyio.lowlevel.checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.flush()
        await client.close()


@pytest.mark.parametrize("complaint", [b"authentication expired", b"user authentication revoked"])
async def test_a_complaint_of_the_server_means_reconnect(complaint: bytes) -> None:
    """The plain client closes for good."""
    async with fake_server() as fake:
        client, back = await connect(fake.url, name="test"), anyio.Event()
        client.on_back.append(back.set)
        fake.writers[0].write(b"-ERR '" + complaint + b"'\r\n")
        with anyio.fail_after(10):
            await back.wait()
        assert client.is_connected
        assert len(fake.writers) == 2
        await client.close()


async def test_a_refused_permission_is_no_reason_to_reconnect() -> None:
    async with fake_server() as fake:
        client = await connect(fake.url, name="test")
        errors: list[Exception] = []
        client.on_error.append(errors.append)
        fake.writers[0].write(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n")
        await client.flush()
        assert "permissions violation" in str(errors)
        assert client.is_connected
        assert client.stats["reconnects"] == 0
        await client.close()


async def test_a_read_loop_that_dies_of_something_unknown_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path) as nats:
        client, back = await connect(nats.url, name="test"), anyio.Event()
        client.on_back.append(back.set)

        async def broken(_: bytes) -> None:
            monkeypatch.undo()
            raise KeyError("a fault of the parser")

        monkeypatch.setattr(client._ps, "parse", broken)
        with pytest.raises(ne.Error):
            await client.flush(timeout=1)
        with anyio.fail_after(10):
            await back.wait()
        assert await client.rtt() < 5
        await client.close()


async def test_connecting_gives_up() -> None:
    with kept() as nobody:
        url = f"nats://user:sesame@127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1") as raised:
            await connect(url, name="test", timeout_s=0.4)
    assert "sesame" not in str(raised.value)


async def test_wrong_credentials_are_refused_at_once(tmp_path: Path) -> None:
    nats = EmbeddedServer(tmp_path, security=Token("sesame"))
    await nats.start()
    client = await connect(f"nats://{nats.address}", name="test", access=Access(token="sesame"))
    await client.close()
    with anyio.fail_after(10), pytest.raises(BusUnavailable, match=r"(?i)authorization"):
        await connect(f"nats://{nats.address}", name="test", access=Access(token="wrong"))
    await nats.stop()


def test_the_wait_grows_and_is_random() -> None:
    tried = [Server(uri=None, reconnects=n) for n in (7, 4)]  # type: ignore[arg-type]
    choices = [jittered(tried, {}) for _ in range(50)]
    assert {server.reconnects for server, _ in choices} == {4}
    assert all(0.8 <= wait <= 1.6 for _, wait in choices)
    assert len({wait for _, wait in choices}) > 10
    fresh = [jittered([Server(uri=None, reconnects=0)], {})[1] for _ in range(50)]  # type: ignore[arg-type]
    assert max(fresh) <= 0.2


async def test_what_is_posted_during_an_outage_is_bounded(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        client, lost = await connect(nats.url, name="test"), anyio.Event()
        client.on_lost.append(lost.set)
        await nats.kill()
        with anyio.fail_after(10):
            await lost.wait()
        for _ in range(20):
            client.post("x", b"1" * (1 << 20))
        assert 7 << 20 < client.pending_data_size <= PENDING_BYTES_MAX + 100
        await client.close()
        before = client.pending_data_size
        client.post("x", b"1")
        assert client.pending_data_size == before


async def test_closing_survives_a_server_that_goes_in_the_midst_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path) as nats:
        client, resets = await connect(nats.url, name="test"), list[int]()

        async def reset() -> None:
            resets.append(client.pending_data_size)
            raise ConnectionResetError

        subscription = await client.listen("x", never)
        await client.flush()
        monkeypatch.setattr(client._transport, "drain", reset)
        monkeypatch.setattr(client, "_flush_pending", nothing)
        client.post("x", b"1")
        await client.close()
        assert len(resets) == 1
        assert client.is_closed
        waiting = cast("asyncio.Task[None]", subscription._wait_for_msgs_task)
        await until(waiting.done)


async def nothing() -> None:
    pass


async def never(_: Msg) -> None:
    await anyio.sleep_forever()


async def test_what_jetstream_says_becomes_ours() -> None:
    async with fake_server() as fake:
        client = await connect(fake.url, name="test")
        await client.close()
        with pytest.raises(BusUnavailable):
            await js_api(client, "INFO")
    for raised, expected in (
        (ne.NoRespondersError(), NoResponders),
        (ne.MaxPayloadError(), Unsendable),
        (ne.FlushTimeoutError(), BusTimeout),
        (ne.OutboundBufferLimitError(), BusUnavailable),
        (ConnectionResetError(), BusUnavailable),
        (ConsumerGone(), ConsumerGone),
    ):
        with pytest.raises(expected) as seen, own_errors():
            raise raised
        assert type(seen.value) is expected
