"""How ill a process feels, which lengthens the grace that it gives others."""

import pytest

from bus.pulse import ILL_MAX, LATE_S, SLOW_S, WELL_S, Pulse
from domain.timers import SECOND_US, Timers
from tests.domain.world import World as Fleet
from tests.support.world import TICK, World


def pulse_of(world: World) -> Pulse:
    return Pulse(
        bus=world.bus, ledger=world.house.store, clock=world.clock, process="p", services="x", gap_us=TICK
    )


def look_after(world: World, pulse: Pulse, seconds: float) -> int:
    world.clock.move(world.clock.at + round(seconds * SECOND_US))
    pulse.look()
    return pulse.health


async def test_a_late_look_is_a_sign_of_illness_and_good_ones_are_forgiven(world: World) -> None:
    pulse = pulse_of(world)
    assert pulse.health == 0
    assert look_after(world, pulse, LATE_S) == 0  # late is more than that
    assert look_after(world, pulse, LATE_S + 0.1) == 1
    assert look_after(world, pulse, LATE_S + 0.1) == 2
    assert [look_after(world, pulse, 1) for _ in range(10)] == [2, 2, 2, 2, 1, 1, 1, 1, 1, 0]
    assert WELL_S == 5
    assert [look_after(world, pulse, 1) for _ in range(6)] == [0] * 6  # and never less


async def test_a_sign_of_illness_begins_the_good_time_anew(world: World) -> None:
    pulse = pulse_of(world)
    look_after(world, pulse, LATE_S + 1)
    assert [look_after(world, pulse, 1) for _ in range(4)] == [1] * 4
    assert look_after(world, pulse, LATE_S + 1) == 2
    assert [look_after(world, pulse, 1) for _ in range(5)] == [2, 2, 2, 2, 1]


async def test_nobody_is_more_than_so_ill(world: World) -> None:
    pulse = pulse_of(world)
    assert [look_after(world, pulse, LATE_S + 1) for _ in range(9)] == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert ILL_MAX == 7


@pytest.mark.parametrize(("seconds", "ill"), [(SLOW_S, 0), (SLOW_S + 0.01, 1)])
async def test_a_slow_round_trip_is_a_sign_of_illness(
    world: World, monkeypatch: pytest.MonkeyPatch, *, seconds: float, ill: int
) -> None:
    """The clock of the loop is the one that tells how long the bus took."""
    pulse = pulse_of(world)
    asked = iter((0.0, seconds))
    with monkeypatch.context() as timed:
        timed.setattr("bus.pulse.anyio.current_time", lambda: next(asked, seconds))
        reached = await pulse._reach()
    assert reached
    assert pulse.health == ill


@pytest.mark.parametrize("health", [0, 3, ILL_MAX])
def test_the_grace_is_as_many_times_longer(health: int) -> None:
    fleet = Fleet()
    fleet.agent("ann", beats="required")
    fleet.join("ann")
    fleet.health = health
    grace = Timers().grace_us // SECOND_US * (1 + health)
    found: list[str] = []
    for seconds in (90, grace - 1, 1):
        fleet.forward(seconds=seconds)
        found.append(fleet.agents["ann"].status)
    assert found == ["suspect", "suspect", "dead"]
