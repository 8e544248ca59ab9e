"""Storing batches: all or exactly those refused, and never twice, whatever breaks in between."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from bus.api import BusTimeout, BusUnavailable, NoStream, Outgoing
from bus.client import js_api
from bus.nats import NatsBus
from bus.publisher import REFUSED_HERE
from tests.support.nats import connected, ready, server, until

BOTH = pytest.mark.parametrize("atomic", [False, True], ids=["counted", "atomic"])
TOO_LARGE = 10_054
WRONG_STREAM = 10_060


def event(n: int, data: bytes = b"{}") -> Outgoing:
    return Outgoing(f"rollcall.v1.evt.task.{n}.created", data, f"event:{n}", {"traceparent": "00-1-2-01"})


def ping(n: int, data: bytes = b"{}", **fields: Any) -> Outgoing:
    return Outgoing(f"rollcall.v1.in.ping.ann.{n}", data, f"ping:{n}", **fields)


async def stored(bus: NatsBus, stream: str = "ROLLCALL_EVENTS") -> int:
    return (await bus.backlog(stream)).count


@BOTH
async def test_a_batch_is_stored_once(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    async with ready(tmp_path, atomic=atomic) as (_, bus, _):
        batch = [event(n) for n in range(2_500)]
        assert await bus.publish_batch([], stream="ROLLCALL_EVENTS") == []
        assert await bus.publish_batch(batch, stream="ROLLCALL_EVENTS") == []
        assert await stored(bus) == 2_500
        assert await bus.publish_batch(batch, stream="ROLLCALL_EVENTS") == []
        assert await stored(bus) == 2_500


@BOTH
async def test_some_of_a_batch_are_duplicates(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    async with ready(tmp_path, atomic=atomic) as (_, bus, _):
        assert await bus.publish_batch([event(n) for n in range(20, 30)], stream="ROLLCALL_EVENTS") == []
        assert await bus.publish_batch([event(n) for n in range(50)], stream="ROLLCALL_EVENTS") == []
        assert await stored(bus) == 50


async def test_an_atomic_batch_is_one_message_to_wait_for(tmp_path: Path) -> None:
    async with ready(tmp_path, atomic=True) as (_, bus, _):
        before = bus.client.stats["in_msgs"]
        await bus.publish_batch([event(n) for n in range(100)], stream="ROLLCALL_EVENTS")
        assert bus.client.stats["in_msgs"] - before == 1
        await bus.publish_batch([event(n) for n in range(100, 105)], stream="ROLLCALL_EVENTS")
        assert bus.client.stats["in_msgs"] - before == 1 + 5  # few are faster counted


async def test_a_stream_without_atomic_batches_is_asked_once(tmp_path: Path) -> None:
    async with ready(tmp_path, atomic=True) as (_, bus, _):
        for first in (0, 100):
            letters = [Outgoing("rollcall.v1.dlq.a.b", b"", f"dlq:{first + n}") for n in range(100)]
            before = bus.client.stats["out_msgs"]
            assert await bus.publish_batch(letters, stream="ROLLCALL_DLQ") == []
            assert bus.client.stats["out_msgs"] - before == (100 if first else 200)
        assert await stored(bus, "ROLLCALL_DLQ") == 200


@BOTH
async def test_the_refused_are_named_and_the_rest_is_stored(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    async with ready(tmp_path, atomic=atomic) as (_, bus, _):
        batch = [ping(n) for n in range(20)]
        batch[3] = ping(3, b"x" * 70_000)
        batch[4] = ping(4, ttl_s=0)
        batch[5] = Outgoing("rollcall.v1.in.ping.ann.5", b"", "")
        batch[6] = event(6)
        refused = await bus.publish_batch(batch, stream="ROLLCALL_PINGS")
        assert [(one.index, one.code) for one in refused] == [
            (3, TOO_LARGE),
            (4, REFUSED_HERE),
            (5, REFUSED_HERE),
            (6, WRONG_STREAM),
        ]
        assert await stored(bus, "ROLLCALL_PINGS") == 16
        assert await stored(bus) == 0


@BOTH
async def test_what_can_never_be_sent_is_refused_here(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    """With its headers it is too large; the server would end the connection, at each retry again."""
    async with ready(tmp_path, atomic=atomic) as (_, bus, _):
        batch = [event(n) for n in range(20)]
        batch[0] = event(0, b"x" * (bus.client.max_payload - 50))
        batch[1] = Outgoing("rollcall.v1.evt.task.1.a b", b"", "event:1")
        refused = await bus.publish_batch(batch, stream="ROLLCALL_EVENTS")
        assert [(one.index, one.code) for one in refused] == [(0, REFUSED_HERE), (1, REFUSED_HERE)]
        assert all(one.reason for one in refused)
        assert await stored(bus) == 18
        assert bus.client.stats["reconnects"] == 0


@BOTH
async def test_no_stream_listens(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    async with server(tmp_path) as nats, connected(nats.url, atomic=atomic) as bus:
        with pytest.raises(NoStream):
            await bus.publish_batch([event(n) for n in range(20)], stream="ROLLCALL_EVENTS")


async def test_a_full_stream_may_have_room_later(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        config = {
            "name": "SMALL",
            "subjects": ["small"],
            "max_msgs": 1,
            "discard": "new",
            "storage": "memory",
        }
        await js_api(bus.client, "STREAM.CREATE.SMALL", config)
        with pytest.raises(BusUnavailable, match="maximum messages"):
            await bus.publish_batch([Outgoing("small", b"", f"{n}") for n in range(2)], stream="SMALL")


@BOTH
async def test_a_server_killed_in_a_batch_and_restarted(tmp_path: Path, atomic: bool) -> None:  # noqa: FBT001
    async with (
        ready(tmp_path, durability="full", atomic=atomic) as (nats, bus, _),
        connected(nats.url) as observer,
    ):
        batch, back = [event(n) for n in range(2_500)], anyio.Event()
        bus.on_reconnect(back.set)

        async def some_are_stored() -> bool:
            return await stored(observer) > 0

        async def kill() -> None:
            await until(some_are_stored)
            await nats.kill()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            with pytest.raises(BusUnavailable) as raised:
                await publish_on(bus, batch)
            assert not isinstance(raised.value, BusTimeout)  # told when it was lost, not long after
        with pytest.raises(BusUnavailable):  # at once, not into a buffer
            await bus.publish_batch(batch, stream="ROLLCALL_EVENTS", timeout_s=1e9)
        await nats.start()
        with anyio.fail_after(20):
            await back.wait()
        assert await bus.publish_batch(batch, stream="ROLLCALL_EVENTS", timeout_s=1e9) == []
        assert await stored(bus) == 2_500


async def publish_on(bus: NatsBus, batch: list[Outgoing]) -> None:
    """Publish the same ids until it fails: the kill may come late."""
    while True:
        assert await bus.publish_batch(batch, stream="ROLLCALL_EVENTS", timeout_s=1e9) == []


async def test_a_server_that_hangs(tmp_path: Path) -> None:
    async with ready(tmp_path) as (nats, bus, _):
        assert nats.pid
        os.kill(nats.pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, nats.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(BusTimeout):
            await bus.publish_batch([event(1), event(2)], stream="ROLLCALL_EVENTS", timeout_s=0.05)
        os.kill(nats.pid, signal.SIGCONT)
        assert await bus.publish_batch([event(1), event(2)], stream="ROLLCALL_EVENTS") == []
        assert await stored(bus) == 2


async def test_a_connection_lost_while_sending_ends_the_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(tmp_path) as (_, bus, _):
        publish, sent = bus.client.send, 0

        async def lossy(*arguments: Any) -> None:
            nonlocal sent
            sent += 1
            if sent == 5:
                bus._publisher._on_lost()
            await publish(*arguments)

        monkeypatch.setattr(bus.client, "send", lossy)
        with pytest.raises(BusUnavailable, match="lost"):
            await bus.publish_batch([event(n) for n in range(100)], stream="ROLLCALL_EVENTS")
        assert sent == 5


async def test_a_cancelled_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    async with ready(tmp_path) as (_, bus, _):
        with anyio.move_on_after(0):
            await bus.publish_batch([event(n) for n in range(100)], stream="ROLLCALL_EVENTS")
        await bus.flush()
        assert bus._publisher._waiting == {}
        assert await bus.publish_batch([event(n) for n in range(100)], stream="ROLLCALL_EVENTS") == []
        assert await stored(bus) == 100
