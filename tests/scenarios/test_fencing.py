"""Who answers what: only the holder, of this store, in its present session, once, and never after the end."""

import json
import uuid
from typing import Any

import anyio
import pytest

from bus.api import Incoming
from contracts.views import AssignmentView
from tests.support.nats import until
from tests.support.world import Refused, World

LATE = ["ack", "snooze", "progress", "complete"]


def fields(kind: str) -> dict[str, Any]:
    return {"note": "still at it"} if kind == "progress" else {}


async def reassigned(world: World) -> tuple[int, AssignmentView, AssignmentView]:
    """Take a task from a1, which had accepted it, and give it to a2."""
    task, old = await world.given("a1")
    await world.says("a1", "ack", old)
    await world.agent("a2")
    await world.operator("task.assign", task=task, agent="a2")
    return task, old, await world.lease(task)


@pytest.mark.parametrize("kind", LATE)
async def test_a_zombie_is_told_to_stop(world: World, kind: str) -> None:
    task, old, new = await reassigned(world)
    problem = await world.refused("a1", kind, old, **fields(kind))
    assert (problem.status, problem.code) == (409, "superseded")
    assert problem.state["holder"] == "a2"
    assert problem.state["order"] == "stop"
    assert await world.lease(task) == new
    assert (new.epoch, new.status) == (old.epoch + 1, "pending")
    query = (
        "SELECT actor FROM audit WHERE aggregate = 'assignment' AND aggregate_id = ? AND event = 'refused'"
    )
    assert world.rows(query, str(old.id)) == [("agent:a1",)]


@pytest.mark.parametrize("kind", LATE)
async def test_a_zombie_is_told_to_stop_on_the_stream_too(world: World, kind: str) -> None:
    task, old, new = await reassigned(world)
    await world.writes("a1", kind, old, command_id="late", **fields(kind))
    (outcome,) = [
        heard.body for heard in world.on(f"answer.a1.{old.id}") if heard.body["command_id"] == "late"
    ]
    assert (outcome["accepted"], outcome["kind"], outcome["problem"]["code"]) == (False, kind, "superseded")
    assert await world.lease(task) == new


async def test_the_loser_hears_that_its_lease_ended(world: World) -> None:
    _, old, _ = await reassigned(world)
    told = world.on(f"ping.a1.{old.id}")[-1].body
    assert (told["kind"], told["end_reason"], told["holder"]) == ("withdrawn", "superseded", "a2")


@pytest.mark.parametrize("order", [("complete", "ack"), ("ack", "complete")])
async def test_resolved_and_acknowledged_at_once_stays_resolved(world: World, order: tuple[str, str]) -> None:
    task, lease = await world.given("a1")
    for kind in order:
        await world.leaves("a1", kind, lease)
    await world.settle()
    await world.forward(hours=2)
    shown = await world.show(task)
    assert (shown.task.status, shown.assignments[0].end_reason) == ("done", "completed")
    assert len(shown.assignments) == 1
    assert world.pinged("a1") == [0]


@pytest.mark.parametrize("order", [("complete", "ack"), ("ack", "complete")])
async def test_the_same_by_request_from_two_connections(world: World, order: tuple[str, str]) -> None:
    task, lease = await world.given("a1")
    seen: dict[str, str] = {}

    async def say(kind: str) -> None:
        try:
            seen[kind] = (await world.says("a1", kind, lease)).status or ""
        except Refused as refused:
            seen[kind] = refused.problem.code

    async with anyio.create_task_group() as group:
        for kind in order:
            group.start_soon(say, kind)
    assert seen["complete"] == "completed"
    assert seen["ack"] in {"acknowledged", "already_final"}
    assert (await world.show(task)).task.status == "done"


@pytest.mark.parametrize("door", ["request", "stream"])
async def test_a_repeated_answer_is_effective_once(world: World, door: str) -> None:
    _, lease = await world.given("a1")
    body = {"command_id": str(uuid.uuid4()), "minutes": 20}
    for _ in range(3):
        if door == "request":
            outcome = await world.says("a1", "snooze", lease, **body)
            assert (outcome.accepted, outcome.status) == (True, "snoozed")
        else:
            await world.writes("a1", "snooze", lease, **body)
        await world.forward(minutes=1)
    assert len(world.events("snoozed", lease.id)) == 1
    if door == "stream":
        outcomes = {json.dumps(heard.body) for heard in world.on(f"answer.a1.{lease.id}")}
        assert len(outcomes) == 1
        assert len(world.on(f"answer.a1.{lease.id}")) == 3


async def test_an_answer_without_an_id_that_the_bus_delivers_again_is_not_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait whose settlement was lost comes again after its resume: it must not put the lease to sleep."""
    task, lease = await world.given("a1")
    handled: list[Incoming] = []

    def forget(message: Incoming) -> None:
        handled.append(message)

    with monkeypatch.context() as careless:
        careless.setattr(Incoming, "ack", forget)
        await world.leaves("a1", "wait", lease, on="human")
        await until(lambda: bool(handled))
    await world.leaves("a1", "resume", lease)
    await until(lambda: len(world.on(f"answer.a1.{lease.id}")) == 2)
    handled[0].nak()
    await world.settle()
    waited, resumed, again = (heard.body for heard in world.on(f"answer.a1.{lease.id}"))
    assert (waited["status"], resumed["status"], again) == ("waiting", "acknowledged", waited)
    assert (await world.lease(task)).status == "acknowledged"
    assert len(world.events("waiting", lease.id)) == 1


async def test_one_answer_by_both_doors_is_effective_once(world: World) -> None:
    _, lease = await world.given("a1")
    body = {"command_id": "c-1", "minutes": 20, "incarnation": world.incarnation}
    await world.writes("a1", "snooze", lease, **body)
    assert (await world.says("a1", "snooze", lease, **body)).status == "snoozed"
    assert len(world.events("snoozed", lease.id)) == 1


async def test_a_refusal_is_final_under_its_command_id(world: World) -> None:
    task, lease = await world.given("a1")
    assert (await world.refused("a1", "resume", lease, command_id="c-1")).code == "not_allowed_now"
    await world.says("a1", "wait", lease, on="human")
    assert (await world.refused("a1", "resume", lease, command_id="c-1")).code == "not_allowed_now"
    assert (await world.lease(task)).status == "waiting"


async def test_another_body_under_a_used_command_id_is_refused(world: World) -> None:
    _, lease = await world.given("a1")
    await world.says("a1", "snooze", lease, command_id="c-1", minutes=20)
    problem = await world.refused("a1", "snooze", lease, command_id="c-1", minutes=21)
    assert (problem.status, problem.code) == (409, "idempotency_mismatch")


async def test_a_command_id_belongs_to_its_actor(world: World) -> None:
    for name in ("a1", "a2"):
        _, lease = await world.given(name)
        assert (await world.says(name, "ack", lease, command_id="c-1")).accepted


async def test_an_answer_to_another_store_is_refused(world: World) -> None:
    task, lease = await world.given("a1")
    problem = await world.refused("a1", "ack", lease, incarnation="another")
    assert (problem.code, problem.state["incarnation"]) == ("other_incarnation", world.incarnation)
    await world.writes("a1", "ack", lease, incarnation="another")
    assert world.on(f"answer.a1.{lease.id}")[-1].body["problem"]["code"] == "other_incarnation"
    assert (await world.lease(task)).status == "pending"


async def test_an_answer_on_the_stream_has_to_name_its_store(world: World) -> None:
    task, lease = await world.given("a1")
    await world.stores(f"ack.a1.{lease.id}", b'{"kind":"ack"}')
    await world.settle()
    assert world.on(f"answer.a1.{lease.id}")[-1].body["problem"]["fields"] == {"incarnation": "missing"}
    assert (await world.lease(task)).status == "pending"


async def test_an_older_session_is_refused_and_an_absent_one_passes(world: World) -> None:
    task, lease = await world.given("a1")
    await world.asks("a1", "agent.join", session="old")
    await world.asks("a1", "agent.join", session="new")
    assert (await world.refused("a1", "complete", lease, session="old")).code == "stale_session"
    assert (await world.says("a1", "ack", lease)).accepted
    assert (await world.says("a1", "complete", lease, session="new")).accepted
    assert (await world.show(task)).task.status == "done"


async def test_the_assignment_of_another_does_not_exist(world: World) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    for number in (lease.id, lease.id + 1000):
        problem = await world.refused("a2", "ack", number)
        assert (problem.status, problem.code) == (404, "not_found")
    await world.writes("a2", "ack", lease)
    assert world.on(f"answer.a2.{lease.id}")[-1].body["problem"]["code"] == "not_found"
    assert (await world.lease(task)).status == "pending"


async def test_a_name_is_taken_whatever_its_case_and_spoken_as_it_is_registered(world: World) -> None:
    task, lease = await world.given("Ann")
    with pytest.raises(Refused, match="do you mean Ann"):
        await world.says("aNN", "ack", lease)
    assert (await world.lease(task)).status == "pending"
    with pytest.raises(Refused, match="409 exists"):
        await world.agent("ANN")
