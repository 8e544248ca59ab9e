"""Steps and whom they turn to, repeats, reminders, holds, and rehearsals."""

import pytest
from msgspec import json, structs

from contracts.codec import instant
from contracts.errors import ConflictError, NotFoundError
from contracts.messages import Ack, Complete, Decline, Notice, Ping, Progress, Snooze, Wait
from contracts.operations.agents import SetParams
from contracts.operations.answers import LeaveParams
from contracts.operations.policies import TryResult, TryStep
from contracts.operations.tasks import SetParams as TaskParams
from contracts.records import Hold, PolicyStep
from domain import agents, escalation, pinging, presence, tasks
from domain.rehearsal import Rehearsal
from domain.timers import MINUTE_US, Timers
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def test_retry_peer_main_in_their_order(world: World) -> None:
    world.policy("default", "retry", "peer", "main")
    task = world.task()
    world.agent("a2")
    world.forward(hours=3)
    rows = [row for row in world.assignments.values() if row.task_id == task]
    assert [(row.agent, row.level, row.step) for row in rows] == [
        ("a1", 0, None),
        ("a1", 1, 1),
        ("a2", 2, 2),
        ("Ruto", 3, 3),
    ]
    assert [(s.kind, s.outcome, s.target) for s in world.steps.values()][:3] == [
        ("retry", "taken", "a1"),
        ("peer", "taken", "a2"),
        ("main", "taken", "Ruto"),
    ]
    assert world.remarks("Escalated") == [
        "Escalated from a1 (timeout) to a1 (step 1)",
        "Escalated from a1 (timeout) to a2 (step 2)",
        "Escalated from a2 (timeout) to Ruto (step 3)",
    ]


def test_a_peer_may_be_asked_for_another_capability(world: World) -> None:
    world.policy("default", PolicyStep(kind="peer", capability="review"))
    world.agent("a2")
    world.agent("a3", "review")
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert world.holder(task).agent == "a3"


def test_a_peer_needs_what_the_task_needs(world: World) -> None:
    world.policy("default", "peer")
    world.agent("a2", "review")
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert (world.holder(task).agent, world.holder(task).exhausted) == ("a1", True)
    (step,) = world.steps.values()
    assert step.reason == "no peer is able (a2 not capable: code)"
    assert world.pinged("a1") == [0, 5, 30]


def test_with_nobody_about_every_step_is_skipped_and_tried_again() -> None:
    world = World(main=False)
    world.agent("a1")
    world.policy("default", "peer", "main")
    task = world.task()
    world.forward(hours=5)
    assert [step.reason for step in world.steps.values()] == [
        "no peer is able (none has room)",
        "there is no main agent",
    ]
    assert world.events("exhausted") == ["exhausted"]
    assert world.pinged("a1") == [0, 5, 30, 150, 270]
    world.agent("a2")
    world.forward(hours=2)
    assert (world.holder(task).agent, world.holder(task).exhausted, world.holder(task).step) == (
        "a2",
        False,
        1,
    )
    (peer, _) = world.steps.values()
    assert (peer.outcome, peer.successor_id) == ("taken", world.holder(task).id)


def test_a_holder_that_is_gone_cannot_retry(world: World) -> None:
    world.agent("b1", beats="required")
    world.join("b1")
    world.policy("default", "retry", "main")
    world.task(to="b1")
    world.decide(presence.leave, world.now, "b1", LeaveParams(), timers=world.timers)
    world.forward(minutes=31)
    assert [(s.outcome, s.reason) for s in world.steps.values()] == [
        ("skipped", "b1 is not present: offline"),
        ("taken", "able"),
    ]


def test_main_needs_neither_capability_nor_room_but_must_be_alive(world: World) -> None:
    world.operate(agents.set_agent, SetParams(name="Ruto", capacity=0))
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert world.holder(task).agent == "Ruto"
    world.say("Ruto", Complete())
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    other = world.task(to="a1")
    world.forward(minutes=31)
    assert world.holder(other).exhausted
    assert [step.reason for step in world.steps.values()][-1] == "Ruto is quarantined"
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=False))
    world.forward(hours=2)
    assert world.holder(other).agent == "Ruto"


def test_main_that_gave_it_back_is_not_asked_again_in_this_round(world: World) -> None:
    task = world.task(to="Ruto")
    world.say("Ruto", Decline())
    world.tick()
    assert world.holder(task).agent == "a1"
    world.forward(minutes=31)
    assert [step.reason for step in world.steps.values()] == ["Ruto is done with it in this round"]
    assert world.holder(task).exhausted


def test_another_main_agent_can_be_turned_to(world: World) -> None:
    world.agent("Zoe", kind="main_agent")
    world.agents["zoe"] = structs.replace(world.agents["zoe"], failures=3)
    task = world.task(to="Ruto")
    world.forward(minutes=61)
    assert world.holder(task).agent == "Zoe"
    world.forward(hours=10)
    assert (world.holder(task).agent, world.holder(task).exhausted) == ("Zoe", True)


def test_notify_tells_and_leaves_the_row_with_a_fresh_clock(world: World) -> None:
    world.policy("default", "notify", PolicyStep(kind="notify", who="the-boss"), "main")
    task = world.task()
    world.forward(minutes=30)
    row = world.holder(task)
    assert (row.agent, row.accept_by, row.level) == ("a1", START + 60 * MINUTE_US, 0)
    assert [(notice.agent, notice.kind) for notice in world.notices] == [("Ruto", "silent")]
    world.forward(minutes=30)
    assert len(world.notices) == 1  # a person is told by event and remark
    assert world.remarks("Told") == [
        f"Told Ruto that a1 has not answered about task {task} (step 1)",
        f"Told the-boss that a1 has not answered about task {task} (step 2)",
    ]
    world.forward(minutes=30)
    assert world.holder(task).agent == "Ruto"
    assert world.pinged("a1") == [0, 5, 35, 65]


def test_notify_alone_ends_in_repeats_on_the_same_row(world: World) -> None:
    world.policy("default", PolicyStep(kind="notify", who="Ruto"))
    task = world.task()
    world.say("a1", Ack())
    world.forward(hours=12)
    row = world.holder(task)
    assert (row.agent, row.status, row.exhausted) == ("a1", "acknowledged", True)
    assert world.pinged("a1")[:7] == [0, 10, 40, 90, 150, 270, 390]


def test_notify_is_skipped_where_nobody_can_hear(world: World) -> None:
    world.policy(
        "default", PolicyStep(kind="notify", who="a1"), PolicyStep(kind="notify", who="b1"), "notify"
    )
    world.agent("b1", beats="required")
    task = world.task()
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    world.forward(minutes=31)
    reasons = [step.reason for step in world.steps.values()]
    assert reasons == ["a1 is the sender", "b1 is not present: offline", "Ruto is quarantined"]
    assert world.holder(task).exhausted
    world.operate(agents.set_agent, SetParams(name="b1", beats="none"))
    world.forward(hours=2)
    assert [step.outcome for step in world.steps.values()] == ["skipped", "taken", "skipped"]
    row = world.holder(task)
    assert (row.agent, row.exhausted) == ("a1", True)  # told, but nobody has answered
    world.forward(hours=2)
    assert len(world.notices) == 1


def test_main_tells_a_main_that_is_not_itself(world: World) -> None:
    world.policy("default", "notify")
    task = world.task(to="Ruto")
    world.forward(minutes=61)
    assert [step.reason for step in world.steps.values()] == ["Ruto is the sender"]
    assert (world.holder(task).repeats, world.holder(task).exhausted) == (1, False)


def test_without_repeats_main_is_flagged_at_once() -> None:
    world = World(Timers(repeats_us=()))
    task = world.task()
    world.forward(minutes=61)
    assert world.holder(task).exhausted
    assert world.events("exhausted") == ["exhausted"]


def test_an_empty_policy_flags(world: World) -> None:
    world.policy("default")
    task = world.task()
    world.forward(minutes=31)
    assert (world.holder(task).exhausted, len(world.steps)) == (True, 0)


def test_a_task_follows_its_own_policy(world: World) -> None:
    world.policy("slow", "retry")
    task = world.task(policy="slow")
    world.forward(minutes=31)
    assert (world.holder(task).agent, world.holder(task).level) == ("a1", 1)
    (running,) = world.escalations.values()
    assert (running.policy, running.taken, running.position) == ("slow", 1, 1)


def test_the_ping_of_an_escalated_task_says_where_it_came_from(world: World) -> None:
    world.task("ship it", description="all of it", due_at=instant(START + 90 * MINUTE_US))
    world.forward(minutes=31)
    ping = json.decode(world.posts[-1].body, type=Ping)
    assert (ping.title, ping.description, ping.attempt, ping.epoch) == ("ship it", "all of it", 1, 2)
    assert (ping.escalated_from, ping.answer_by, ping.exhausted) == (
        "a1",
        instant(START + 90 * MINUTE_US),
        False,
    )
    assert ping.due_at == instant(START + 90 * MINUTE_US)
    assert world.posts[-1].ttl_s == 3600


# --- reminders ------------------------------------------------------------------------------------------------


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
        ("Ruto", "waited_too_long"),
        ("Ruto", "waited_too_long"),
    ]
    row = world.lease("a1")
    assert (row.status, row.exhausted, row.deadline_at) == ("waiting", True, None)
    assert world.pinged("a1") == [0]
    assert world.events("exhausted") == ["exhausted"]


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
    world.forward(minutes=85.9)
    assert world.lease("a1").status == "waiting"
    world.forward(minutes=0.1)
    row = world.lease("a1")
    assert (row.status, row.progress_by) == ("acknowledged", START + (91 + 25) * MINUTE_US)
    assert world.pinged("a1") == [0, 91]
    assert world.events("wait_ended") == ["wait_ended"]
    assert len(world.assignments) == 1


# --- judging --------------------------------------------------------------------------------------------------


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
    assert world.lease("a1")


def test_a_hold_moves_the_deadline_and_not_the_clock(world: World) -> None:
    world.task()
    world.holds = [Hold(start_at=START + 10 * MINUTE_US, end_at=START + 20 * MINUTE_US)]
    world.forward(minutes=39.9)
    row = world.lease("a1")
    assert (row.accept_by, row.deadline_at) == (START + 30 * MINUTE_US, START + 40 * MINUTE_US)
    world.forward(minutes=0.1)
    assert world.lease("Ruto")


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


def test_a_flagged_wait_that_is_woken_sleeps_on(world: World) -> None:
    world.task()
    world.say("a1", Wait(on="human"))
    world.forward(hours=12)
    row = world.lease("a1")
    world.assignments[row.id] = structs.replace(row, deadline_at=world.now)
    world.tick()
    assert world.lease("a1").deadline_at is None


def test_after_an_outage_there_is_one_ping_and_one_step(world: World) -> None:
    world.task()
    before = len(world.pings)
    world.now += 10 * 3600 * 1_000_000
    world.tick()
    assert len(world.pings) - before <= 2  # the old holder's, then the new one's first
    assert world.events("escalated") == ["escalated"]
    assert world.lease("Ruto").accept_by == world.now + 60 * MINUTE_US


# --- rehearsals -----------------------------------------------------------------------------------------------


def rehearse(world: World, task: int, policy: str | None = None) -> TryResult:
    return escalation.try_policy(world, task, policy, world.now, timers=world.timers)


def test_a_rehearsal_tells_the_whole_course_and_changes_nothing(world: World) -> None:
    world.policy("default", "peer", "main")
    task = world.task()
    before = (dict(world.assignments), dict(world.agents), dict(world.tasks))
    told = rehearse(world, task)
    assert (dict(world.assignments), dict(world.agents), dict(world.tasks)) == before
    assert told.policy == "default"
    assert [(s.step, s.what, s.target) for s in told.course] == [
        (1, "peer skipped", None),
        (2, "main taken", "Ruto"),
        (None, "repeats begin", "Ruto"),
        (None, "pinged again", "Ruto"),
        (None, "pinged again", "Ruto"),
        (None, "pinged again", "Ruto"),
        (None, "exhausted", "Ruto"),
    ]
    assert told.course[1].reason == "after 30 min: able"
    assert told.course[-1].reason == "after 5 h"
    world.forward(minutes=31)
    assert [s.what for s in rehearse(world, task).course][0] == "repeats begin"


def test_another_policy_is_rehearsed_from_its_beginning(world: World) -> None:
    world.policy("polite", PolicyStep(kind="notify", who="the-boss"))
    task = world.task()
    world.forward(hours=10)
    assert rehearse(world, task).course == ()  # flagged already: nothing more will happen
    told = rehearse(world, task, "polite")
    assert (told.policy, told.course[0].what, told.course[-1].what) == ("polite", "notify taken", "exhausted")
    assert rehearse(world, world.task("another"), "polite").course[0].target == "the-boss"


def test_a_task_without_owner_is_given_one_in_the_rehearsal() -> None:
    world = World(main=False)
    task = world.task()
    assert rehearse(world, task).course == (
        TryStep(step=None, what="unassigned", target=None, reason="nobody eligible: nobody is free"),
    )
    world.agent("a1")
    assert [step.what for step in rehearse(world, task).course] == ["main skipped", "exhausted"]
    world.policy("polite")
    assert [step.what for step in rehearse(world, task, "polite").course] == ["exhausted"]


def test_waits_and_snoozes_are_rehearsed_too(world: World) -> None:
    task = world.task(due_at=instant(START + MINUTE_US))
    world.say("a1", Wait(on="human"))
    assert [step.what for step in rehearse(world, task).course] == [
        "due date missed",
        *["waited too long"] * 3,
        "exhausted",
    ]


def test_what_cannot_be_rehearsed(world: World) -> None:
    task = world.task()
    for number, policy in ((999, None), (task, "nobody's")):
        with pytest.raises(NotFoundError):
            rehearse(world, number, policy)
    world.say("a1", Complete())
    with pytest.raises(ConflictError):
        rehearse(world, task)


def test_a_rehearsal_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation, "COURSE_TURNS_MAX", 1)
    assert [step.what for step in rehearse(world, world.task()).course] == ["main taken"]


def test_a_rehearsal_sees_no_hold_and_no_answer_on_its_way(world: World) -> None:
    stage = Rehearsal(world)
    assert (stage.rows, stage.task_ids, stage.dependents, stage.holds) == ({}, {}, {}, ())
    assert stage.new_id("tasks") != stage.new_id("tasks")
    assert stage.draw() == 0


# --- pings ----------------------------------------------------------------------------------------------------


def test_pings_of_a_short_interval_do_not_wait_for_the_first(world: World) -> None:
    world.task(ping_interval_minutes=2)
    world.forward(minutes=7)
    assert world.pinged("a1") == [0, 2, 4, 6]


def test_the_history_has_every_ping_with_its_time(world: World) -> None:
    task = world.task()
    world.forward(minutes=6)
    first, second = world.pings.values()
    assert (first.attempt, first.due_at, first.sent_at, first.incarnation) == (1, START, START, "inc1")
    assert (second.attempt, second.due_at) == (2, START + 5 * MINUTE_US)
    assert world.tasks[task].last_ping_at == second.sent_at
    assert world.lease("a1").last_ping_at == second.sent_at


def test_pings_can_be_switched_off_and_on(world: World) -> None:
    task = world.task()
    world.operate(tasks.set_task, TaskParams(task=task, pings_enabled=False))
    world.forward(minutes=20)
    assert world.pinged("a1") == [0]
    world.operate(tasks.set_task, TaskParams(task=task, pings_enabled=True))
    world.forward(minutes=1)
    assert world.pinged("a1") == [0, 20]


def test_progress_after_the_warning_withdraws_the_ping(world: World) -> None:
    world.task()
    world.say("a1", Ack())
    world.forward(minutes=11)
    world.say("a1", Progress(note="on"))
    assert world.posts[-1].message_id.startswith("withdrawn:")
