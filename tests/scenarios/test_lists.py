"""Pages of assignments, comments, notices and escalations, by every filter."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.world import Refused, World


async def ids(world: World, operation: str, **params: Any) -> list[int]:
    return [row.id for row in (await world.operator(operation, **params)).items]


async def test_assignments_are_listed_by_every_filter(world: World) -> None:
    _, first = await world.given("a1")
    _, second = await world.given("a2")
    await world.says("a1", "ack", first)
    await world.says("a1", "complete", first)
    third = await world.lease(await world.task("third"))
    assert third.agent == "a1"
    await world.says("a2", "ack", second)
    one, two, three = first.id, second.id, third.id
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [two, three]),
        ({"all": True}, [one, two, three]),
        ({"status": "completed"}, [one]),
        ({"status": "acknowledged"}, [two]),
        ({"agent": "A1"}, [three]),
        ({"agent": "a1", "all": True}, [one, three]),
        ({"agent": "a1", "status": "completed"}, [one]),
        ({"agent": "a2", "status": "pending"}, []),
        ({"agent": "nobody"}, []),
        ({"exhausted": True}, []),
        ({"after": two}, [three]),
    ]
    for params, expected in cases:
        assert await ids(world, "assignment.ls", **params) == expected, params
    page = await world.operator("assignment.ls", all=True, limit=2)
    assert ([row.id for row in page.items], page.next) == ([one, two], two)
    assert (await world.operator("assignment.ls", all=True, limit=2, after=page.next)).next is None
    assert (await world.operator("assignment.show", assignment=two)).status == "acknowledged"
    with pytest.raises(Refused, match="404 not_found: there is no assignment 999"):
        await world.operator("assignment.show", assignment=999)


async def test_the_exhausted_are_found_among_the_open(world: World) -> None:
    task = await world.task("ship it")
    lease = await world.lease(task)
    assert lease.agent == "Ruto"
    await world.forward(hours=5)
    assert await ids(world, "assignment.ls", exhausted=True) == [lease.id]
    assert await ids(world, "assignment.ls", exhausted=True, agent="ruto") == [lease.id]
    await world.says("Ruto", "ack", lease)
    assert await ids(world, "assignment.ls", exhausted=True, all=True) == []


async def test_comments_are_listed_of_a_task_or_of_all(world: World) -> None:
    one, two = await world.task("one"), await world.task("two")
    for task, text in ((one, "a"), (two, "b"), (one, "c")):
        await world.operator("task.comment", task=task, text=text)

    async def said(**params: Any) -> list[tuple[int, str]]:
        rows = (await world.operator("comment.ls", **params)).items
        return [(row.task_id, row.text) for row in rows if row.author == "tester"]

    assert await said() == [(one, "a"), (two, "b"), (one, "c")]
    assert await said(task=one) == [(one, "a"), (one, "c")]
    page = await world.operator("comment.ls", task=one, limit=1)
    following = await world.operator("comment.ls", task=one, after=page.next)
    assert page.items[0].id < following.items[0].id
    assert following.next is None
    with pytest.raises(Refused, match="404 not_found"):
        await world.operator("comment.ls", task=999)


async def test_notices_are_listed_to_an_agent_or_to_all(world: World) -> None:
    _, lease = await world.given("a1")
    await world.agent("a2")
    await world.agent("a3")
    await world.says("a1", "wait", lease, on="peer", who="a2")
    await world.says("a1", "resume", lease)
    await world.says("a1", "wait", lease, on="peer", who="a3")
    page = await world.operator("notice.ls", limit=1)
    assert [(row.agent, row.kind, row.assignment_id) for row in page.items] == [("a2", "awaited", lease.id)]
    assert [row.agent for row in (await world.operator("notice.ls", after=page.next)).items] == ["a3"]
    assert [row.agent for row in (await world.operator("notice.ls", agent="A3")).items] == ["a3"]
    assert (await world.operator("notice.ls", agent="a1")).items == ()


async def test_escalations_are_listed_with_their_own_steps_and_what_was_skipped(world: World) -> None:
    await world.operator(
        "policy.set", name="peers", steps=[{"kind": "peer", "capability": "nothing"}, {"kind": "main"}]
    )
    await world.agent("a1")
    task = await world.task("ship it", policy="peers")
    await world.operator("policy.set", name="peers", steps=[{"kind": "main"}])
    await world.forward(minutes=31)
    (row,) = (await world.operator("escalation.ls")).items
    assert (row.task_id, row.title, row.agent, row.policy) == (task, "ship it", "Ruto", "peers")
    assert row.assignment_id == (await world.lease(task)).id
    detail = await world.operator("escalation.show", escalation=row.id)
    assert detail.escalation == row
    assert [(step.kind, step.outcome, step.target) for step in detail.steps] == [("main", "taken", "Ruto")]
    await world.says("Ruto", "complete", await world.lease(task))
    assert await ids(world, "escalation.ls") == []
    (ended,) = (await world.operator("escalation.ls", all=True, limit=1)).items
    assert (ended.id, ended.end_reason, ended.agent) == (row.id, "completed", None)
    assert await ids(world, "escalation.ls", all=True, after=ended.id) == []
    assert ended.ended_at is not None
    assert await ids(world, "escalation.ls", ended_since=ended.ended_at) == [row.id]
    later = ended.ended_at + timedelta(microseconds=1)
    assert await ids(world, "escalation.ls", ended_since=later) == []
    with pytest.raises(Refused, match="404 not_found"):
        await world.operator("escalation.show", escalation=999)


async def test_a_skipped_step_is_shown_with_its_reason(world: World) -> None:
    await world.operator(
        "policy.set", name="peers", steps=[{"kind": "peer", "capability": "nothing"}, {"kind": "main"}]
    )
    await world.agent("a1")
    await world.task("ship it", policy="peers")
    await world.forward(minutes=31)
    (row,) = (await world.operator("escalation.ls")).items
    assert [(step.kind, step.capability) for step in row.steps] == [("peer", "nothing"), ("main", None)]
    await world.operator("policy.set", name="peers", steps=[{"kind": "main"}])
    detail = await world.operator("escalation.show", escalation=row.id)
    assert detail.escalation.steps == row.steps
    skipped, taken = detail.steps
    assert (skipped.outcome, taken.outcome, taken.target) == ("skipped", "taken", "Ruto")
    assert skipped.reason
