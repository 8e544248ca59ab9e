"""What counts against nobody: an outage of the bus, a suspended machine, a clock that steps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.work import StoreFaultError
from tests.support.nats import until
from tests.support.world import MINUTE, World, open_world

TTL_US = 90_000_000
HOURS_3 = 180 * MINUTE


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All services in one process, and outages that count."""
    async with open_world(tmp_path, gap_us=TTL_US) as found:
        yield found


def holds(world: World) -> list[int]:
    """Return how long the stretches are that count against nobody, in minutes."""
    return [minutes for (minutes,) in world.rows("SELECT (end_at - start_at) / 60000000 FROM holds")]


async def judge(world: World) -> None:
    """Let the escalator look before the process has told anybody anything."""
    for duty in world.house.runtime.duties["escalator"]:
        await duty.once()


async def test_whoever_says_that_answers_are_handled_has_written_the_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chore comes first after an outage, the stamp and everybody else a moment later."""
    task, lease = await world.given("a1")
    await world.forward(minutes=20)

    async def later(*_: Any) -> None:
        """Stand for the stamps' own loop, which is the last to run, on a store that was full till now."""
        raise StoreFaultError

    monkeypatch.setattr(world.house.store, "stamp", later)
    await world.cut_off()
    world.live_until(world.clock.at + 15 * MINUTE)
    await world.cable.join()
    (house,) = world.houses
    pinger = next(service for service in house.runtime.services if service.name == "pinger")
    (chore,) = pinger.chores
    await until(lambda: house.bus.connected)
    await chore.run(house.runtime.context, world.clock.at)
    await judge(world)
    assert (await world.lease(task)).id == lease.id
    until_at = world.rows("SELECT value FROM meta WHERE key = 'answers_until'")
    assert until_at == [(str(world.clock.at),)]
    ((start, end),) = world.rows("SELECT start_at, end_at FROM holds")
    assert end - start >= 15 * MINUTE


async def test_a_suspended_machine_counts_against_nobody(world: World) -> None:
    """The escalator wakes first, before the second in which the process would have told of it."""
    task, lease = await world.given("a1")
    await world.forward(minutes=20)
    world.clock.step(HOURS_3)
    await judge(world)
    await world.settle()
    assert holds(world) == [180]
    assert (await world.lease(task)).id == lease.id
    await world.forward(minutes=9, seconds=58)
    assert (await world.lease(task)).id == lease.id
    await world.forward(seconds=4)
    assert (await world.lease(task)).agent == "Ruto"


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_steps_takes_nothing_from_anybody(world: World, hours: int) -> None:
    task, lease = await world.given("a1")
    await world.agent("heard", beats="required")
    await world.asks("heard", "agent.join", session="s1")
    await world.forward(minutes=20)
    await world.asks("heard", "agent.join", session="s1")
    before = len(world.on("evt."))
    world.clock.step(hours * 60 * MINUTE)
    await world.settle()
    assert world.on("evt.")[before:] == []
    assert (await world.who("heard")).status == "ready"
    assert holds(world) == ([60] if hours > 0 else [])
    await world.forward(minutes=9)
    assert (await world.lease(task)).id == lease.id
    await world.forward(minutes=1 + 60 * (hours < 0), seconds=2)
    assert (await world.lease(task)).agent == "Ruto"
    world.expect_each_ping_once()


@pytest.mark.parametrize("what", ["step", "outage"])
async def test_a_wait_is_not_too_long_for_time_in_which_it_could_not_end(world: World, what: str) -> None:
    """Its limit is four hours; nobody is told of it while the word that it is over may be on its way."""
    task, lease = await world.given("a1")
    await world.says("a1", "wait", lease, on="external")
    await world.forward(minutes=230)
    if what == "step":
        world.clock.step(60 * MINUTE)
        await judge(world)
    else:
        await world.cut_off()
        world.live_until(world.clock.at + 60 * MINUTE)
        await judge(world)
        await world.join_again()
    await world.settle()
    assert holds(world) == [60]
    assert world.rows("SELECT wait_notices FROM assignments") == [(0,)]
    await world.forward(minutes=11)
    assert world.rows("SELECT wait_notices FROM assignments") == [(1,)]
    assert (await world.lease(task)).status == "waiting"


async def test_after_a_clock_stepped_back_silence_is_still_noticed_in_time(world: World) -> None:
    await world.agent("a1", beats="required")
    await world.asks("a1", "agent.join", session="s1")
    world.clock.step(-60 * MINUTE)
    await world.bus.publish("rollcall.v1.hb.a1", b"{}")
    heard_at = "SELECT beat_at FROM agents WHERE name = 'a1'"
    await until(lambda: world.rows(heard_at) == [(world.clock.at,)])
    await world.forward(seconds=92)
    assert (await world.who("a1")).status == "suspect"


async def test_a_process_that_was_paused_holds_nothing_up(world: World) -> None:
    """Agents could answer all the time; both its clocks moved on together."""
    task, _ = await world.given("a1")
    await world.forward(minutes=20)
    world.clock.move(world.clock.at + HOURS_3)
    await world.settle()
    assert holds(world) == []
    assert (await world.lease(task)).agent == "Ruto"
    assert len(world.events("escalated")) == 1


async def test_a_line_that_is_dead_but_looks_whole_is_no_live_bus(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked every second: what nobody answers is an outage, though no connection has broken."""
    task, lease = await world.given("a1")
    await world.forward(minutes=20)
    world.cable.hang()
    with monkeypatch.context() as short:
        short.setattr("bus.pulse.REACH_S", 0.05)
        await world.house.runtime.pulse.tell()
    world.live_until(world.clock.at + 10 * MINUTE)
    assert world.house.bus.connected
    world.cable.flow()
    world.live_until(world.clock.at + 5 * MINUTE)
    await world.settle()
    assert holds(world) == [15]
    assert (await world.lease(task)).id == lease.id
