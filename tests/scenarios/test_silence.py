"""Nobody answers: pings at their times, one step for each missed promise, and never an end unnoticed."""

from pathlib import Path

import pytest

from tests.support.world import World, open_world

AN_HOUR_LATER = "2027-01-15T09:00:00Z"


@pytest.mark.parametrize("houses", [1, 2, 8])
async def test_an_agent_that_never_answers_is_escalated_once(tmp_path: Path, houses: int) -> None:
    async with open_world(tmp_path, houses=houses) as world:
        task, lease = await world.given("a1")
        await world.forward(minutes=29, seconds=59)
        assert (await world.lease(task)).agent == "a1"
        await world.forward(seconds=2)  # accept-by, and a tick
        assert (await world.lease(task)).agent == "Ruto"
        await world.forward(hours=1)

        assert world.pinged("a1", lease) == [0, 5]
        assert world.pinged("Ruto") == [30, 35, 65]
        world.expect_each_ping_once()
        assert world.rows(
            "SELECT agent, status, end_reason, level, original_agent FROM assignments ORDER BY id"
        ) == [
            ("a1", "failed", "timed_out", 0, "a1"),
            ("Ruto", "pending", None, 1, "a1"),
        ]
        assert len(world.events("escalated", lease.id)) == 1


async def test_ten_silent_agents_are_escalated_side_by_side(tmp_path: Path) -> None:
    async with open_world(tmp_path, houses=4) as world:
        leases = [(await world.given(f"a{number}"))[1] for number in range(10)]
        await world.forward(minutes=31)
        assert [len(world.events("escalated", lease.id)) for lease in leases] == [1] * 10
        assert len(world.pings("Ruto")) == 10
        world.expect_each_ping_once()


async def test_the_main_agent_is_asked_again_and_at_last_flagged(world: World) -> None:
    task, _ = await world.given("a1")
    await world.forward(hours=9, minutes=10)
    assert world.pinged("Ruto") == [30, 35, 65, 120, 180, 300, 420, 540]
    lease = await world.lease(task)
    assert (lease.status, lease.exhausted, lease.agent) == ("pending", True, "Ruto")
    (flagged,) = world.events("exhausted", lease.id)
    assert flagged["at"] == "2027-01-15T13:00:00Z"
    assert (await world.operator("system.status")).exhausted == 1
    remarks = [remark.text for remark in (await world.show(task)).comments]
    assert len(remarks) == len(set(remarks)), (
        remarks
    )  # one remark for each change of level, never one per tick


@pytest.mark.parametrize("kind", ["ack", "snooze", "progress"])
async def test_any_answer_takes_the_flag_down(world: World, kind: str) -> None:
    task, _ = await world.given("a1")
    await world.forward(hours=5, minutes=1)
    exhausted = await world.lease(task)
    assert exhausted.exhausted
    await world.says("Ruto", kind, exhausted, **({"note": "on it"} if kind == "progress" else {}))
    answered = await world.lease(task)
    assert (answered.id, answered.exhausted) == (exhausted.id, False)


async def test_a_reassignment_takes_the_flag_down(world: World) -> None:
    task, _ = await world.given("a1")
    await world.forward(hours=5, minutes=1)
    await world.agent("a2")
    await world.operator("task.assign", task=task, agent="a2")
    lease = await world.lease(task)
    assert (lease.agent, lease.exhausted, lease.level) == ("a2", False, 0)
    assert (await world.operator("system.status")).exhausted == 0


async def test_a_missed_due_date_is_said_once_and_moves_nothing(world: World) -> None:
    task, lease = await world.given("a1", due_at=AN_HOUR_LATER)
    for minute in range(0, 120, 9):
        await world.says("a1", "progress", lease, note=f"minute {minute}")
        await world.forward(minutes=9)
    assert (await world.lease(task)).id == lease.id
    told = [(heard.minute, heard.subject.split(".")[1]) for heard in world.on("notice.")]
    assert sorted(told) == [(60, "Ruto"), (60, "a1")]
    await world.operator("task.assign", task=task, agent="Ruto")
    await world.forward(hours=3)
    assert len(world.on("notice.")) == 2  # once for the task, whoever has it


async def test_pings_can_be_switched_off_and_the_promise_still_counts(world: World) -> None:
    task, lease = await world.given("a1")
    await world.operator("task.set", task=task, pings_enabled=False)
    await world.forward(minutes=31)
    assert world.pinged("a1", lease) == [0]
    assert (await world.lease(task)).agent == "Ruto"


async def test_a_task_may_have_its_own_clocks(world: World) -> None:
    task, lease = await world.given("a1", accept_minutes=7, ping_interval_minutes=2)
    await world.forward(minutes=8)
    assert world.pinged("a1", lease) == [0, 2, 4, 6]
    assert (await world.lease(task)).agent == "Ruto"
