"""Who is silent, and who is only not heard; and whose name is not its own."""

import pytest

from contracts.errors import NotFoundError, RejoinRequiredError
from contracts.operations.answers import HandoffParams, LeaveParams
from contracts.records import Hold
from domain import presence
from domain.timers import MINUTE_US, SECOND_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    for name in ("a1", "a2"):
        found.agent(name, beats="required")
        found.join(name)
    return found


def held(world: World, start: int, end: int) -> None:
    world.holds.append(Hold(start_at=START + start * SECOND_US, end_at=START + end * SECOND_US))


def suspects(world: World) -> list[str]:
    return [agent.name for agent in world.agents.values() if agent.suspect_at is not None]


def test_an_outage_makes_nobody_suspect(world: World) -> None:
    world.handled = world.now  # nothing comes through, and no hold is written yet
    world.forward(minutes=5)
    assert suspects(world) == []
    held(world, 0, 300)
    world.handled = -1
    world.beat("a2")
    world.forward(seconds=89)
    assert suspects(world) == []
    world.task()
    assert world.agents["ruto"].leases == 0
    world.forward(seconds=1)
    assert suspects(world) == ["a1", "a2"]  # both were silent for as long as anybody may be


def test_nobody_is_judged_before_somebody_has_said_that_the_bus_is_there(world: World) -> None:
    world.handled = None
    world.forward(minutes=2)
    assert suspects(world) == []
    assert world.agents["a1"].silent_at == world.now + world.timers.recheck_us


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([(-10, 0)], 90),
        ([(-10, 1)], 91),
        ([(10, 20)], 110),
        ([(100, 140), (20, 30)], 230),  # the first moves the instant into the second
        ([(90, 100)], 90),
    ],
)
def test_beats_are_awaited_anew_after_a_hold(
    world: World, holds: list[tuple[int, int]], expected: int
) -> None:
    for start, end in holds:
        held(world, start, end)
    world.forward(seconds=expected - 1)
    assert suspects(world) == []
    world.forward(seconds=1)
    assert suspects(world) == ["a1", "a2"]


def test_another_spelling_is_refused_with_the_right_one(world: World) -> None:
    world.task()
    named = r"^there is no agent A1: do you mean a1\?$"
    for deed in (
        lambda: world.join("A1"),
        lambda: presence.sync(world, "A1", world.now),
        lambda: presence.next_owed(world, "A1", world.now),
        lambda: world.decide(presence.leave, world.now, "A1", LeaveParams(), timers=world.timers),
        lambda: world.hand_off("A1", HandoffParams(assignment=world.lease("a1").id)),
    ):
        with pytest.raises(NotFoundError, match=named):
            deed()
    with pytest.raises(RejoinRequiredError, match=named):
        world.beat("A1")
    assert world.now < START + MINUTE_US
