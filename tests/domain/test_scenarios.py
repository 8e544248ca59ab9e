"""The stories that other systems get wrong, told to the pure core minute by minute."""

from datetime import UTC, datetime
from itertools import permutations

import pytest

from contracts.codec import micros
from contracts.errors import AlreadyFinalError, RollcallError, SupersededError
from contracts.messages import Ack, Answer, Complete, Progress, Snooze
from contracts.operations.agents import SetParams as AgentParams
from contracts.operations.policies import SetParams
from contracts.records import PolicyStep
from domain import agents, policies
from domain.timers import MINUTE_US
from tests.domain.world import World


@pytest.fixture
def world() -> World:
    return World()


# --- scenario 1 ---


def test_an_agent_that_never_answers_loses_its_task_at_accept_by(world: World) -> None:
    world.agent("a1")
    task = world.task()
    world.forward(minutes=30)
    first, second = world.assignments.values()
    assert (first.agent, first.status, first.end_reason, first.ended_at) == (
        "a1",
        "failed",
        "timed_out",
        world.now,
    )
    assert (second.agent, second.status, second.level, second.original_agent) == ("Ruto", "pending", 1, "a1")
    assert (second.previous_id, second.epoch, world.tasks[task].agent) == (first.id, 2, "Ruto")
    assert world.remarks("Escalated") == ["Escalated from a1 (timeout) to Ruto (step 1)"]
    assert world.pinged("a1") == [0, 5]
    assert world.agents["a1"].failures == 1


def test_main_is_pinged_in_growing_gaps_and_then_flagged(world: World) -> None:
    world.agent("a1")
    task = world.task()
    world.forward(hours=24)
    # offered at 30; missed at 90; repeats after 30, 60 and 120 minutes; then every 120
    assert world.pinged("Ruto")[:9] == [30, 35, 65, 120, 180, 300, 420, 540, 660]
    row = world.holder(task)
    assert (row.agent, row.status, row.exhausted) == ("Ruto", "pending", True)
    assert world.events("escalated", "steps_used_up", "repeated", "exhausted") == [
        *("escalated", "steps_used_up"),
        *("repeated", "repeated", "repeated", "exhausted"),
    ]
    assert len(world.remarks("(repeat ")) == 3
    assert len(world.remarks("Exhausted")) == 1


def test_an_answer_takes_the_flag_away_and_silence_brings_it_back(world: World) -> None:
    task = world.task()
    world.forward(hours=10)
    assert world.holder(task).exhausted
    world.say("Ruto", Ack(attempt=world.holder(task).attempt))
    row = world.holder(task)
    assert (row.exhausted, row.repeats, row.status) == (False, 0, "acknowledged")
    world.forward(hours=10)
    assert world.holder(task).exhausted


# --- scenario 2, 3 ---


def test_quiet_work_with_a_note_every_nine_minutes_is_left_alone(world: World) -> None:
    world.agent("a1")
    world.task()
    world.forward(minutes=1)
    world.say("a1", Ack(attempt=1))
    for number in range(14):
        world.forward(minutes=9)
        world.say("a1", Progress(note=f"part {number}"))
    assert world.pinged("a1") == [0]
    assert len(world.assignments) == 1
    assert world.say("a1", Complete()).status == "completed"
    assert world.agents["a1"].successes == 1


@pytest.mark.parametrize("chatter", [Ack(), Progress(note="working")])
def test_beats_and_chatter_are_no_progress(world: World, chatter: Answer) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.task()
    world.say("a1", Progress(note="working"))
    for _ in range(59):
        world.forward(seconds=30)
        world.beat("a1")
        assert world.say("a1", chatter).already
    assert world.lease("a1").level == 0
    world.forward(seconds=30)
    assert world.lease("Ruto").level == 1
    assert world.pinged("a1") == [0, 10]


def test_still_here_moves_the_act_once_and_never_beyond(world: World) -> None:
    world.agent("a1")
    world.task()
    world.say("a1", Ack(attempt=1))
    world.forward(minutes=10)
    assert world.say("a1", Ack(attempt=2)).deferred
    world.forward(minutes=30)
    assert world.pinged("a1") == [0, 10, 40]
    assert not world.say("a1", Ack(attempt=3)).deferred
    world.forward(minutes=4.9)
    assert world.lease("a1").level == 0
    world.forward(minutes=0.1)
    assert world.lease("Ruto").level == 1


# --- scenario 6 ---


@pytest.mark.parametrize("what", [Ack(attempt=1), Snooze(), Progress(note="at last"), Complete()])
def test_a_zombie_is_told_who_has_the_task_and_to_stop(world: World, what: Answer) -> None:
    world.agent("a1")
    task = world.task()
    world.say("a1", Ack(attempt=1))
    old = world.lease("a1")
    world.agent("a2")
    world.assign(task, "a2")
    new = world.lease("a2")
    with pytest.raises(SupersededError) as refused:
        world.say("a1", what, lease=old.id)
    assert refused.value.state["order"] == "stop"
    assert (refused.value.state["holder"], refused.value.state["assignment"]) == ("a2", new.id)
    assert world.lease("a2") == new
    assert world.posts[-1].message_id == f"withdrawn:inc1:{old.id}:{old.version + 1}"


# --- scenario 10 ---


def test_targets_that_cannot_answer_are_skipped_with_the_reason(world: World) -> None:
    world.agent("a1", "code")
    world.agent("other")
    world.agent("gone", "code", beats="required")
    world.agent("sick", "code")
    world.operate(agents.set_agent, AgentParams(name="sick", quarantined=True))
    world.policy("default", "peer", "main")
    world.task(capabilities=("code",))
    world.forward(minutes=30)
    skipped, taken = world.steps.values()
    assert (skipped.outcome, taken.outcome, taken.target) == ("skipped", "taken", "Ruto")
    assert "gone not present: offline" in skipped.reason
    assert "other not capable: code" in skipped.reason
    assert "sick quarantined" in skipped.reason


def test_main_is_not_its_own_target(world: World) -> None:
    task = world.task()
    world.forward(minutes=60)
    (step,) = world.steps.values()
    assert (step.outcome, step.reason) == ("skipped", "Ruto is the sender")
    assert (world.holder(task).agent, world.holder(task).exhausted) == ("Ruto", False)


def test_a_policy_edited_in_between_leaves_the_running_escalation_alone(world: World) -> None:
    world.policy("default", "retry", "main")
    world.agent("a1")
    task = world.task()
    world.forward(minutes=30)
    assert (world.lease("a1").level, world.lease("a1").step) == (1, 1)
    edited = SetParams(name="default", steps=(PolicyStep(kind="retry"),) * 9)
    world.decide(policies.set_policy, world.now, edited, actor="operator:ann")
    world.forward(minutes=30)
    assert (world.holder(task).agent, world.holder(task).level) == ("Ruto", 2)
    assert world.holder(task).original_agent == "a1"


# --- scenario 11 ---


@pytest.mark.parametrize("order", list(permutations([Complete(), Ack(attempt=1)])))
def test_resolved_stays_resolved_whatever_arrives_in_the_same_instant(
    world: World, order: tuple[Answer, ...]
) -> None:
    world.agent("a1")
    task = world.task()
    lease = world.lease("a1").id
    refused = []
    for what in order:
        try:
            world.say("a1", what, lease=lease)
        except RollcallError as error:
            refused.append(type(error))
    assert refused == ([AlreadyFinalError] if isinstance(order[0], Complete) else [])
    assert world.tasks[task].status == "done"
    assert world.assignments[lease].status == "completed"


# --- scenario 12 ---


@pytest.mark.parametrize(
    "until",
    [datetime(2027, 3, 15, tzinfo=UTC), datetime(2027, 3, 14, 10, 30, tzinfo=UTC)],
    ids=["midnight", "DST"],
)
def test_a_snooze_ends_once_and_on_time_though_nobody_looked(world: World, until: datetime) -> None:
    world.now = micros(until) - 240 * MINUTE_US
    world.agent("a1")
    task = world.task()
    world.say("a1", Snooze(minutes=240))
    row = world.holder(task)
    assert (row.snooze_until, row.deadline_at) == (micros(until), micros(until))
    world.forward(minutes=239.99)
    assert len(world.pings) == 1
    world.forward(minutes=4)  # the rows are all there is: a restart loses nothing
    assert [ping.sent_at for ping in world.pings.values()][1:] == [micros(until)]
    assert world.holder(task).status == "pending"
    assert world.events("snooze_ended") == ["snooze_ended"]
    assert world.remarks("snoozed by a1 until") == [f"snoozed by a1 until {until:%Y-%m-%d %H:%M:%S} UTC"]
