"""What every bus promises who pulls: in order, settled once, and nothing lost."""

import time
from typing import cast

import anyio
import pytest

from bus import streams
from bus.api import ConsumerGone, Incoming, Outgoing, Puller
from bus.client import SafeClient
from bus.puller import StandingPuller
from rollcall.clock import SystemClock
from tests.bus.sites import ACKS, AnyBus, Site, back, lost, put, settled, stored, take
from tests.support.nats import until

ACK_WAIT = {"ack_wait": 300_000_000}  # nanoseconds


async def arrived(puller: Puller, count: int) -> None:
    """Wait until so many are here, and not only left on the server."""
    await until(lambda: len(cast("StandingPuller", puller)._buffer) == count)


async def test_messages_come_in_order_and_are_gone_once_acknowledged(bus: AnyBus) -> None:
    puller, before = await bus.pull(ACKS, "answers", batch=100), SystemClock().now()
    await put(bus, *(b"%d" % n for n in range(1_000)))
    backlog = await bus.backlog(ACKS)
    messages = await take(puller, 1_000)
    assert [message.data for message in messages] == [b"%d" % n for n in range(1_000)]
    assert [message.seq for message in messages] == list(range(1, 1_001))
    assert {message.delivered for message in messages} == {1}
    assert messages[7].subject == "rollcall.v1.ack.ann.7"
    assert messages[7].headers["Nats-Msg-Id"] == "ack:b'7'"
    assert messages[7].reply.startswith(f"$JS.ACK.{ACKS}.answers.1.8.")
    assert before <= messages[0].at_us <= messages[-1].at_us <= SystemClock().now()
    assert (backlog.count, backlog.oldest_at_us) == (1_000, messages[0].at_us)
    for message in messages:
        message.ack()
    await settled(bus)
    assert (await bus.backlog(ACKS)).oldest_at_us == 0
    await puller.close()


async def test_a_message_given_back_comes_again(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, b"1", b"2")
    first, second = await take(puller, 2)
    first.nak(0.2)
    second.nak()
    began = time.monotonic()
    again = await take(puller, 2)
    assert [(message.data, message.delivered) for message in again] == [(b"2", 2), (b"1", 2)]
    assert time.monotonic() - began > 0.15
    assert (again[0].seq, again[0].at_us) == (second.seq, second.at_us)
    again[0].ack()
    again[1].term()
    await settled(bus)
    await puller.close()


async def test_only_the_first_word_about_a_message_counts(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, b"1", b"2")
    first, second = await take(puller, 2)
    first.nak(0.05)
    first.ack()
    second.ack()
    second.nak()
    (again,) = await take(puller, 1)
    assert (again.data, again.delivered) == (b"1", 2)
    again.ack()
    await settled(bus)
    Incoming(subject="core", data=b"").ack()
    await puller.close()


async def test_what_is_not_settled_in_time_comes_again_to_whoever_asks(site: Site) -> None:
    bus = await site.ready(answers=ACK_WAIT)
    other = await site.connect("other")
    first, second = await bus.pull(ACKS, "answers", batch=10), await other.pull(ACKS, "answers", batch=10)
    await put(bus, b"1", b"2")
    mine = await take(first, 2)
    again = await take(second, 1)
    while again[-1].delivered < 3:  # unlimited deliveries
        again += await take(second, 1)
    for message in mine:
        message.ack()  # late, and still a settlement
    await settled(bus)
    await second.close()
    await first.close()


async def test_take_waits_no_longer_than_asked_and_takes_no_more(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, *(b"%d" % n for n in range(150)))
    assert len(await take(puller, 1)) == 1
    await until(lambda: puller.pending() == 149)  # some here, the others there
    some = len(await puller.take(10, expires_s=5))
    assert 1 <= some <= 10
    assert len(await take(puller, 149 - some)) == 149 - some
    assert puller.pending() == 0
    with anyio.fail_after(5):
        assert await puller.take(10, expires_s=0.02) == []
    await puller.close()


async def test_no_more_than_may_be_unsettled_is_given_out(site: Site) -> None:
    bus = await site.ready(answers={"max_ack_pending": 5})
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, *(b"%d" % n for n in range(8)))
    first = await take(puller, 5)
    assert await puller.take(10, expires_s=0.1) == []
    first[0].ack()
    (sixth,) = await take(puller, 1)
    assert sixth.data == b"5"
    for message in (*first, sixth):
        message.ack()
    for message in await take(puller, 2):
        message.ack()
    await settled(bus)
    await puller.close()


async def test_a_cancelled_take_loses_nothing(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    for n in range(20):
        with anyio.move_on_after(0.001 * (n % 3)):
            await puller.take(10, expires_s=5)
        await put(bus, b"%d" % n)
        (message,) = await take(puller, 1)
        assert (message.data, message.delivered) == (b"%d" % n, 1)
        message.ack()
    await settled(bus)
    await puller.close()


async def test_a_take_cancelled_as_something_comes_loses_nothing(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    for n in range(20):
        taken: list[Incoming] = []
        async with anyio.create_task_group() as tasks:

            async def wait(taken: list[Incoming] = taken) -> None:
                taken += await puller.take(10, expires_s=5)

            tasks.start_soon(wait)
            await put(bus, b"%d" % n)
            tasks.cancel_scope.cancel()
        taken += [] if taken else await take(puller, 1)
        assert [(message.data, message.delivered) for message in taken] == [(b"%d" % n, 1)]
        taken[0].ack()
    await settled(bus)
    await puller.close()


async def test_what_is_published_while_nobody_pulls_waits(site: Site, bus: AnyBus) -> None:
    first = await bus.pull(ACKS, "answers", batch=10)
    await first.close()
    await put(bus, b"1")
    assert await stored(bus, ACKS) == 1
    second = await (await site.connect("other")).pull(ACKS, "answers", batch=10)
    (message,) = await take(second, 1)
    assert (message.data, message.delivered) == (b"1", 1)
    message.ack()
    await settled(bus)
    await second.close()


async def test_two_pullers_share_a_consumer(site: Site, bus: AnyBus) -> None:
    other = await site.connect("other")
    got: list[list[bytes]] = [[], []]
    async with anyio.create_task_group() as tasks:

        async def work(number: int, link: AnyBus) -> None:
            puller = await link.pull(ACKS, "answers", batch=5)
            while True:
                for message in await puller.take(5, expires_s=5):
                    got[number].append(message.data)
                    message.ack()

        tasks.start_soon(work, 0, bus)
        tasks.start_soon(work, 1, other)
        for first in range(0, 300, 10):
            await put(bus, *(b"%d" % n for n in range(first, first + 10)))
        await settled(bus)
        tasks.cancel_scope.cancel()
    assert all(got)
    assert sorted(got[0] + got[1]) == sorted(b"%d" % n for n in range(300))


async def test_close_gives_back_what_is_not_settled(site: Site, bus: AnyBus) -> None:
    other = await site.connect("other")
    first = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, *(b"%d" % n for n in range(10)))
    done, *rest = await take(first, 5)
    await arrived(first, 5)
    done.ack()
    await first.close()
    await first.close()
    second = await other.pull(ACKS, "answers", batch=100)
    again = await take(second, 9)
    assert sorted(message.data for message in again) == [b"%d" % n for n in range(1, 10)]
    assert {message.delivered for message in again} == {2}
    for message in rest:
        message.ack()  # too late: it is another's
    await bus.flush()
    assert await stored(bus, ACKS) == 9
    await second.close()


async def test_a_restart_of_the_server_is_only_a_pause(site: Site, bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, b"1", b"2")
    (first,) = await take(puller, 1)
    await arrived(puller, 1)
    await site.kill()
    await lost(bus)
    (second,) = await puller.take(10, expires_s=5)  # it was here already
    first.ack()  # kept until the connection is back
    second.ack()
    assert await puller.take(10, expires_s=0.02) == []
    other = await bus.pull(ACKS, "answers", batch=1)
    assert await other.take(1, expires_s=0.02) == []
    await other.close()
    seen: list[bytes] = []

    async def work() -> None:
        while True:
            for message in await puller.take(10, expires_s=5):
                seen.append(message.data)
                message.ack()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await site.start()
        await back(bus)
        await put(bus, b"3")
        await settled(bus)
        tasks.cancel_scope.cancel()
    # A crash can put the consumer back behind the stream, so the first two may come twice.
    assert set(seen) - {b"1", b"2"} == {b"3"}
    await puller.close()


async def test_a_cut_connection_pulls_again_when_it_is_back(site: Site) -> None:
    """The server may send into the cut, so what was published meanwhile may need its ack wait."""
    bus, other = await site.ready(cable=True, answers=ACK_WAIT), await site.connect("other")
    puller = await bus.pull(ACKS, "answers", batch=100)
    assert await puller.take(1, expires_s=0.02) == []
    await site.cut(bus)
    await lost(bus)
    await put(other, b"1")
    assert await puller.take(1, expires_s=0.02) == []
    await site.join(bus)
    (message,) = await take(puller, 1)
    assert message.data == b"1"
    message.ack()
    await settled(other)
    await puller.close()


@pytest.mark.parametrize("verb", [f"CONSUMER.DELETE.{ACKS}.answers", f"STREAM.DELETE.{ACKS}"])
async def test_a_deleted_consumer_is_told_and_can_be_made_again(site: Site, bus: AnyBus, verb: str) -> None:
    puller = await bus.pull(ACKS, "answers", batch=100)
    await put(bus, b"1")
    await take(puller, 1)

    async def delete() -> None:
        await site.api(bus, verb)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delete)
        with anyio.fail_after(10), pytest.raises(ConsumerGone, match=r"ROLLCALL_ACKS\.answers"):
            await take(puller, 1_000)
    with anyio.fail_after(10), pytest.raises(ConsumerGone):  # still
        await puller.take(10, expires_s=5)
    await streams.ensure(cast("SafeClient", bus.client), streams.topology())
    await put(bus, b"2")
    left = await take(puller, 1 if "STREAM" in verb else 2)
    assert {message.data for message in left} == ({b"2"} if "STREAM" in verb else {b"1", b"2"})
    assert {message.delivered for message in left} == {1}
    await puller.close()


async def test_a_message_that_looks_like_a_status_is_a_message(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=10)
    headers = {"Status": "409", "Description": "Consumer Deleted"}
    assert await bus.publish_batch([Outgoing("rollcall.v1.ack.eve.1", b"", "x", headers)], stream=ACKS) == []
    (message,) = await take(puller, 1)
    assert message.headers["Status"] == "409"
    await puller.close()


async def test_closing_after_the_connection_is_no_fault(bus: AnyBus) -> None:
    puller = await bus.pull(ACKS, "answers", batch=1)
    await bus.drain()
    await puller.close()
