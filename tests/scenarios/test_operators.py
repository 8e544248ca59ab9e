"""What operators say about assignments: in their own name, and never in an agent's."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from rollcall.cli.show import shown
from store.sql import queries
from store.statements import bound
from tests.support.world import Refused, World


async def attention(world: World) -> list[dict[str, Any]]:
    """Return what needs somebody; the state of the whole and its first line have to say the same."""
    found = await world.operator("attention.ls")
    status = await world.operator("system.status")
    assert status.needs == Counter(item.kind for item in found.items)
    line = next(shown("system.status", msgspec.to_builtins(status), "table"))
    kinds = ", ".join(f"{count} {kind}" for kind, count in status.needs.items())
    assert line == (f"needs somebody: {kinds} (rollcall attention ls)" if kinds else "nobody is needed")
    return list(msgspec.to_builtins(found.items))


async def test_who_is_acked_for_is_asked_later_and_has_said_nothing(world: World) -> None:
    task, lease = await world.given("a1")
    await world.forward(minutes=29)
    (item,) = await attention(world)
    assert (item["kind"], item["task"], item["agent"]) == ("silent", task, "a1")
    said = await world.operator("task.ack", task=task, reason="I called them")
    assert said.status == "pending"
    assert await attention(world) == []
    row = await world.lease(task)
    assert row.accepted_at is None
    assert row.agent == "a1"
    before = len(world.pings("a1", lease))
    await world.forward(minutes=29)
    assert (await world.lease(task)).agent == "a1"
    assert len(world.pings("a1", lease)) == before
    (event,) = world.events("operator_acked", lease.id)
    assert event["actor"].startswith("operator:")
    assert "I called them" in (await world.show(task)).comments[-1].text
    await world.forward(minutes=2)
    assert (await world.lease(task)).agent == "Ruto"


async def test_what_was_escalated_needs_somebody_until_its_new_holder_answers(world: World) -> None:
    task, _ = await world.given("a1")
    await world.forward(minutes=31)
    (item,) = await attention(world)
    assert (item["kind"], item["agent"]) == ("escalated", "Ruto")
    assert item["why"] == "Escalated to Ruto, not answered yet"
    await world.says("Ruto", "ack", await world.lease(task))
    assert await attention(world) == []


async def test_what_is_past_its_due_date_needs_somebody_once(world: World) -> None:
    task, lease = await world.given("a1", due_at="2027-01-15T08:05:00Z")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=6)
    (item,) = await attention(world)
    assert (item["kind"], item["task"], item["agent"]) == ("due", task, "a1")
    assert (item["since"], item["why"]) == ("2027-01-15T08:05:00Z", "its due date has passed")
    await world.says("a1", "wait", lease, on="human", reason="may I?")
    assert [item["kind"] for item in await attention(world)] == ["human"]  # and not due beside it
    await world.operator("task.cancel", task=task)
    assert await attention(world) == []


async def test_who_is_exhausted_is_acked_by_an_operator(world: World) -> None:
    task, _ = await world.given("a1")
    await world.forward(hours=8)
    (item,) = await attention(world)
    assert item["kind"] == "exhausted"
    assert item["why"].endswith("no step of the policy is left")
    await world.operator("task.ack", task=item["task"])
    row = await world.lease(task)
    assert not row.exhausted
    assert await attention(world) == []


async def test_a_stalled_one_that_is_acked_for_gets_its_whole_clock_again(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "progress", lease, note="half way")
    await world.forward(minutes=12)
    (item,) = await attention(world)
    assert (item["kind"], item["why"]) == ("stalled", "no progress since: half way")
    await world.operator("task.ack", task=task)
    row = await world.lease(task)
    assert not row.stalled
    assert row.warn_by is not None
    await world.forward(minutes=29)
    assert (await world.lease(task)).agent == "a1"


async def test_an_operator_may_snooze_what_an_agent_may_no_more(world: World) -> None:
    task, lease = await world.given("a1")
    for _ in range(3):
        await world.says("a1", "snooze", lease, minutes=1)
        await world.says("a1", "unsnooze", lease)
    assert (await world.refused("a1", "snooze", lease)).code == "snooze_limit"
    said = await world.operator("task.snooze", task=task, minutes=20, reason="lunch")
    assert said.status == "snoozed"
    row = await world.lease(task)
    assert row.snoozes == 3
    with pytest.raises(Refused) as caught:
        await world.operator("task.ack", task=task)
    assert caught.value.problem.code == "not_allowed_now"
    await world.forward(minutes=21)
    assert (await world.lease(task)).status == "pending"


async def test_who_waits_is_answered_and_goes_on(world: World) -> None:
    task, lease = await world.given("a1")
    with pytest.raises(Refused) as caught:
        await world.operator("task.answer", task=task, text="what?")
    assert caught.value.problem.code == "not_allowed_now"
    await world.says("a1", "ack", lease)
    with pytest.raises(Refused):
        await world.operator("task.answer", task=task, text="what?")
    await world.says("a1", "wait", lease, on="human", reason="May I?")
    (item,) = await attention(world)
    assert (item["kind"], item["why"], item["assignment"]) == ("human", "May I?", lease.id)
    said = await world.operator("task.answer", task=task, text="You may.")
    assert said.status == "acknowledged"
    assert await attention(world) == []
    notices = (await world.sync("a1")).notices
    assert notices[-1].kind == "answered"
    assert notices[-1].text.endswith(": You may.")
    assert (await world.show(task)).comments[-1].text.endswith("answered a1: You may.")
    await world.says("a1", "complete", lease)
    for verb, more in (("ack", {}), ("snooze", {}), ("answer", {"text": "x"})):
        with pytest.raises(Refused) as ended:
            await world.operator(f"task.{verb}", task=task, **more)
        assert ended.value.problem.code == "already_final", verb
    with pytest.raises(Refused) as nothing:
        await world.operator("task.ack", task=999)
    assert nothing.value.problem.code == "not_found"


async def test_what_nobody_has_and_who_is_dead_need_somebody(world: World) -> None:
    await world.operator("agent.set", name="Ruto", capacity=0)
    task = await world.task("a page", capabilities=["law"])
    await world.forward(minutes=30)
    (item,) = await attention(world)
    assert (item["kind"], item["task"], item["assignment"]) == ("unassigned", task, None)
    with pytest.raises(Refused) as nobody:
        await world.operator("task.ack", task=task)
    assert nobody.value.problem.code == "not_allowed_now"
    await world.operator("agent.add", name="a2")
    await world.asks("a2", "agent.join", session="s", interval_s=30)
    await world.forward(seconds=150)
    kinds = {item["kind"]: item for item in await attention(world)}
    assert kinds["dead"]["agent"] == "a2"


async def test_the_most_pressing_are_not_hidden_behind_the_many(world: World) -> None:
    await world.given("a1", priority="P3")
    await world.forward(hours=8)
    await world.given("a2", priority="P0")
    await world.forward(minutes=7)
    assert [item["kind"] for item in await attention(world)] == ["exhausted", "silent"]
    query = queries("sqlite")["attention_assignments"]
    ((kind, *_),) = world.rows(query.text, *bound(query, {"limit": 1}))
    assert kind == "exhausted"


async def test_other_steps_are_tried_on_what_is_open(world: World) -> None:
    task, _ = await world.given("a1")
    await world.agent("a2", capacity=3)
    other = await world.task("x", policy="default")
    steps = [{"kind": "peer"}, {"kind": "main"}]
    found = await world.operator("policy.preview", name="default", steps=steps, tasks=[task, other, 99])
    assert {item.task for item in found.items} == {task, other}
    item = next(item for item in found.items if item.task == task)
    assert item.before[0].what == "main taken"
    assert [step.what for step in item.after[:2]] == ["peer taken", "main taken"]
    assert (await world.operator("policy.preview", name="new", steps=steps, tasks=[task])).items == ()
    wrong = [{"kind": "main", "capability": "x"}]
    with pytest.raises(Refused) as caught:
        await world.operator("policy.preview", name="default", steps=wrong, tasks=[task])
    assert caught.value.problem.code == "invalid"
    assert [one.name for one in (await world.operator("policy.ls")).items] == ["default"]
