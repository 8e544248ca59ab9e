"""What every bus promises of core messages, requests and its connection, whatever stands behind it."""

from collections.abc import Awaitable

import anyio
import pytest

from bus.api import Bus, BusTimeout, BusUnavailable, Incoming, NoResponders, Puller, Subscription, Unsendable
from tests.bus.sites import ACKS, AnyBus, Site, back, lost
from tests.support.nats import Seen, until


async def test_it_is_a_bus(bus: AnyBus) -> None:
    """For the type checkers: the ports fit."""
    port: Bus = bus
    puller: Puller = await port.pull(ACKS, "answers", batch=1)
    subscription: Subscription = await port.subscribe("x", lambda _: None)
    await subscription.unsubscribe()
    await puller.close()
    assert port.connected
    assert port.server
    assert port.dropped == 0
    assert 0 <= await port.rtt() < 5


async def test_messages_go_to_whoever_listens(site: Site) -> None:
    bus, other = await site.connect(), await site.connect("other")
    everyone, one, two, nobody = Seen(), Seen(), Seen(), Seen()
    await bus.subscribe("hb.*", everyone)
    await bus.subscribe("hb.>", everyone)
    await bus.subscribe("hb.*", one, queue="monitors")
    await other.subscribe("hb.*", two, queue="monitors")
    for pattern in ("hb", "hb.ann.>", "hb.*.*", "other.ann", "*"):
        await other.subscribe(pattern, nobody)
    await other.flush()
    await bus.flush()
    for n in range(50):
        await bus.publish("hb.ann", b"%d" % n, headers={"k": "v"}, reply="_INBOX.me")
    heard = await everyone.have(100)
    for number in (0, 1):  # each pattern in order
        assert sorted(message.data for message in heard)[number::2] == sorted(b"%d" % n for n in range(50))
    assert (heard[0].subject, heard[0].headers, heard[0].reply) == ("hb.ann", {"k": "v"}, "_INBOX.me")
    assert (heard[0].seq, heard[0].delivered, heard[0].settler) == (0, 0, None)
    heard[0].ack()
    await until(lambda: len(one) + len(two) == 50)
    assert one
    assert two
    assert not nobody


async def test_messages_of_one_sender_come_in_order(site: Site) -> None:
    bus, other = await site.connect(), await site.connect("other")
    seen = Seen()
    await bus.subscribe("x.>", seen)
    await bus.flush()
    for n in range(200):
        await other.publish(f"x.{n}.y", b"%d" % n)
    assert [message.data for message in await seen.have(200)] == [b"%d" % n for n in range(200)]


async def test_a_handler_that_raises_gets_the_next_message(site: Site) -> None:
    bus, seen = await site.connect(), Seen()

    def handler(message: Incoming) -> None:
        seen(message)
        raise RuntimeError("a fault of the handler")

    await bus.subscribe("x", handler)
    for _ in range(3):
        await bus.publish("x", b"")
    await seen.have(3)
    assert bus.connected


async def burst(bus: AnyBus, count: int) -> None:
    """Publish so many without giving way in between, so that they arrive as one."""
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(bus.publish, "x", b"")


async def test_what_a_slow_handler_misses_is_counted(site: Site) -> None:
    bus, other, seen = await site.connect(), await site.connect("other"), Seen()
    await bus.subscribe("x", seen, limit=1)
    await bus.flush()
    await burst(other, 2_000)
    await other.flush()
    await until(lambda: len(seen) + bus.dropped == 2_000)
    assert bus.dropped > 0
    assert other.dropped == 0


async def test_within_its_limit_nothing_is_dropped(site: Site) -> None:
    bus, other, seen = await site.connect(), await site.connect("other"), Seen()
    await bus.subscribe("x", seen, limit=2_000)
    await bus.flush()
    await burst(other, 2_000)
    await seen.have(2_000)
    assert bus.dropped == 0


async def test_a_drained_subscription_hands_over_what_has_come(site: Site) -> None:
    bus, seen = await site.connect(), Seen()
    subscription = await bus.subscribe("x", seen)
    await burst(bus, 100)
    await subscription.drain()
    assert len(seen) == 100
    await bus.publish("x", b"")
    await bus.flush()
    assert len(seen) == 100
    with pytest.raises(BusUnavailable):
        await subscription.drain()


async def test_an_unsubscribed_handler_gets_nothing_more(site: Site) -> None:
    bus, other, gone, stays = await site.connect(), await site.connect("other"), Seen(), Seen()
    subscription = await bus.subscribe("x", gone)
    await bus.subscribe("x", stays)
    await bus.flush()
    await subscription.unsubscribe()
    await bus.flush()
    await other.publish("x", b"")
    await stays.have(1)
    assert not gone
    with pytest.raises(BusUnavailable):
        await subscription.unsubscribe()


async def test_requests_are_answered_refused_or_late(site: Site) -> None:
    bus, seen = await site.connect(), Seen()
    await bus.subscribe("cmd", seen)
    with pytest.raises(NoResponders, match="Nobody answers"):
        await bus.request("nobody", b"", timeout_s=5)
    with pytest.raises(BusTimeout):
        await bus.request("cmd", b"", timeout_s=0.02)
    async with anyio.create_task_group() as tasks:

        async def answer() -> None:
            late, request = (await seen.have(2))[:2]
            assert request.headers == {"a": "b"}
            await bus.publish(late.reply, b"nobody waits for this")
            await bus.publish(request.reply, b"yes", headers={"c": "d"})
            await bus.publish(request.reply, b"a second answer is none")

        tasks.start_soon(answer)
        reply = await bus.request("cmd", b"?", timeout_s=5, headers={"a": "b"})
        assert (reply.data, reply.headers) == (b"yes", {"c": "d"})


async def test_what_can_never_be_sent_is_told_from_what_may_pass_later(site: Site) -> None:
    bus = await site.connect()
    limit, lives = 1 << 20, bus.server
    await bus.publish("x", b"x" * limit)
    await bus.publish("x", b"x" * (limit - 50), headers={"key": "value"})
    with pytest.raises(Unsendable):
        await bus.publish("x", b"x" * (limit + 1))
    with pytest.raises(Unsendable):
        await bus.publish("x", b"x" * (limit - 10), headers={"key": "value"})
    with pytest.raises(Unsendable):
        await bus.publish("x", b"", headers={"a key": "value"})
    for subject in ("a b", "", "a\nb", "a ", "a\r\n", "\r\na"):
        with pytest.raises(Unsendable):
            await bus.publish(subject, b"")
        with pytest.raises(Unsendable):
            await bus.subscribe(subject, Seen())
    for reply in ("r s", "r\r\n", "\nr"):
        with pytest.raises(Unsendable):
            await bus.publish("x", b"", reply=reply)
    with pytest.raises(Unsendable):
        await bus.publish("", b"", reply="r s")
    with pytest.raises(Unsendable):
        await bus.subscribe("a.>.b", Seen())
    assert await bus.rtt() < 5
    assert bus.server == lives


async def test_a_loop_of_publishes_gives_way(site: Site) -> None:
    bus, others = await site.connect(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(10_000):
            await bus.publish("x", b"1" * 1000)
        assert others > 10
        with anyio.move_on_after(0) as scope:
            while True:
                await bus.publish("x", b"1" * 1000)
        assert scope.cancelled_caught
        tasks.cancel_scope.cancel()


async def test_while_the_server_is_away(site: Site) -> None:
    bus = await site.ready()
    came, seen, before = anyio.Event(), Seen(), bus.server
    bus.on_reconnect(came.set)
    await bus.subscribe("x", seen)
    await site.kill()
    await lost(bus)
    assert bus.server == before
    with pytest.raises(BusUnavailable):
        await bus.request("cmd", b"", timeout_s=1e9)
    with pytest.raises(BusUnavailable):
        await bus.backlog(ACKS)
    with pytest.raises(BusUnavailable):
        await bus.publish_batch([], stream=ACKS)
    await bus.publish("x", b"kept")
    with pytest.raises(BusUnavailable):
        await publish_much(bus)
    assert not came.is_set()
    await site.start()
    with anyio.fail_after(20):
        await came.wait()
    assert bus.connected
    assert bus.server not in ("", before)
    await bus.publish("x", b"fresh")  # the subscription is back too
    assert [message.data for message in await seen.have(2)] == [b"kept", b"fresh"]


async def publish_much(bus: AnyBus) -> None:
    """Publish more than a client keeps during an outage."""
    for _ in range(20):
        await bus.publish("y", b"x" * (1 << 20))


async def test_one_connection_is_cut_and_the_others_are_not(site: Site) -> None:
    bus, other = await site.connect(cable=True), await site.connect("other")
    here, there, comings = Seen(), Seen(), list[int]()
    await bus.subscribe("x", here)
    await other.subscribe("x", there)
    await bus.flush()
    bus.on_reconnect(lambda: comings.append(1))
    before = bus.server
    for number in (1, 2):
        await site.cut(bus)
        await lost(bus)
        assert other.connected
        await other.publish("x", b"missed")
        await there.have(2 * number - 1)
        await site.join(bus)
        await back(bus)
        await came(comings, number)
        assert bus.server == before
        await bus.flush()
        await other.publish("x", b"heard")
        await here.have(number)
        await there.have(2 * number)
    assert {message.data for message in here} == {b"heard"}


async def came(times: list[int], count: int) -> None:
    await until(lambda: len(times) == count)


async def test_draining_hands_over_sends_and_can_be_repeated(site: Site) -> None:
    observer, bus, seen, own = await site.connect("observer"), await site.connect(), Seen(), Seen()
    await observer.subscribe("x", seen)
    await observer.flush()
    subscription = await bus.subscribe("x", own)
    await bus.flush()
    await burst(bus, 1_000)
    await bus.drain()
    await seen.have(1_000)
    assert len(own) == 1_000
    assert not bus.connected
    await bus.drain()
    late_calls: list[Awaitable[object]] = [
        bus.publish("x", b""),
        bus.rtt(),
        bus.flush(),
        bus.request("x", b"", timeout_s=1),
        bus.subscribe("x", seen),
        subscription.unsubscribe(),
        bus.publish_batch([], stream=ACKS),
    ]
    for late in late_calls:
        with pytest.raises(BusUnavailable):
            await late


async def test_draining_without_a_server_does_not_wait(site: Site) -> None:
    bus = await site.connect()
    await site.kill()
    await lost(bus)
    with anyio.fail_after(10):
        await bus.publish("x", b"1")
        await bus.drain()
    with pytest.raises(BusUnavailable):
        await bus.publish("x", b"1")
