"""What is said again when an older word came last into the mailbox."""

import pytest
from msgspec import json, structs

from contracts.messages import Ack, Ping, Withdrawn
from contracts.work import Post
from domain import pinging
from tests.domain.world import World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    found.task()
    return found


def restated(world: World, lease: int) -> list[Post]:
    """Mark a lease as the store does, and return what is posted then."""
    row = world.assignments[lease]
    world.assignments[lease] = structs.replace(row, restate_at=world.now, version=row.version + 1)
    before = len(world.posts)
    world.claim(world.assignments, "restate_at", pinging.restate)
    world.tick()
    assert world.assignments[lease].restate_at is None
    return list(world.posts[before:])


def test_what_was_answered_is_withdrawn_anew_under_an_id_of_its_own(world: World) -> None:
    lease = world.lease("a1").id
    world.say("a1", Ack(attempt=1))
    (first,) = restated(world, lease)
    (second,) = restated(world, lease)
    assert json.decode(first.body, type=Withdrawn).status == "acknowledged"
    assert len({world.posts[-3].message_id, first.message_id, second.message_id}) == 3


def test_what_is_still_owed_is_asked_as_the_next_attempt(world: World) -> None:
    (post,) = restated(world, world.lease("a1").id)
    assert json.decode(post.body, type=Ping).attempt == 2
    assert "pinger" in world.wakes


def test_who_lost_the_task_hears_again_who_has_it(world: World) -> None:
    world.agent("a2")
    lease = world.lease("a1")
    world.assign(lease.task_id, "a2")
    world.tick()
    (post,) = restated(world, lease.id)
    said = json.decode(post.body, type=Withdrawn)
    assert (said.end_reason, said.holder, post.subject) == ("superseded", "a2", f"in.ping.a1.{lease.id}")


def test_nobody_is_asked_by_a_task_that_does_not_ping(world: World) -> None:
    lease = world.lease("a1")
    world.assignments[lease.id] = structs.replace(lease, pings_enabled=False, ping_at=None)
    assert restated(world, lease.id) == []


@pytest.mark.parametrize("answered", [False, True])
def test_a_quarantined_row_asks_nobody_and_stays_quarantined(world: World, *, answered: bool) -> None:
    """Its mailbox is put right as far as that needs no clock; who puts the row back asks anew."""
    if answered:
        world.say("a1", Ack(attempt=1))
    lease = world.lease("a1")
    world.assignments[lease.id] = structs.replace(lease, quarantined="why", ping_at=None, deadline_at=None)
    posts = restated(world, lease.id)
    row = world.assignments[lease.id]
    assert (row.quarantined, row.ping_at, row.deadline_at) == ("why", None, None)
    assert [post.message_id.split(":")[0] for post in posts] == (["withdrawn"] if answered else [])


def test_a_row_that_somebody_else_has_done_is_left(world: World) -> None:
    row = world.lease("a1")
    world.decide(pinging.restate, row.id, world.now, timers=world.timers)
    assert world.lease("a1") == row
