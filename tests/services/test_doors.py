"""The doors: every service answers as ADR-32 says, and too much at once is shed where it may be."""

import anyio
import msgspec
import pytest

from bus.api import Incoming
from contracts.operations import ALL, owned_by, registry
from tests.support.world import World

SERVICES = {"assigner", "courier", "pinger", "escalator", "monitor", "relay", "intake", "notifier"}


async def gathered(world: World, subject: str, count: int) -> list[dict[str, object]]:
    """Ask without knowing who will answer, as `nats micro ls` does."""
    answers: list[Incoming] = []
    enough = anyio.Event()

    def on_answer(message: Incoming) -> None:
        answers.append(message)
        if len(answers) >= count:
            enough.set()

    inbox = world.bus.client.new_inbox()
    subscription = await world.bus.subscribe(inbox, on_answer)
    await world.bus.publish(subject, b"", reply=inbox)
    with anyio.fail_after(10):
        await enough.wait()
    await world.hear()
    await subscription.unsubscribe()
    return [msgspec.json.decode(answer.data) for answer in answers]


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_every_service_tells_of_itself(world: World, verb: str) -> None:
    told = await gathered(world, f"$SRV.{verb}", len(SERVICES))
    assert {str(one["name"]) for one in told} == {f"rollcall-{name}" for name in SERVICES}
    for one in told:
        assert one["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
        assert one["version"] == "0.0.0"
        assert one["id"]
        assert one["metadata"] == {}
        assert ("endpoints" in one) == (verb != "PING")


async def test_info_lists_every_operation_and_how_to_ask(world: World) -> None:
    (info,) = await gathered(world, "$SRV.INFO.rollcall-pinger", 1)
    listed = {end["name"]: end for end in msgspec.convert(info["endpoints"], list[dict[str, object]])}
    assert set(listed) == {operation.name.replace(".", "-") for operation in owned_by("pinger")}
    assert listed["assignment-ack"]["subject"] == "rollcall.v1.cmd.agent.*.ack"
    assert listed["assignment-ack"]["queue_group"] == "rollcall-pinger"
    assert info["description"]


async def test_every_operation_has_an_owner_that_answers(world: World) -> None:
    told = await gathered(world, "$SRV.INFO", len(SERVICES))
    ends = [end for one in told for end in msgspec.convert(one["endpoints"], list[dict[str, object]])]
    assert len(ends) == len(ALL)
    listed = {end["name"]: end["metadata"] for end in ends}
    assert listed == {operation.name.replace(".", "-"): registry.told(operation) for operation in ALL}


async def test_stats_count_requests_and_errors(world: World) -> None:
    _, lease = await world.given("a1")
    await world.says("a1", "ack", lease)
    await world.refused("a1", "ack", 999)
    (told,) = await gathered(world, "$SRV.STATS.rollcall-pinger", 1)
    ends = {end["name"]: end for end in msgspec.convert(told["endpoints"], list[dict[str, object]])}
    ack = ends["assignment-ack"]
    assert (ack["num_requests"], ack["num_errors"], ack["last_error"]) == (2, 1, "404:not_found")
    assert msgspec.convert(ack["processing_time"], int) > 0
