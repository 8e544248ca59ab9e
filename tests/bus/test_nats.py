"""The bus as actors see it: core messages, requests, and what is said when it is away."""

from pathlib import Path

import anyio
import pytest

from bus.api import (
    Bus,
    BusError,
    BusTimeout,
    BusUnavailable,
    Incoming,
    NoResponders,
    Puller,
    Subscription,
    Unsendable,
)
from bus.nats import NatsBus, micros
from tests.support.nats import Seen, connected, ready, server, until


async def test_it_is_a_bus(tmp_path: Path) -> None:
    """For the type checkers: the ports fit."""
    async with ready(tmp_path) as (_, nats, names):
        bus: Bus = nats
        puller: Puller = await bus.pull(names.name("ACKS"), "answers", batch=1)
        subscription: Subscription = await bus.subscribe("x", lambda _: None)
        await subscription.unsubscribe()
        await puller.close()
        assert bus.connected
        assert bus.dropped == 0
        assert 0 < await bus.rtt() < 5


async def test_messages_go_to_whoever_listens(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus, connected(nats.url) as other:
        everyone, one, two = Seen(), Seen(), Seen()
        await bus.subscribe("hb.*", everyone)
        await bus.subscribe("hb.*", one, queue="monitors")
        await other.subscribe("hb.*", two, queue="monitors")
        await other.flush()
        await bus.flush()
        for n in range(50):
            await bus.publish("hb.ann", b"%d" % n, headers={"k": "v"}, reply="_INBOX.me")
        heard = await everyone.have(50)
        assert [message.data for message in heard] == [b"%d" % n for n in range(50)]
        assert (heard[0].subject, heard[0].headers, heard[0].reply) == ("hb.ann", {"k": "v"}, "_INBOX.me")
        await until(lambda: len(one) + len(two) == 50)
        assert one
        assert two


async def test_a_handler_that_raises_gets_the_next_message(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        seen = Seen()

        def handler(message: Incoming) -> None:
            seen(message)
            raise RuntimeError("a fault of the handler")

        await bus.subscribe("x", handler)
        for _ in range(3):
            await bus.publish("x", b"")
        await seen.have(3)
        assert bus.connected


async def test_what_a_slow_handler_misses_is_counted(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus, connected(nats.url) as other:
        seen = Seen()
        await bus.subscribe("x", seen, limit=1)
        await bus.flush()
        for _ in range(2_000):
            await other.client.publish("x", b"")  # without yielding: they arrive as one
        await other.flush()
        await bus.flush()
        await until(lambda: len(seen) + bus.dropped == 2_000)
        assert bus.dropped > 0


async def test_a_drained_subscription_hands_over_what_has_come(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        seen = Seen()
        subscription = await bus.subscribe("x", seen)
        for _ in range(100):
            await bus.client.publish("x", b"")
        await subscription.drain()
        assert len(seen) == 100
        await bus.publish("x", b"")
        await bus.flush()
        assert len(seen) == 100
        with pytest.raises(BusUnavailable):
            await subscription.drain()


async def test_requests_are_answered_refused_or_late(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        seen = Seen()
        await bus.subscribe("cmd", seen)
        with pytest.raises(NoResponders, match="Nobody answers"):
            await bus.request("nobody", b"", timeout_s=5)
        with pytest.raises(BusTimeout):
            await bus.request("cmd", b"", timeout_s=0.02)
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                request = (await seen.have(2))[1]
                assert request.headers == {"a": "b"}
                await bus.publish(request.reply, b"yes", headers={"c": "d"})

            tasks.start_soon(answer)
            reply = await bus.request("cmd", b"?", timeout_s=5, headers={"a": "b"})
            assert (reply.data, reply.headers) == (b"yes", {"c": "d"})


async def test_what_can_never_be_sent_is_told_from_what_may_pass_later(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        with pytest.raises(Unsendable):
            await bus.publish("x", b"x" * (bus.client.max_payload + 1))
        with pytest.raises(Unsendable):
            await bus.publish("x", b"x" * (bus.client.max_payload - 10), headers={"key": "value"})
        with pytest.raises(Unsendable):
            await bus.publish("a b", b"")
        assert await bus.rtt() < 5
        assert bus.client.stats["reconnects"] == 0


async def test_while_the_server_is_away(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        lost, back, seen = anyio.Event(), anyio.Event(), Seen()
        bus.client.on_lost.append(lost.set)
        bus.on_reconnect(back.set)
        await bus.subscribe("x", seen)
        await nats.kill()
        with anyio.fail_after(10):
            await lost.wait()
        assert not bus.connected
        with pytest.raises(BusUnavailable):
            await bus.request("cmd", b"", timeout_s=1e9)
        with pytest.raises(BusUnavailable):
            await bus.backlog("ROLLCALL_ACKS")
        with pytest.raises(BusUnavailable):
            await publish_much(bus)
        await nats.start()
        with anyio.fail_after(20):
            await back.wait()
        await bus.publish("x", b"")
        await seen.have(1)  # the subscription is back too


async def publish_much(bus: NatsBus) -> None:
    """Publish more than a client keeps during an outage."""
    for _ in range(20):
        await bus.publish("y", b"x" * (1 << 20))


async def test_draining_sends_what_is_buffered_and_can_be_repeated(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as observer:
        seen = Seen()
        await observer.subscribe("x", seen)
        await observer.flush()
        bus = await NatsBus.open(nats.url, name="test")
        for _ in range(1_000):
            await bus.client.publish("x", b"1" * 100)
        await bus.drain()
        await seen.have(1_000)
        await bus.drain()
        for late in (bus.publish("x", b""), bus.rtt(), bus.flush()):
            with pytest.raises(BusUnavailable):
                await late
        with pytest.raises(BusUnavailable):
            await bus.subscribe("x", seen)


async def test_draining_without_a_server_does_not_wait(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        bus, lost = await NatsBus.open(nats.url, name="test"), anyio.Event()
        bus.client.on_lost.append(lost.set)
        await nats.kill()
        with anyio.fail_after(10):
            await lost.wait()
            await bus.publish("x", b"1")
            await bus.drain()
        assert bus.client.is_closed


def test_an_error_says_its_kind_and_its_detail() -> None:
    assert str(BusError()) == "The bus refused or failed."
    assert str(NoResponders("cmd")) == "Nobody answers on this subject. (cmd)"
    assert issubclass(BusTimeout, TimeoutError)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("2026-11-21T05:35:53.123456789Z", 1_795_239_353_123_456),
    ],
)
def test_timestamps_are_read_to_the_microsecond(timestamp: str, expected: int) -> None:
    assert micros(timestamp) == expected
