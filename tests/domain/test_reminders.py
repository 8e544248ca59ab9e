"""Clocks that move no lease, and what is judged when: due dates, waits, holds, answers on their way."""

import pytest
from msgspec import json, structs

from contracts.codec import instant
from contracts.errors import NotFoundError
from contracts.messages import Ack, Complete, Notice, Snooze, Wait
from contracts.operations.tasks import AddParams, SetParams
from contracts.records import Assignment, Hold
from domain import assigning, escalation, pinging, tasks
from domain.timers import MINUTE_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


# --- reminders ---


def test_a_missed_due_date_is_said_once_and_moves_nothing(world: World) -> None:
    task = world.task(due_at=instant(START + 20 * MINUTE_US))
    lease = world.lease("a1")
    world.say("a1", Snooze(minutes=60))
    world.forward(minutes=25)
    assert [(notice.agent, notice.kind) for notice in world.notices] == [("a1", "due"), ("Ruto", "due")]
    said = json.decode(world.casts[0].body, type=Notice)
    assert (said.assignment, said.text) == (lease.id, f"Task {task} was due at 2027-01-15 08:20:00 UTC")
    assert world.lease("a1").status == "snoozed"
    assert world.lease("a1").deadline_at == world.lease("a1").snooze_until
    world.assign(task, "Ruto")
    assert world.holder(task).due_at is None
    world.forward(hours=5)
    assert len(world.notices) == 2


def test_main_is_told_once_of_its_own_due_date(world: World) -> None:
    world.task(to="Ruto", due_at=instant(START + MINUTE_US))
    world.forward(minutes=2)
    assert [notice.agent for notice in world.notices] == ["Ruto"]


def test_a_due_date_that_was_said_already_is_not_said_again(world: World) -> None:
    task = world.task(due_at=instant(START + MINUTE_US))
    world.tasks[task] = structs.replace(world.tasks[task], due_noticed=True)
    world.forward(minutes=2)
    assert not world.notices
    assert world.lease("a1").due_at is None


def test_due_and_accept_by_in_the_same_instant(world: World) -> None:
    task = world.task(due_at=instant(START + 30 * MINUTE_US))
    world.forward(minutes=30)
    assert world.events("due_missed", "escalated") == ["due_missed", "escalated"]
    assert world.tasks[task].due_noticed
    assert world.lease("Ruto").due_at is None


def test_a_wait_tells_the_awaited_then_main_then_flags(world: World) -> None:
    world.agent("a2")
    world.task(to="a1")
    world.say("a1", Wait(on="peer", who="a2"))
    world.notices.clear()
    world.forward(hours=30)
    assert [(notice.agent, notice.kind) for notice in world.notices] == [
        ("a2", "waited_too_long"),
        *[("Ruto", "waited_too_long")] * 6,
    ]
    assert [(notice.at - START) / MINUTE_US for notice in world.notices] == list(range(240, 1800, 240))
    row = world.lease("a1")
    assert (row.status, row.exhausted, row.deadline_at) == ("waiting", True, START + 1920 * MINUTE_US)
    assert world.pinged("a1") == [0]
    assert world.events("exhausted", "waited_too_long") == [*["waited_too_long"] * 3, "exhausted"]
    assert len(world.remarks("has waited too long")) == 3


@pytest.mark.parametrize("who", ["a person", None])
def test_a_wait_for_no_agent_tells_main(world: World, who: str | None) -> None:
    world.task(to="a1")
    world.say("a1", Wait(on="human", who=who))
    world.forward(hours=4)
    assert [notice.agent for notice in world.notices] == ["Ruto"]


def test_without_main_a_wait_is_remarked() -> None:
    world = World(main=False)
    world.agent("a1")
    task = world.task()
    world.say("a1", Wait(on="lock"))
    world.forward(hours=4)
    assert world.remarks("waited") == [f"a1 has waited too long (lock) with task {task}; told: nobody"]


def test_a_wait_with_an_end_goes_on_by_itself_and_is_pinged(world: World) -> None:
    world.task()
    world.say("a1", Ack())
    world.forward(minutes=5)
    world.say("a1", Wait(on="rate_limit", resume_at=instant(START + 90 * MINUTE_US)))
    assert world.agents["a1"].status == "waiting"
    world.forward(minutes=84.9)
    assert world.lease("a1").status == "waiting"
    world.forward(minutes=0.1)
    row = world.lease("a1")
    assert (row.status, row.progress_by) == ("acknowledged", START + (90 + 25) * MINUTE_US)
    assert world.pinged("a1") == [0, 90]
    assert world.events("wait_ended") == ["wait_ended"]
    assert len(world.assignments) == 1


# --- judging ---


def test_nobody_is_robbed_while_an_answer_is_on_its_way(world: World) -> None:
    world.task()
    world.handled = None
    world.forward(minutes=30)
    assert world.lease("a1").deadline_at == START + 30 * MINUTE_US + 1_000_000
    world.handled = START + 29 * MINUTE_US
    world.forward(minutes=1)
    world.say("a1", Ack(), at=START + 29 * MINUTE_US)
    world.handled = -1
    assert world.lease("a1").progress_by == START + 59 * MINUTE_US
    world.forward(minutes=27)
    assert world.lease("a1").status == "acknowledged"


def test_a_hold_moves_the_deadline_and_not_the_clock(world: World) -> None:
    world.task()
    world.holds = [Hold(start_at=START + 10 * MINUTE_US, end_at=START + 20 * MINUTE_US)]
    world.forward(minutes=39.9)
    row = world.lease("a1")
    assert (row.accept_by, row.deadline_at) == (START + 30 * MINUTE_US, START + 40 * MINUTE_US)
    world.forward(minutes=0.1)
    assert world.lease("Ruto").level == 1


def test_a_held_deadline_still_sees_the_due_date(world: World) -> None:
    task = world.task(due_at=instant(START + 35 * MINUTE_US))
    world.holds = [Hold(start_at=START + 10 * MINUTE_US, end_at=START + 20 * MINUTE_US)]
    world.forward(minutes=36)
    assert world.tasks[task].due_noticed
    assert world.lease("a1").deadline_at == START + 40 * MINUTE_US


def test_what_is_not_due_is_left_alone(world: World) -> None:
    world.task()
    lease = world.lease("a1")
    for decide in (escalation.deadline, pinging.ping):
        changes = decide(world, lease.id, world.now, world.timers)
        assert not changes.assignments
    world.say("a1", Complete())
    assert not escalation.deadline(world, lease.id, world.now + 10**12, world.timers).assignments
    assert not pinging.ping(world, lease.id, world.now + 10**12, world.timers).pings
    with pytest.raises(NotFoundError):
        escalation.deadline(world, 999, world.now, world.timers)


def test_a_flagged_wait_that_is_woken_early_sleeps_on(world: World) -> None:
    world.task()
    world.say("a1", Wait(on="human"))
    world.forward(hours=12)
    row = world.lease("a1")
    world.assignments[row.id] = structs.replace(row, deadline_at=world.now)
    world.tick()
    assert world.lease("a1").deadline_at == START + 960 * MINUTE_US


def unasked(world: World) -> Assignment:
    """Return a lease that nobody has pinged half an hour later, while all but the pinger work."""
    params = AddParams(title="ship it")
    world.decide(tasks.add, world.now, params, actor="operator:ann", timers=world.timers)
    world.claim(world.tasks, "assign_at", assigning.assign_due)
    for _ in range(3):
        world.now += 11 * MINUTE_US
        world.claim(world.assignments, "deadline_at", escalation.deadline)
    return world.lease("a1")


def test_nobody_is_judged_on_a_promise_that_was_never_asked_for(world: World) -> None:
    row = unasked(world)
    assert (row.status, row.attempt, row.deadline_at) == ("pending", 0, world.now + MINUTE_US)
    world.claim(world.assignments, "ping_at", pinging.ping)
    row = world.lease("a1")
    asked = world.now + 30 * MINUTE_US
    assert (row.attempt, row.accept_by, row.deadline_at) == (1, asked, asked)
    world.forward(minutes=29)
    assert (world.lease("a1").attempt, world.lease("a1").accept_by) == (2, asked)
    world.forward(minutes=1)
    assert world.assignments[row.id].end_reason == "timed_out"


def test_without_pings_the_promise_is_judged_as_it_was_made(world: World) -> None:
    row = unasked(world)
    world.operate(tasks.set_task, SetParams(task=row.task_id, pings_enabled=False))
    world.tick()
    assert world.assignments[row.id].end_reason == "timed_out"


def test_a_first_ping_within_a_tick_leaves_the_clock(world: World) -> None:
    params = AddParams(title="ship it")
    world.decide(tasks.add, world.now, params, actor="operator:ann", timers=world.timers)
    world.claim(world.tasks, "assign_at", assigning.assign_due)
    world.now += world.timers.recheck_us
    world.tick()
    assert (world.lease("a1").attempt, world.lease("a1").accept_by) == (1, START + 30 * MINUTE_US)


def test_after_an_outage_there_is_one_ping_and_one_step(world: World) -> None:
    world.task()
    before = len(world.pings)
    world.now += 10 * 3600 * 1_000_000
    world.tick()
    assert len(world.pings) - before <= 2  # the old holder's, then the new one's first
    assert world.events("escalated") == ["escalated"]
    assert world.lease("Ruto").accept_by == world.now + 60 * MINUTE_US
