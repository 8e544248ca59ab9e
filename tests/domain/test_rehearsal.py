"""What would happen, told to the end without a change; and the history of pings."""

import pytest

from contracts.codec import instant
from contracts.errors import ConflictError, NotFoundError
from contracts.messages import Ack, Complete, Progress, Wait
from contracts.operations.policies import TryResult, TryStep
from contracts.operations.tasks import SetParams as TaskParams
from contracts.records import PolicyStep
from domain import escalation, tasks
from domain.rehearsal import Rehearsal
from domain.timers import MINUTE_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


# --- rehearsals ---


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
    assert rehearse(world, task).course[0].what == "repeats begin"


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
    assert stage.dependencies == {}
    assert stage.new_id("tasks") != stage.new_id("tasks")
    assert stage.draw() == 0


# --- pings ---


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
