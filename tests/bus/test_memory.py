"""What a test can do to the in-memory bus, and what it is told of it."""

import asyncio
import random
from collections.abc import Sequence

import anyio
import pytest

from bus import streams
from bus.api import BusTimeout, BusUnavailable, Outgoing
from bus.memory import Calm, Hop, MemoryBus, MemoryServer, Record, Rough
from rollcall.clock import SystemClock
from tests.bus.sites import ACKS, put, settled, take
from tests.support.nats import Seen, until

ANSWERS = "answers"


class Fog(Calm):
    """Does something to the next message at one hop, then is calm."""

    def __init__(self, hop: Hop, *delays: float) -> None:
        self.hop = hop
        self.delays: Sequence[float] | None = delays

    def fate(self, hop: Hop, subject: str, peer: str) -> Sequence[float]:
        if hop != self.hop or self.delays is None:
            return super().fate(hop, subject, peer)
        delays, self.delays = self.delays, None
        return delays


async def ready(ack_wait_ms: int = 30_000) -> tuple[MemoryServer, MemoryBus]:
    server = MemoryServer(SystemClock(), rng=random.Random(1))
    bus = await MemoryBus.open(server, name="test")
    topology = streams.topology()
    topology.durables[0].config["ack_wait"] = ack_wait_ms * 1_000_000
    await bus.ensure(topology)
    return server, bus


async def test_a_crash_can_put_consumers_back() -> None:
    server, bus = await ready()
    puller = await bus.pull(ACKS, ANSWERS, batch=10)
    await put(bus, *(b"%d" % n for n in range(6)))
    for message in (await take(puller, 6))[:4]:
        message.ack()
    server.stop()
    server.start(put_back=2)
    again = await take(puller, 4)
    assert [(message.data, message.delivered) for message in again] == [(b"%d" % n, 1) for n in range(2, 6)]
    for message in again:
        message.ack()
    await settled(bus)
    server.stop()
    with pytest.raises(BusUnavailable):
        await MemoryBus.open(server, name="late")


async def test_the_dead_do_nothing_more() -> None:
    server, bus = await ready(200)
    dying, seen = await MemoryBus.open(server, name="dying"), Seen()
    await bus.subscribe("x", seen)
    await dying.subscribe("y", lambda _: pytest.fail("a dead handler was called"))
    puller = await dying.pull(ACKS, ANSWERS, batch=10)
    await put(bus, b"1")
    (message,) = await take(puller, 1)
    await bus.publish("y", b"on its way")
    server.abandon(dying)
    message.ack()
    calls = (dying.publish("x", b""), dying.publish_batch([], stream=ACKS), puller.take(1, expires_s=0.0))
    tasks = [asyncio.ensure_future(call) for call in calls]
    await bus.publish("y", b"after")
    (again,) = await take(await bus.pull(ACKS, ANSWERS, batch=1), 1)
    assert again.data == b"1"
    assert again.delivered >= 2
    assert not any(task.done() for task in tasks)
    assert not seen
    for task in tasks:
        task.cancel()


async def test_a_message_can_be_delivered_again_at_once() -> None:
    server, bus = await ready()
    puller = await bus.pull(ACKS, ANSWERS, batch=10)
    await put(bus, b"1")
    first = await take(puller, 1)
    assert server.repeat(ACKS, ANSWERS) == 1
    again = await take(puller, 1)
    assert [message.delivered for message in first + again] == [1, 2]


@pytest.mark.parametrize("hop", ["store", "puback"])
async def test_a_batch_whose_message_or_acknowledgement_is_lost_is_in_doubt(hop: Hop) -> None:
    server, bus = await ready()
    server.weather = Fog(hop)
    items = [Outgoing("rollcall.v1.ack.ann.1", b"", "1")]
    with pytest.raises(BusTimeout):
        await bus.publish_batch(items, stream=ACKS, timeout_s=0.02)
    assert len(server.streams[ACKS].messages) == (hop == "puback")
    assert await bus.publish_batch(items, stream=ACKS) == []
    assert len(server.streams[ACKS].messages) == 1


@pytest.mark.parametrize("hop", ["push", "settle"])
async def test_a_lost_delivery_or_settlement_is_made_up_after_the_ack_wait(hop: Hop) -> None:
    server, bus = await ready(100)
    puller = await bus.pull(ACKS, ANSWERS, batch=10)
    server.weather = Fog(hop)
    await put(bus, b"1")
    messages = await take(puller, 1)
    messages[0].ack()
    if hop == "settle":
        messages += await take(puller, 1)
        messages[1].ack()
    assert messages[-1].delivered == 2
    await settled(bus)


async def test_messages_are_doubled_and_overtaken() -> None:
    server, bus = await ready()
    seen = Seen()
    await bus.subscribe("x", seen)
    server.weather = Fog("deliver", 0.0, 0.05)
    for body in (b"1", b"2"):
        await bus.publish("x", body)
    assert [message.data for message in await seen.have(3)] == [b"1", b"2", b"1"]
    server.weather = Fog("publish", 0.05)
    await bus.publish("x", b"3")
    await bus.publish("x", b"4")
    await bus.flush()  # waits for what is still on its way
    assert [message.data for message in await seen.have(5)][3:] == [b"4", b"3"]


async def test_what_is_on_its_way_is_lost_with_the_server() -> None:
    server, bus = await ready()
    seen = Seen()
    await bus.subscribe("x", seen)
    for hop in ("publish", "deliver"):
        server.weather = Fog(hop, 0.02)
        await bus.publish("x", b"lost")
    server.stop()
    server.start()
    await until(lambda: bus.connected)
    server.weather = Fog("publish", 0.1)
    await bus.publish("x", b"last")
    assert [message.data for message in await seen.have(1)] == [b"last"]


async def test_a_lost_question_is_a_timeout() -> None:
    server, bus = await ready()
    server.weather = Fog("ask")
    with anyio.move_on_after(0.05) as scope:
        await bus.rtt()
    assert scope.cancelled_caught
    server.weather = Fog("deliver")
    with pytest.raises(BusTimeout):
        await bus.request("nobody", b"", timeout_s=0.02)


async def test_the_taps_are_told_all() -> None:
    server, bus = await ready()
    history: list[Record] = []
    server.taps.append(history.append)
    seen = Seen()
    await bus.subscribe("rollcall.v1.ping.>", seen, limit=1)
    puller = await bus.pull(ACKS, ANSWERS, batch=10)
    pings = [Outgoing(f"rollcall.v1.in.ping.ann.{n}", b"p", f"ping:{n}") for n in (1, 2)]
    await bus.publish_batch(pings, stream="ROLLCALL_PINGS")
    await seen.have(1)
    await put(bus, b"1")
    for settle in ("nak", "ack"):
        (message,) = await take(puller, 1)
        getattr(message, settle)()
    assert [
        (one.kind, one.subject, one.peer, one.delivered) for one in history if one.peer != "" or one.stream
    ] == [
        ("stored", "rollcall.v1.ping.ann.1", "", 0),
        ("stored", "rollcall.v1.ping.ann.2", "", 0),
        ("dropped", "rollcall.v1.ping.ann.2", "test", 0),
        ("heard", "rollcall.v1.ping.ann.1", "test", 0),
        ("stored", "rollcall.v1.ack.ann.1", "", 0),
        ("pulled", "rollcall.v1.ack.ann.1", "test", 1),
        ("nak", "rollcall.v1.ack.ann.1", "", 0),
        ("pulled", "rollcall.v1.ack.ann.1", "test", 2),
        ("ack", "rollcall.v1.ack.ann.1", "", 0),
    ]


def drawn(seed: int) -> list[tuple[float, ...]]:
    weather = Rough(random.Random(seed), lose=0.2, double=0.2, delay=0.2, hops=("publish", "deliver"))
    fates = [tuple(weather.fate("publish", "x", "y")) for _ in range(100)]
    return [*fates, (weather.away_s("y"),)]


def test_rough_weather_repeats_by_its_seed_and_leaves_other_hops_alone() -> None:
    assert drawn(1) == drawn(1) != drawn(2)
    assert {len(fate) for fate in drawn(1)} == {0, 1, 2}
    calm = Rough(random.Random(1), lose=1.0, hops=("store",))
    assert calm.fate("publish", "x", "y") == (0.0,)
    assert calm.fate("store", "x", "y") == ()
