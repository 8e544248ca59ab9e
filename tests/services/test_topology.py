"""A stream or a consumer is lost under a running system: it is made again, and the store knows all."""

import msgspec
import pytest

from tests.support.nats import until
from tests.support.world import World

API = "$JS.API"


async def api(world: World, verb: str) -> dict[str, object]:
    reply = await world.bus.request(f"{API}.{verb}", b"", timeout_s=5)
    found: dict[str, object] = msgspec.json.decode(reply.data)
    return found


async def stands(world: World, verb: str) -> bool:
    return "error" not in await api(world, verb)


@pytest.mark.parametrize("verb", ["CONSUMER.DELETE.ROLLCALL_ACKS.answers", "STREAM.DELETE.ROLLCALL_ACKS"])
async def test_answers_are_taken_again(world: World, verb: str) -> None:
    task, lease = await world.given("a1")
    assert await stands(world, verb)
    await until(lambda: stands(world, "CONSUMER.INFO.ROLLCALL_ACKS.answers"))
    await world.writes("a1", "ack", lease)
    assert (await world.lease(task)).status == "acknowledged"


async def test_an_answer_outlives_its_consumer(world: World) -> None:
    task, lease = await world.given("a1")
    await world.stop()
    await world.leaves("a1", "ack", lease)
    assert await stands(world, "CONSUMER.DELETE.ROLLCALL_ACKS.answers")
    await world.start()
    await world.settle()
    assert (await world.lease(task)).status == "acknowledged"


@pytest.mark.parametrize("stream", ["PINGS", "EVENTS", "DLQ"])
async def test_what_is_published_finds_a_new_stream(world: World, stream: str) -> None:
    task, lease = await world.given("a1")
    assert await stands(world, f"STREAM.DELETE.ROLLCALL_{stream}")
    if stream == "DLQ":
        await world.stores("ack.a1.nobody", b"{}")
    await world.forward(minutes=5)
    assert world.pinged("a1", lease) == [0, 5]
    await world.says("a1", "complete", lease)
    assert len(world.events("completed", task, of="task")) == 1
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert await stands(world, f"STREAM.INFO.ROLLCALL_{stream}")
    if stream == "DLQ":
        assert len((await world.operator("dlq.ls")).items) == 1


async def test_a_server_that_lost_everything_is_furnished_again(world: World) -> None:
    _, lease = await world.given("a1")
    for stream in ("PINGS", "EVENTS", "DLQ", "ACKS"):
        assert await stands(world, f"STREAM.DELETE.ROLLCALL_{stream}")
    await until(lambda: stands(world, "CONSUMER.INFO.ROLLCALL_ACKS.answers"))
    await world.forward(minutes=6)
    await world.writes("a1", "ack", lease, attempt=2)
    assert world.pinged("a1", lease) == [0, 5]
    assert world.rows("SELECT status FROM assignments") == [("acknowledged",)]
