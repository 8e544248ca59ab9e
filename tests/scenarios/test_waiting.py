"""Typed waits: no pings meanwhile, a limit that tells who is waited for, a time to go on by itself."""

from datetime import datetime, timedelta

import pytest

from tests.support.world import World


@pytest.mark.parametrize("on", ["human", "lock", "peer", "external"])
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
    reset = datetime.fromisoformat("2027-01-15T09:35:00Z")
    waiting = await world.lease(task)
    assert waiting.wait_until is not None
    assert reset <= waiting.wait_until <= reset + timedelta(seconds=30)
    await world.forward(minutes=89.9)
    assert (await world.lease(task)).status == "waiting"
    await world.forward(minutes=0.7)
    back = await world.lease(task)
    assert (back.id, back.status) == (lease.id, "acknowledged")
    assert back.progress_by == waiting.wait_until + timedelta(minutes=25)  # what was left
    first, again = world.pinged("a1")
    assert (first, 95 <= again <= 95.5) == (0, True)
    assert len(world.events("wait_ended", lease.id)) == 1
    assert world.rows("SELECT count(*) FROM escalations") == [(0,)]  # nothing of its budget is used
    me = await world.who("a1")
    assert (me.status, me.leases, me.dead_at) == ("working", 1, None)
    assert world.rows("SELECT failures FROM agents WHERE name = 'a1'") == [(0,)]


async def test_without_a_named_time_it_is_asked_to_try_again_after_longer_and_longer(world: World) -> None:
    task, lease = await world.given("a1")
    for pause in (1, 2, 4, 8, 16, 30, 30):
        await world.says("a1", "wait", lease, on="rate_limit")
        waiting = await world.lease(task)
        assert (waiting.status, waiting.resume_at) == ("waiting", None)  # nobody has named an end
        before = world.minute
        await world.forward(minutes=pause + 0.5)
        assert before + pause <= world.pinged("a1")[-1] <= before + pause + 0.5
        assert (await world.lease(task)).status == "acknowledged"
    assert len(world.pinged("a1")) == 8
    assert world.on("notice.") == []
    await world.says("a1", "progress", lease, note="through")
    await world.says("a1", "wait", lease, on="rate_limit")
    await world.forward(minutes=1.2)
    assert (await world.lease(task)).status == "acknowledged"  # it begins with a minute again


async def test_no_ping_is_sent_to_whoever_waits_for_a_human(world: World) -> None:
    """A permission prompt: typed text would answer it. Operators are told once, and nothing is typed."""
    await world.agent("a1", capacity=2)
    first, second = await world.task("one"), await world.task("two")
    for task in (first, second):
        await world.says("a1", "ack", await world.lease(task))
    blocked = await world.lease(first)
    await world.says("a1", "wait", blocked, on="human", who="carol", reason="may I delete it?")
    (told,) = world.events("waiting", blocked.id)
    assert (told["data"]["kind"], told["data"]["who"]) == ("human", "carol")
    await world.forward(minutes=25)
    assert world.pinged("a1") == [0, 0]
    other = await world.task("three")
    assert (await world.lease(other)).agent == "Ruto"
    assert (await world.operator("system.status")).ping_lag_s == 0  # what waits on purpose is not late
    await world.says("a1", "resume", blocked)
    await world.settle()
    assert world.pinged("a1", await world.lease(second)) == [0, 25]
    assert len(world.events("waiting", blocked.id)) == 1


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


async def test_who_has_forgotten_is_told_what_it_holds(world: World) -> None:
    """While nothing is owed no ping says what the task is, what was said last, and who is waited for."""
    _, lease = await world.given("a1", description="All of it")
    (offered,) = (await world.sync("a1")).leases
    assert offered.ping is not None
    assert (offered.ping.description, offered.description) == ("All of it", "")
    await world.says("a1", "progress", lease, note="half way")
    await world.says("a1", "wait", lease, on="human", who="carol", resume_at="2027-01-15T09:35:00Z")
    held = (await world.asks("a1", "agent.prime")).leases
    assert held == (await world.sync("a1")).leases
    (waiting,) = held
    assert waiting.ping is None
    assert (waiting.description, waiting.note) == ("All of it", "half way")
    assert (waiting.wait_kind, waiting.wait_who) == ("human", "carol")
    assert waiting.resume_at == datetime.fromisoformat("2027-01-15T09:35:00Z")
    await world.says("a1", "resume", lease)
    (working,) = (await world.sync("a1")).leases
    assert (working.wait_kind, working.wait_who, working.resume_at) == (None, None, None)
