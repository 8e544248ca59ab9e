"""Typed waits: no pings meanwhile, a limit that tells who is waited for, a time to go on by itself."""

from datetime import datetime

import pytest

from tests.support.world import World


@pytest.mark.parametrize("on", ["human", "lock", "peer", "rate_limit", "external"])
async def test_who_waits_is_not_pinged(world: World, on: str) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "wait", lease, on=on, reason="see the log")
    waiting = await world.lease(task)
    assert (waiting.status, waiting.wait_kind, waiting.wait_reason) == ("waiting", on, "see the log")
    assert (await world.who("a1")).status == "waiting"
    await world.forward(hours=3)
    assert world.pinged("a1") == [0]
    await world.says("a1", "resume", lease)
    assert (await world.lease(task)).status == "acknowledged"


async def test_a_named_time_ends_the_wait_once(world: World) -> None:
    """A rate limit with a reset in 90 minutes: nobody is restarted or replaced, and it goes on by itself."""
    task, lease = await world.given("a1")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=5)
    await world.says("a1", "wait", lease, on="rate_limit", resume_at="2027-01-15T09:35:00Z")
    await world.forward(minutes=90)
    assert (await world.lease(task)).status == "waiting"  # a minute of grace
    await world.forward(minutes=1)
    back = await world.lease(task)
    assert (back.id, back.status) == (lease.id, "acknowledged")
    assert back.progress_by == datetime.fromisoformat("2027-01-15T10:01:00Z")  # the 25 minutes that were left
    assert world.pinged("a1") == [0, 96]
    assert len(world.events("wait_ended", lease.id)) == 1


async def test_the_limit_tells_who_is_waited_for_then_main_and_then_flags(world: World) -> None:
    await world.agent("reviewer", capabilities=["review"], capacity=0)
    task, lease = await world.given("a1")
    await world.says("a1", "wait", lease, on="peer", who="reviewer", reason="a review")
    assert [(heard.subject.split(".")[1], heard.body["kind"]) for heard in world.on("notice.")] == [
        ("reviewer", "awaited")
    ]
    await world.forward(hours=13)
    told = [(heard.minute, heard.subject.split(".")[1]) for heard in world.on("notice.")[1:]]
    assert told == [(240, "reviewer"), (480, "Ruto"), (720, "Ruto")]
    kept = await world.lease(task)
    assert (kept.id, kept.status, kept.exhausted) == (lease.id, "waiting", True)
    assert world.pinged("a1") == [0]
    await world.says("a1", "resume", lease)
    assert not (await world.lease(task)).exhausted


async def test_what_is_awaited_stands_in_sync(world: World) -> None:
    await world.agent("reviewer", capacity=0)
    _, lease = await world.given("a1")
    await world.says("a1", "wait", lease, on="peer", who="reviewer")
    assert [notice.kind for notice in (await world.sync("reviewer")).notices] == ["awaited"]
    await world.says("a1", "complete", lease)
    assert (await world.sync("reviewer")).notices == ()  # what has ended is history


async def test_only_who_waits_can_resume_and_a_snoozed_one_cannot_wait(world: World) -> None:
    _, lease = await world.given("a1")
    assert (await world.refused("a1", "resume", lease)).code == "not_allowed_now"
    await world.says("a1", "snooze", lease)
    problem = await world.refused("a1", "wait", lease, on="human")
    assert (problem.code, problem.state["status"]) == ("not_allowed_now", "snoozed")
    assert "unsnooze" in problem.state["allowed"]
