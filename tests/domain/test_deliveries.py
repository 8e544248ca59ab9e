"""Deliveries: what is sent, what nobody has to be told any more, and who cannot be told."""

from typing import Any

import msgspec
import pytest
from msgspec import structs

from contracts.deliveries import Delivery, Job
from contracts.messages import Ack
from contracts.work import Changes
from domain import deliveries
from domain.deliveries import Patience, Tried
from domain.projection import flags
from domain.timers import MINUTE_US, SECOND_US
from tests.domain.letters import PATIENCE, cannot_be_told, letter
from tests.domain.world import World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("hook")
    found.task(to="hook")
    return found


def written(changes: Changes) -> Delivery | None:
    """Return what is written of the delivery, if anything is."""
    for row in changes.rows:
        assert isinstance(row.record, Delivery)
        return row.record
    return None


def take(world: World, **more: Any) -> tuple[Delivery | None, Job | None]:
    """Return what a claim makes of the delivery, and its job."""
    due = letter(world, world.lease("hook"), **more)
    changes = deliveries.take(due, world.now, timers=world.timers, patience=PATIENCE)
    answer = changes.answer
    assert answer is None or isinstance(answer, Job)
    return written(changes), answer


def settle(world: World, *, said_of: int = 1, status: int | None = 500, **more: Any) -> Delivery | None:
    """Return what a try makes of the delivery."""
    due = letter(world, world.lease("hook"), **more)
    tried = Tried(id=due.id, version=said_of, status=status, why="" if status == 200 else "it failed")
    changes = deliveries.settle(world, world.now, tried, [due], 0, patience=PATIENCE)
    return written(changes)


def test_what_is_due_is_leased_for_one_try(world: World) -> None:
    row, job = take(world, present_url="https://moved.example", tries=1, version=7)
    lease = world.lease("hook")
    assert row is not None
    assert job is not None
    assert (row.tries, row.version, row.url) == (2, 8, "https://moved.example")
    assert row.next_at == row.leased_until == world.now + 30 * SECOND_US
    assert (job.version, job.url, job.message_id) == (8, row.url, f"ping:inc1:{lease.id}:1")
    assert msgspec.json.decode(job.body)["timeout_minutes"] == 30


@pytest.mark.parametrize(
    ("more", "state", "why"),
    [
        ({"newest": 2}, "given_up", "a newer ping follows it"),
        ({"lease": "completed"}, "given_up", "the assignment is completed"),
        ({"lease": "snoozed"}, "given_up", "the assignment is snoozed"),
        ({"answered": 1}, "given_up", "it was answered"),
        ({"present_url": None}, "given_up", "the agent has no address any more"),
        ({"tries": 5, "why": "answered 500"}, "failed", "answered 500"),
        ({"tries": 5}, "failed", "what came of the last try is not known"),
    ],
)
def test_what_nobody_has_to_be_told_is_not_sent(
    world: World, more: dict[str, Any], state: str, why: str
) -> None:
    row, job = take(world, **more)
    assert row is not None
    assert job is None
    assert (row.state, row.why, row.next_at, row.leased_until) == (state, why, None, None)


def test_what_is_over_is_not_taken_up_again(world: World) -> None:
    assert take(world, state="delivered") == (None, None)
    assert settle(world, state="given_up", status=200) is None


@pytest.mark.parametrize(("status", "states"), [(500, []), (None, []), (200, ["delivered"])])
def test_the_word_of_who_was_overtaken_counts_only_if_it_is_good(
    world: World, status: int | None, states: list[str]
) -> None:
    row = settle(world, said_of=0, status=status, tries=1)
    assert ([] if row is None else [row.state]) == states


@pytest.mark.parametrize(
    ("tries", "lot", "seconds"), [(1, 0.0, 7.5), (1, 1.0, 12.5), (2, 0.5, 20.0), (4, 0.5, 80.0)]
)
def test_each_pause_is_twice_as_long_give_or_take_a_quarter(
    world: World, tries: int, lot: float, seconds: float
) -> None:
    world.lots = [lot]
    row = settle(world, tries=tries)
    assert row is not None
    assert row.next_at == world.now + seconds * SECOND_US
    assert (row.state, row.status, row.why, row.leased_until) == ("queued", 500, "it failed", None)


def test_no_pause_is_longer_than_five_minutes(world: World) -> None:
    world.lots = [0.5]
    due = letter(world, world.lease("hook"), tries=9)
    patience = Patience(tries=20)
    tried = Tried(id=due.id, version=1, why="it failed")
    changes = deliveries.settle(world, world.now, tried, [due], 8, patience=patience)
    row = written(changes)
    assert row is not None
    assert row.next_at == world.now + 5 * MINUTE_US


def test_the_old_key_signs_until_its_time_is_over(world: World) -> None:
    both = {"key": "new", "previous": "old"}
    for until, keys in ((world.now + 1, ("new", "old")), (world.now, ("new",)), (None, ("new",))):
        _, job = take(world, **both, previous_until=until)
        assert job is not None
        assert job.keys == keys


def test_who_cannot_be_told_loses_the_task_at_once(world: World) -> None:
    cannot_be_told(world, world.lease("hook"))
    assert world.lease("hook").deadline_at == world.now
    world.tick()
    ended = next(row for row in world.assignments.values() if row.agent == "hook")
    assert (ended.end_reason, world.minutes) == ("unreachable", 0)
    assert world.lease("Ruto").task_id == ended.task_id


def test_an_answer_on_its_way_is_waited_for(world: World) -> None:
    world.forward(minutes=1)
    world.handled = world.now - 1
    cannot_be_told(world, world.lease("hook"))
    world.tick()
    row = world.lease("hook")
    assert row.deadline_at == world.now + world.timers.recheck_us
    world.handled = world.now
    world.say("hook", Ack(attempt=row.attempt), at=world.now)
    world.handled = -1
    world.forward(minutes=5)
    assert world.lease("hook").unreachable_at is None


@pytest.mark.parametrize("reason", ["beats", "answered"])
def test_failures_that_do_not_matter_move_nothing(reason: str) -> None:
    world = World()
    world.agent("hook", beats="required" if reason == "beats" else "none")
    if reason == "beats":
        world.join("hook")
    world.task(to="hook")
    if reason == "answered":
        world.say("hook", Ack())
    cannot_be_told(world, world.lease("hook"))
    assert world.lease("hook").unreachable_at is None
    assert not world.events("undelivered")


def test_a_lease_that_is_gone_is_missed_by_nobody(world: World) -> None:
    due = letter(world, world.lease("hook"), tries=5)
    world.assignments.clear()
    assert world.agents["hook"].unreachable_since is None
    tried = Tried(id=due.id, version=1, why="it failed")
    changes = deliveries.settle(world, world.now, tried, [due], 4, patience=PATIENCE)
    row = written(changes)
    assert row is not None
    assert row.state == "failed"
    assert not changes.facts


def hook_flags(world: World) -> tuple[str, ...]:
    return flags(world.agents["hook"])


def test_who_cannot_be_told_says_so_once_and_since_when(world: World) -> None:
    began = world.now
    cannot_be_told(world, world.lease("hook"))
    assert (hook_flags(world), world.agents["hook"].unreachable_since) == (("unreachable",), began)
    world.now += MINUTE_US
    cannot_be_told(world, world.lease("hook"))
    assert world.agents["hook"].unreachable_since == began
    assert len(world.events("unreachable")) == 1


def test_a_try_at_an_older_address_says_nothing_of_the_present_one(world: World) -> None:
    due = letter(world, world.lease("hook"), tries=5, present_url="https://moved.example")
    tried = Tried(id=due.id, version=1, why="it failed")
    world.decide(deliveries.settle, world.now, tried, [due], 4, patience=PATIENCE)
    assert hook_flags(world) == ()
    assert world.lease("hook").unreachable_at == world.now  # its holder was not told all the same


@pytest.mark.parametrize("state", ["repeats", "exhausted", "quarantined"])
def test_a_lease_that_no_step_is_left_for_stays(world: World, state: str) -> None:
    row = structs.replace(world.lease("hook"), **{state: "it threw" if state == "quarantined" else 1})
    due = letter(world, row, tries=5)
    world.assignments[row.id] = row
    changes = deliveries.settle(world, world.now, Tried(id=due.id, version=1), [due], 4, patience=PATIENCE)
    assert not changes.assignments
    assert [agent.unreachable_since for agent in changes.agents] == [world.now]
