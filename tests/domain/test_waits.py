"""Waits: for a rate limit, its end stated or not; and for a human, at whose prompt nothing is typed."""

import pytest
from msgspec import structs

from contracts.codec import instant
from contracts.errors import InvalidError
from contracts.messages import Ack, Complete, Progress, Resume, Wait
from contracts.operations.agents import SetParams as AgentParams
from domain import agents
from domain.assignment import apply
from domain.choosing import choose
from domain.timers import MINUTE_US, SECOND_US
from domain.waits import BACKOFFS_MAX, ends_by_itself, limits_passed, spread
from tests.domain.test_matrix import NOW, TIMERS, a_row
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


# --- rate limits ---


def test_a_rate_limit_with_a_stated_end_ends_then_and_a_little_later_by_lot() -> None:
    for ahead, jitter in (
        (0, 0),
        (1, 3),
        (5, 15),
        (300, 15),
    ):  # minutes, seconds: half of a tenth, at most 30
        at = NOW + ahead * MINUTE_US
        row = apply(a_row("pending"), Wait(on="rate_limit", resume_at=instant(at)), NOW, TIMERS)
        assert (row.resume_at, row.wait_until, ends_by_itself(row)) == (at, at, True)
        assert spread(row, NOW, 0.5, TIMERS).wait_until == at + jitter * SECOND_US
        assert spread(row, NOW, 0, TIMERS) == row
    assert spread(a_row("pending"), NOW, 0.5, TIMERS) == a_row("pending")


def test_a_rate_limit_without_one_is_tried_again_after_longer_and_longer() -> None:
    row, pauses = a_row("acknowledged"), []
    for _ in range(7):
        row = apply(row, Wait(on="rate_limit"), NOW, TIMERS)
        pauses.append(((row.wait_until or 0) - NOW) // MINUTE_US)
        assert (row.resume_at, ends_by_itself(row)) == (None, True)
        row = apply(row, "wait_over", NOW, TIMERS)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert (row.status, row.ping_at, row.backoffs) == ("acknowledged", NOW, 7)
    assert row.progress_by == NOW + 18 * MINUTE_US  # what was left of its clock, whatever it waited
    assert apply(row, Progress(note="through"), NOW, TIMERS).backoffs == 0
    assert apply(row, Wait(on="rate_limit", resume_at=instant(NOW)), NOW, TIMERS).backoffs == 0
    for _ in range(3 * BACKOFFS_MAX):
        row = apply(apply(row, Wait(on="rate_limit"), NOW, TIMERS), Resume(), NOW, TIMERS)
    assert (row.backoffs, TIMERS.wait_backoff_us(row.backoffs)) == (BACKOFFS_MAX, 30 * MINUTE_US)


def test_pauses_that_add_up_to_a_wait_limit_are_told_of() -> None:
    found = [
        limits_passed(structs.replace(a_row("waiting"), backoffs=number), TIMERS) for number in range(30)
    ]
    assert [(number, passed) for number, passed in enumerate(found) if passed] == [(12, 1), (20, 2), (28, 3)]


def test_a_rate_limit_uses_no_escalation_and_nobody_is_told_until_it_adds_up(world: World) -> None:
    task = world.task()
    world.say("a1", Ack())
    began = world.agents["a1"]
    for number in range(12):
        world.say("a1", Wait(on="rate_limit"))
        assert not world.notices
        world.forward(minutes=world.timers.wait_backoff_us(number + 1) / MINUTE_US)
        assert world.lease("a1").status == "acknowledged"
    assert world.remarks("try again") == ["The wait of a1 is over: try again"] * 12
    assert [(notice.agent, notice.kind) for notice in world.notices] == [("Ruto", "waited_too_long")]
    assert (world.steps, world.escalations, len(world.assignments)) == ({}, {}, 1)
    after = world.agents["a1"]
    assert (after.failures, after.successes, after.dead_at) == (began.failures, began.successes, None)
    world.say("a1", Complete())
    assert world.tasks[task].status == "done"


def test_a_whole_fleet_does_not_try_again_at_one_instant(world: World) -> None:
    world.agent("a2")
    for name in ("a1", "a2"):
        world.task(to=name)
    world.lots = [0.0, 0.999]
    for name in ("a1", "a2"):
        world.say(name, Wait(on="rate_limit", resume_at=instant(START + 90 * MINUTE_US)))
    world.forward(hours=2)
    assert [round(world.pinged(name)[1], 1) for name in ("a1", "a2")] == [90.0, 90.5]


# --- a human is asked ---


def test_whoever_waits_for_a_human_gets_no_ping_about_anything(world: World) -> None:
    """Text that is typed for an agent at a prompt would be the answer to it."""
    world.operate(agents.set_agent, AgentParams(name="a1", capacity=3))
    first, second = world.task(to="a1"), world.task(to="a1")
    for task in (first, second):
        world.say("a1", Ack(), lease=world.holder(task).id)
    world.forward(minutes=2)
    world.say("a1", Wait(on="human"), lease=world.holder(first).id)
    assert (world.agents["a1"].asking, len(world.pinged("a1"))) == (1, 2)
    world.forward(minutes=20)
    assert len(world.pinged("a1")) == 2  # the other was due to be asked after 10
    world.say("a1", Resume(), lease=world.holder(first).id)
    world.tick()
    assert (world.agents["a1"].asking, world.pinged("a1")[2:]) == (0, [22.0])


def test_whoever_waits_for_a_human_is_offered_nothing(world: World) -> None:
    world.operate(agents.set_agent, AgentParams(name="a1", capacity=3))
    world.task(to="a1")
    world.say("a1", Wait(on="human"))
    offered = world.task("another")
    assert world.holder(offered).agent == "Ruto"
    chosen = choose(world.tasks[offered], world.agents.values(), frozenset(), world.draw)
    assert chosen.reasons["a1"] == "waiting for a human"


def test_what_an_operator_gives_to_whoever_waits_for_a_human_is_asked_for_afterwards(world: World) -> None:
    world.operate(agents.set_agent, AgentParams(name="a1", capacity=3))
    blocked = world.task(to="a1")
    world.say("a1", Wait(on="human"))
    given = world.task("another")
    world.assign(given, "a1")
    world.forward(hours=2)
    assert (world.holder(given).agent, world.holder(given).attempt) == ("a1", 0)
    world.say("a1", Complete(), lease=world.holder(blocked).id)
    world.tick()
    row = world.holder(given)
    assert (row.attempt, row.accept_by) == (1, world.now + 30 * MINUTE_US)


def test_an_escalation_passes_over_whoever_waits_for_a_human(world: World) -> None:
    own = world.task(to="Ruto")
    world.say("Ruto", Wait(on="human"), lease=world.holder(own).id)
    other = world.task(to="a1")
    world.forward(minutes=30)
    assert world.holder(other).agent == "a1"
    assert [step.reason for step in world.steps.values()] == ["Ruto is waiting for a human"]
    world.say("Ruto", Complete(), lease=world.holder(own).id)
    world.forward(hours=2)
    assert world.holder(other).agent == "Ruto"  # the step that was skipped is tried again


def test_nobody_is_the_peer_that_it_waits_for_itself(world: World) -> None:
    world.task(to="a1")
    world.say("a1", Ack())
    with pytest.raises(InvalidError):
        world.say("a1", Wait(on="peer", who="A1"))
    assert world.lease("a1").status == "acknowledged"
    world.say("a1", Wait(on="human", who="a1"))
    assert world.lease("a1").status == "waiting"
