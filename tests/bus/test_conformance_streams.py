"""What every bus promises of its streams: stored once, refused by name, the newest kept, old ones gone."""

from typing import Any, cast

import anyio
import msgspec
import pytest

from bus import streams
from bus.api import BusTimeout, BusUnavailable, NoStream, Outgoing
from bus.client import ApiError, SafeClient
from bus.publisher import REFUSED_HERE
from bus.streams import TopologyRefused
from rollcall.clock import SystemClock
from tests.bus.sites import ACKS, DLQ, EVENTS, PINGS, AnyBus, Site, back, lost, stored
from tests.support.nats import Seen, until

TOO_LARGE = 10_054
WRONG_STREAM = 10_060
NO_TTL = 10_166
NOT_FOUND = 10_059


def event(n: int, data: bytes = b"{}") -> Outgoing:
    return Outgoing(f"rollcall.v1.evt.task.{n}.created", data, f"event:{n}", {"traceparent": "00-1-2-01"})


def ping(n: int, data: bytes = b"{}", **fields: Any) -> Outgoing:
    return Outgoing(f"rollcall.v1.in.ping.ann.{n}", data, f"ping:{n}", **fields)


async def test_a_batch_is_stored_once(bus: AnyBus) -> None:
    batch = [event(n) for n in range(1_500)]
    assert await bus.publish_batch([], stream=EVENTS) == []
    before = SystemClock().now()
    assert await bus.publish_batch(batch, stream=EVENTS) == []
    after = SystemClock().now()
    assert await stored(bus, EVENTS) == 1_500
    assert await bus.publish_batch(batch, stream=EVENTS) == []
    assert await bus.publish_batch([event(2_000), *batch[:10]], stream=EVENTS) == []
    backlog = await bus.backlog(EVENTS)
    assert backlog.count == 1_501
    assert before <= backlog.oldest_at_us <= after
    assert (await bus.backlog(DLQ)).oldest_at_us == 0


async def test_the_same_id_twice_in_a_batch_is_one_message(bus: AnyBus) -> None:
    assert await bus.publish_batch([event(1), event(1, b"other"), event(2)], stream=EVENTS) == []
    assert await stored(bus, EVENTS) == 2


async def test_an_id_is_forgotten_after_the_duplicate_window(site: Site, bus: AnyBus) -> None:
    config = {"name": "SHORT", "subjects": ["short"], "duplicate_window": 100_000_000, "storage": "memory"}
    await site.api(bus, "STREAM.CREATE.SHORT", config)

    async def twice() -> bool:
        assert await bus.publish_batch([Outgoing("short", b"", "1")], stream="SHORT") == []
        return await stored(bus, "SHORT") == 2

    await until(twice)


async def test_the_refused_are_named_and_the_rest_is_stored(bus: AnyBus) -> None:
    batch = [ping(n) for n in range(20)]
    batch[3] = ping(3, b"x" * 70_000)
    batch[4] = ping(4, ttl_s=0)
    batch[5] = Outgoing("rollcall.v1.in.ping.ann.5", b"", "")
    batch[6] = event(6)
    batch[7] = ping(7, b"x" * (1 << 20))
    batch[8] = Outgoing("rollcall.v1.in.ping.a b", b"", "ping:8")
    refused = await bus.publish_batch(batch, stream=PINGS)
    assert [(one.index, one.code) for one in refused] == [
        (3, TOO_LARGE),
        (4, REFUSED_HERE),
        (5, REFUSED_HERE),
        (6, WRONG_STREAM),
        (7, REFUSED_HERE),
        (8, REFUSED_HERE),
    ]
    assert all(one.reason for one in refused)
    assert await stored(bus, PINGS) == 14
    assert await stored(bus, EVENTS) == 0


async def test_headers_count_for_the_size(bus: AnyBus) -> None:
    limit = 64 * 1024
    overhead = len("NATS/1.0\r\nNats-Msg-Id: ping:1\r\nNats-Expected-Stream: ROLLCALL_PINGS\r\n\r\n")
    assert await bus.publish_batch([ping(1, b"x" * (limit - overhead))], stream=PINGS) == []
    (refused,) = await bus.publish_batch([ping(2, b"x" * (limit - overhead + 1))], stream=PINGS)
    assert refused.code == TOO_LARGE


async def test_a_queue_that_agents_write_takes_no_ttl(bus: AnyBus) -> None:
    answer = Outgoing("rollcall.v1.ack.ann.1", b"", "ack:1", ttl_s=5)
    assert [one.code for one in await bus.publish_batch([answer], stream=ACKS)] == [NO_TTL]


async def test_a_message_can_be_forgotten(bus: AnyBus) -> None:
    batch = [ping(1, ttl_s=1), ping(2, ttl_s=3600), ping(3)]
    assert await bus.publish_batch(batch, stream=PINGS) == []

    async def one_is_gone() -> bool:
        return await stored(bus, PINGS) == 2

    await until(one_is_gone)
    assert await bus.publish_batch([ping(1)], stream=PINGS) == []
    assert await stored(bus, PINGS) == 2  # its id is known for longer


async def test_old_messages_go(site: Site, bus: AnyBus) -> None:
    config = {
        "name": "BRIEF",
        "subjects": ["brief"],
        "max_age": 150_000_000,
        "duplicate_window": 150_000_000,
        "storage": "memory",
    }
    await site.api(bus, "STREAM.CREATE.BRIEF", config)
    await bus.publish_batch([Outgoing("brief", b"", "1"), Outgoing("brief", b"", "2")], stream="BRIEF")

    async def gone() -> bool:
        return await stored(bus, "BRIEF") == 0

    await until(gone)


@pytest.mark.parametrize("limit", [{"max_msgs": 2}, {"max_bytes": 500}])
async def test_a_full_stream_drops_its_oldest_or_may_have_room_later(
    site: Site, bus: AnyBus, limit: dict[str, int]
) -> None:
    for name, discard in (("NEWER", "old"), ("OLDER", "new")):
        config = {"name": name, "subjects": [name], "discard": discard, "storage": "memory", **limit}
        await site.api(bus, f"STREAM.CREATE.{name}", config)
    body = b"x" * 100
    for n in range(4):
        assert await bus.publish_batch([Outgoing("NEWER", body, f"{n}")], stream="NEWER") == []
    count = await stored(bus, "NEWER")
    assert 1 <= count <= 2
    await bus.publish_batch([Outgoing("OLDER", body, f"{n}") for n in range(count)], stream="OLDER")
    with pytest.raises(BusUnavailable, match=r"maximum (messages|bytes)"):
        await bus.publish_batch([Outgoing("OLDER", body, "more")], stream="OLDER")
    await site.api(bus, "STREAM.PURGE.OLDER")
    assert await bus.publish_batch([Outgoing("OLDER", body, "more")], stream="OLDER") == []


async def test_no_stream_listens(site: Site) -> None:
    bus = await site.connect()
    with pytest.raises(NoStream):
        await bus.publish_batch([event(n) for n in range(20)], stream=EVENTS)
    with pytest.raises(ApiError) as raised:
        await bus.backlog(EVENTS)
    assert (raised.value.code, raised.value.err_code) == (404, NOT_FOUND)


async def test_with_somebody_listening_a_stream_that_is_gone_is_silence(site: Site, bus: AnyBus) -> None:
    seen = Seen()
    await bus.subscribe("rollcall.v1.>", seen)
    await site.api(bus, f"STREAM.DELETE.{EVENTS}")
    with pytest.raises(BusTimeout):
        await bus.publish_batch([event(1)], stream=EVENTS, timeout_s=0.1)
    assert [message.subject for message in await seen.have(1)] == [event(1).subject]
    made = await streams.ensure(cast("SafeClient", bus.client), streams.topology())
    assert [change.what for change in made] == [f"stream {EVENTS}"]
    assert await bus.publish_batch([event(1)], stream=EVENTS) == []


async def test_the_mailbox_keeps_the_newest_and_tells_it_once(site: Site, bus: AnyBus) -> None:
    """Whoever listens hears each attempt once, however many processes publish it."""
    second, third = await site.connect("second"), await site.connect("third")
    heard = Seen()
    await bus.subscribe("rollcall.v1.ping.ann.*", heard)
    await bus.flush()
    for attempt in range(1, 6):
        batch = [
            Outgoing(
                f"rollcall.v1.in.ping.ann.{n}", b"%d" % attempt, f"ping:{n}:{attempt}", {"k": "v"}, ttl_s=60
            )
            for n in range(20)
        ]
        async with anyio.create_task_group() as tasks:
            for publisher in (bus, second, third):
                tasks.start_soon(store_all, publisher, batch)
    await heard.have(100)
    await bus.flush()
    assert sorted(message.data for message in heard) == sorted(
        b"%d" % n for n in range(1, 6) for _ in range(20)
    )
    assert await stored(bus, PINGS) == 20
    assert await bus.newest_id(PINGS, "rollcall.v1.ping.ann.7") == "ping:7:5"
    assert await bus.newest_id(PINGS, "rollcall.v1.ping.ann.99") == ""
    first = next(message for message in heard if message.subject == "rollcall.v1.ping.ann.7")
    headers = dict(first.headers)
    assert (headers.pop("Nats-Sequence"), headers.pop("Nats-Last-Sequence")) == ("8", "0")
    assert headers.pop("Nats-Time-Stamp").endswith("Z")
    assert headers == {
        "k": "v",
        "Nats-Msg-Id": "ping:7:1",
        "Nats-TTL": "60",
        "Nats-Expected-Stream": PINGS,
        "Nats-Stream": PINGS,
        "Nats-Subject": "rollcall.v1.ping.ann.7",
    }


async def store_all(bus: AnyBus, batch: list[Outgoing]) -> None:
    assert await bus.publish_batch(batch, stream=PINGS) == []


async def test_a_plain_client_stores_by_publishing(bus: AnyBus) -> None:
    subject, answers = "rollcall.v1.ack.ann.1", list[Any]()
    for headers in ({"Nats-Msg-Id": "1"}, {"Nats-Msg-Id": "1"}, None, {"Nats-TTL": "5"}):
        reply = await bus.request(subject, b"{}", headers=headers, timeout_s=5)
        answers.append(msgspec.json.decode(reply.data))
    assert answers[:3] == [
        {"stream": ACKS, "seq": 1},
        {"stream": ACKS, "seq": 1, "duplicate": True},
        {"stream": ACKS, "seq": 2},
    ]
    assert answers[3]["error"]["err_code"] == NO_TTL
    await bus.publish(subject, b"{}")
    await bus.flush()
    assert await stored(bus, ACKS) == 3


async def test_what_is_stored_outlives_the_server(site: Site, bus: AnyBus) -> None:
    batch = [event(n) for n in range(100)]
    await bus.publish_batch(batch, stream=EVENTS)
    await site.kill()
    await lost(bus)
    await site.start()
    await back(bus)
    assert await bus.publish_batch(batch, stream=EVENTS) == []
    assert await stored(bus, EVENTS) == 100


async def test_a_lost_connection_ends_the_wait_for_acknowledgements(site: Site) -> None:
    """What was sent may be stored: told at once, and the same ids again are no second message."""
    bus = await site.ready(cable=True)
    batch = [event(n) for n in range(50)]
    await bus.subscribe("nobody.answers", Seen())
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(BusUnavailable) as raised:
                await bus.publish_batch([Outgoing("nobody.answers", b"", "1")], stream=EVENTS, timeout_s=1e9)
            assert not isinstance(raised.value, BusTimeout)

        tasks.start_soon(wait)
        assert await bus.publish_batch(batch, stream=EVENTS) == []
        await site.cut(bus)
    await site.join(bus)
    await back(bus)
    assert await bus.publish_batch(batch, stream=EVENTS) == []
    assert await stored(bus, EVENTS) == 50


async def test_a_cancelled_batch_harms_no_other(bus: AnyBus) -> None:
    batch = [event(n) for n in range(100)]
    with anyio.move_on_after(0):
        await bus.publish_batch(batch, stream=EVENTS)
    await bus.flush()
    assert await bus.publish_batch(batch, stream=EVENTS) == []
    assert await stored(bus, EVENTS) == 100


async def test_events_cannot_be_edited_and_pings_can(site: Site, bus: AnyBus) -> None:
    assert await bus.publish_batch([event(1)], stream=EVENTS) == []
    assert await bus.publish_batch([ping(1), ping(2)], stream=PINGS) == []
    for verb, body in (("MSG.DELETE", {"seq": 1}), ("PURGE", {})):
        with pytest.raises(ApiError, match="not permitted"):
            await site.api(bus, f"STREAM.{verb}.{EVENTS}", body)
        await site.api(bus, f"STREAM.{verb}.{PINGS}", body)
    assert (await stored(bus, EVENTS), await stored(bus, PINGS)) == (1, 0)


async def test_the_topology_is_made_and_mended(site: Site) -> None:
    bus, topology = await site.connect(), streams.topology()
    client = cast("SafeClient", bus.client)
    assert {change.kind for change in await streams.missing(client, topology)} == {"missing"}
    assert {change.kind for change in await streams.ensure(client, topology)} == {"created"}
    assert await streams.ensure(client, topology) == []
    assert await streams.missing(client, topology) == []
    config = (await site.api(bus, f"STREAM.INFO.{DLQ}"))["config"]
    await site.api(bus, f"STREAM.UPDATE.{DLQ}", config | {"max_age": 3_600_000_000_000})
    assert [str(change) for change in await streams.missing(client, topology)] == [
        f"stream {DLQ}: drifted (max_age is 3600000000000, not 2592000000000000)"
    ]
    assert [change.kind for change in await streams.ensure(client, topology)] == ["repaired"]
    await site.api(bus, f"CONSUMER.DELETE.{ACKS}.answers")
    assert [str(change) for change in await streams.ensure(client, topology)] == [
        f"consumer {ACKS}.answers: created"
    ]


async def test_what_is_not_ours_is_refused(site: Site) -> None:
    bus, topology = await site.connect(), streams.topology()
    client = cast("SafeClient", bus.client)
    await site.api(bus, "STREAM.CREATE.AUDIT", {"name": "AUDIT", "subjects": ["rollcall.v1.evt.>"]})
    with pytest.raises(TopologyRefused, match="its subjects already belong to AUDIT"):
        await streams.ensure(client, topology)
    (refused,) = await bus.publish_batch([event(1)], stream=EVENTS)
    assert refused.code == WRONG_STREAM
    await site.api(bus, "STREAM.DELETE.AUDIT")
    await site.api(bus, f"STREAM.CREATE.{DLQ}", {"name": DLQ, "subjects": ["their.things"]})
    with pytest.raises(TopologyRefused, match="not ours: its subjects"):
        await streams.ensure(client, topology)
    with pytest.raises(ApiError, match="different configuration"):
        await site.api(bus, f"STREAM.CREATE.{DLQ}", {"name": DLQ, "subjects": ["other.things"]})
    await site.api(bus, f"STREAM.DELETE.{DLQ}")
    body = {"stream_name": ACKS, "config": {"durable_name": "theirs", "ack_policy": "explicit"}}
    await site.api(bus, f"CONSUMER.DURABLE.CREATE.{ACKS}.theirs", body)
    with pytest.raises(TopologyRefused, match=r"ROLLCALL_ACKS\.answers.*workqueue"):
        await streams.ensure(client, topology)
