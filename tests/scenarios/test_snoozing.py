"""Snoozes: they end once, at the right instant, whatever day it is and whoever was restarted meanwhile."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from contracts.codec import micros
from tests.support.world import Refused, World, open_world


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let local time jump from 2:00 to 3:00 on 14 March 2027, at 7:00 UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("begin", "end"),
    [("2027-03-13T20:00:00Z", "2027-03-14T00:00:00Z"), ("2027-03-14T05:00:00Z", "2027-03-14T09:00:00Z")],
    ids=["to midnight", "over the change of clocks"],
)
async def test_it_ends_once_and_on_time_though_all_were_restarted(
    tmp_path: Path, new_york: None, begin: str, end: str
) -> None:
    async with open_world(tmp_path, start=micros(datetime.fromisoformat(begin))) as world:
        task, lease = await world.given("a1")
        await world.says("a1", "snooze", lease, minutes=240)
        snoozed = await world.lease(task)
        assert snoozed.snooze_until == datetime.fromisoformat(end)
        await world.forward(hours=1)
        await world.stop()
        await world.forward(hours=1)
        await world.start()
        await world.forward(
            hours=2, minutes=29
        )  # at 270 it is asked again, or taken from it: whoever is first
        assert world.pinged("a1") == [0, 240]
        assert len(world.events("snooze_ended", lease.id)) == 1
        assert world.events("snooze_ended", lease.id)[0]["at"] == end


async def test_it_ends_once_though_nobody_ran_at_that_instant(tmp_path: Path) -> None:
    async with open_world(tmp_path, houses=2) as world:
        _, lease = await world.given("a1")
        await world.says("a1", "snooze", lease, minutes=60)
        await world.stop()
        await world.forward(hours=3)
        await world.start(2)
        await world.settle()
        assert world.pinged("a1") == [0, 180]
        assert len(world.events("snooze_ended", lease.id)) == 1


async def test_only_three_times_and_at_most_eight_hours(world: World) -> None:
    task, lease = await world.given("a1")
    for minutes in (480, 1, 30):
        await world.says("a1", "snooze", lease, minutes=minutes)
        await world.says("a1", "unsnooze", lease)
    problem = await world.refused("a1", "snooze", lease, minutes=1)
    assert (problem.status, problem.code, problem.state["snoozes"]) == (409, "snooze_limit", 3)
    assert (await world.lease(task)).status == "pending"


@pytest.mark.parametrize("minutes", [0, -1, 481, 10**9, 2**63, 1.5, True, "30"])
async def test_what_is_no_number_of_minutes_is_refused(world: World, minutes: object) -> None:
    task, lease = await world.given("a1")
    with pytest.raises(Refused, match="422 invalid"):
        await world.says("a1", "snooze", lease, minutes=minutes)
    assert (await world.lease(task)).status == "pending"


async def test_a_snooze_pauses_the_promise(world: World) -> None:
    task, lease = await world.given("a1")
    await world.forward(minutes=20)
    await world.says("a1", "snooze", lease, minutes=60)
    await world.forward(minutes=60)
    assert (await world.lease(task)).accept_by == datetime.fromisoformat("2027-01-15T09:30:00Z")
    await world.forward(minutes=9, seconds=59)
    assert (await world.lease(task)).agent == "a1"
    await world.forward(seconds=2)
    assert (await world.lease(task)).agent == "Ruto"


async def test_what_was_accepted_is_accepted_afterwards_and_has_five_minutes_left(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=29)
    await world.says("a1", "snooze", lease, minutes=10, reason="lunch")
    assert world.rows("SELECT leases, accepted, waiting FROM agents WHERE name = 'a1'") == [(1, 0, 0)]
    await world.forward(minutes=10)
    back = await world.lease(task)
    assert (back.status, back.progress_by) == ("acknowledged", datetime.fromisoformat("2027-01-15T08:44:00Z"))


async def test_a_reassignment_ends_the_snooze(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "snooze", lease, minutes=60)
    await world.agent("a2")
    await world.operator("task.assign", task=task, agent="a2")
    await world.forward(hours=2)
    assert world.events("snooze_ended") == []
    assert world.pinged("a1") == [0]
