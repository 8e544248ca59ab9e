"""Many that fall silent at once: nobody dies until it is clear who is deaf; and whether a team is there."""

from typing import Any

import pytest
from msgspec import structs

from contracts.errors import InvalidError, NotFoundError
from contracts.operations.agents import SetParams
from contracts.operations.presence import ReadyParams, ReleaseParams
from domain import agents, brakes, teams
from domain.timers import SECOND_US, Timers
from tests.domain.test_daemons import facts
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    return World()


def fleet(world: World, count: int) -> list[str]:
    names = [f"f{number}" for number in range(count)]
    for name in names:
        world.agent(name, beats="required")
        world.join(name)
    return names


def live(world: World, names: list[str], *, seconds: int, canary: bool = True) -> None:
    """Let time pass while the named beat; the canary too unless the bus is away."""
    for _ in range(seconds // 5):
        world.forward(seconds=5)
        for name in names:
            world.beat(name)
        if canary:
            world.decide(brakes.canary, world.now, world.now, timers=world.timers)


def status(world: World, name: str) -> str:
    return world.agents[name].status


def release(world: World, **params: Any) -> Any:
    given = ReleaseParams(**{"reason": "they are gone", **params})
    return world.decide(brakes.let_go, world.now, given, actor="operator:ann", timers=world.timers)


def test_two_that_fall_silent_are_dead_and_three_of_six_put_the_brake_on(world: World) -> None:
    names = fleet(world, 6)
    live(world, names[2:], seconds=150)
    assert [status(world, name) for name in names[:3]] == ["dead", "dead", "ready"]
    assert not world.brakes


def test_when_many_fall_silent_nobody_dies_and_it_is_said_once(world: World) -> None:
    names = fleet(world, 6)
    task = world.task(to="f0")
    live(world, names[3:], seconds=600, canary=False)
    assert [status(world, name) for name in names] == ["suspect"] * 3 + ["ready"] * 3
    assert world.holder(task).agent == "f0"
    (brake,) = world.brakes.values()
    assert (brake.scope, brake.members, brake.silent) == ("fleet", 6, 3)
    assert world.events("put_on") == ["put_on"]
    (shown,) = brakes.listed(world).items
    assert (shown.scope, shown.silent, shown.released_at) == ("fleet", 3, None)
    live(world, names, seconds=10, canary=False)
    assert world.brakes[brake.id].end_reason == "beats returned"
    assert {status(world, name) for name in names} <= {"ready", "busy"}
    live(world, names[3:], seconds=200, canary=False)
    assert len([row for row in world.brakes.values() if row.ended_at is None]) == 1  # it may be put on again


def test_a_deadline_that_is_missed_under_a_brake_begins_anew(world: World) -> None:
    names = fleet(world, 6)
    task = world.task(to="f0", accept_minutes=4)
    live(world, names[3:], seconds=300, canary=False)
    assert world.holder(task).agent == "f0"
    assert world.events("clock_held") == ["clock_held"]
    live(world, names, seconds=175, canary=False)
    assert world.holder(task).agent == "f0"
    live(world, names, seconds=10, canary=False)
    assert world.holder(task).agent != "f0"


def test_the_canary_frees_deaths_one_after_the_other_and_all_are_found(world: World) -> None:
    names = fleet(world, 10)
    live(world, names[6:], seconds=150)
    assert "dead" not in {status(world, name) for name in names}
    (brake,) = world.brakes.values()
    found: list[int] = []
    for _ in range(40):
        live(world, names[6:], seconds=5)
        found.append(sum(status(world, name) == "dead" for name in names))
    assert found[-1] == 6
    assert max(later - sooner for sooner, later in zip(found, found[2:], strict=False)) <= 1
    released = world.brakes[brake.id].released_at or 0
    assert 90 * SECOND_US <= released - brake.began_at <= 100 * SECOND_US
    assert world.brakes[brake.id].end_reason == "whoever was silent is back or was found dead"
    deaths = [fact.id for fact in world.facts if fact.event == "died"]
    assert sorted(deaths) == names[:6]


def test_a_canary_that_is_silent_now_and_then_frees_nobody(world: World) -> None:
    names = fleet(world, 4)
    live(world, [], seconds=150)
    for _ in range(12):
        live(world, [], seconds=85)
        live(world, [], seconds=20, canary=False)
    assert {status(world, name) for name in names} == {"suspect"}
    live(world, [], seconds=700, canary=False)
    assert world.events("released") == ["released"]  # half an hour is over
    assert world.brakes[next(iter(world.brakes))].released_why == "it held as long as it may"
    assert {status(world, name) for name in names} == {"dead"}


def test_a_canary_that_was_heard_and_fell_silent_frees_nobody(world: World) -> None:
    fleet(world, 4)
    live(world, [], seconds=230)
    live(world, [], seconds=60, canary=False)
    assert not world.events("released")


def test_an_operator_lets_the_brake_go(world: World) -> None:
    names = fleet(world, 4)
    with pytest.raises(NotFoundError, match="no brake is on"):
        release(world)
    live(world, [], seconds=160, canary=False)
    with pytest.raises(NotFoundError, match="machine:m1"):
        release(world, scope="machine:m1")
    assert release(world, scope="fleet").scopes == ("fleet",)
    assert release(world).scopes == ("fleet",)
    assert world.events("released") == ["released"]
    live(world, [], seconds=100, canary=False)
    assert {status(world, name) for name in names} == {"dead"}
    with pytest.raises(NotFoundError):
        release(world)


def test_whoever_is_heard_in_its_turn_does_not_die_and_loses_the_turn(world: World) -> None:
    names = fleet(world, 6)
    live(world, [], seconds=160, canary=False)
    release(world)
    live(world, [], seconds=65, canary=False)
    waiting = [name for name in names if world.agents[name].dies_at is not None]
    assert waiting
    for name in waiting:
        world.beat(name)
    assert {status(world, name) for name in waiting} == {"ready"}
    assert {world.agents[name].dies_at for name in waiting} == {None}
    live(world, waiting, seconds=60, canary=False)
    assert world.brakes[next(iter(world.brakes))].ended_at is not None


def test_one_machine_has_a_brake_of_its_own(world: World) -> None:
    others = fleet(world, 20)
    for number in range(3):
        world.agent(f"h{number}", beats="required")
    world.host("m1", "d1", *(facts(agent=f"h{number}", session=f"b{number}") for number in range(3)))
    live(world, others, seconds=400, canary=False)
    assert [row.scope for row in world.brakes.values()] == ["machine:m1"]
    assert {status(world, f"h{number}") for number in range(3)} == {"suspect"}
    world.machine_beat(*(facts(agent=f"h{number}", session=f"b{number}") for number in range(3)))
    live(world, others, seconds=100, canary=False)
    assert {status(world, f"h{number}") for number in range(3)} == {"ready"}


def test_a_brake_that_is_not_due_is_left_alone(world: World) -> None:
    fleet(world, 4)
    live(world, [], seconds=160, canary=False)
    (brake,) = world.brakes.values()
    for number in (brake.id, 999):
        silent = brakes.silent_since(0)
        assert not brakes.judge(world, number, START, silent=silent, timers=world.timers).brakes
    release(world)
    assert not brakes.canary(world, world.now, world.now, world.timers).brakes


def test_nobody_has_the_canary_s_name(world: World) -> None:
    with pytest.raises(InvalidError):
        world.agent("Rollcall-Canary")


# --- teams ---


def test_a_team_is_ready_when_all_of_it_are_there_and_nothing_keeps_them(world: World) -> None:
    world.agent("a1", "code")
    world.agent("a2", "code", beats="required")
    world.join("a2")
    world.task(to="a1")

    def ask(*names: str, capability: str | None = None) -> Any:
        return teams.ready(list(world.agents.values()), ReadyParams(names=names, capability=capability))

    told = ask(capability="code")
    assert (told.ready, told.expected, told.there, told.able) == (True, 2, 2, 2)
    assert [(row.name, row.status, row.why) for row in told.items] == [
        ("a1", "busy", "holds what it has not accepted"),
        ("a2", "ready", "present"),
    ]
    assert [row.name for row in ask().items] == ["Ruto", "a1", "a2"]
    told = ask("a2", "A2", "ghost")
    assert (told.ready, told.expected, told.there) == (False, 2, 1)
    assert "nobody of this name" in told.items[1].why
    assert not ask(capability="nothing").ready
    world.operate(agents.set_agent, SetParams(name="a1", quarantined=True))
    world.forward(minutes=5)
    told = ask(capability="code")
    assert [row.why for row in told.items] == ["quarantined: no reason given", "not heard for 2 min"]
    assert (told.ready, told.there, told.able) == (False, 1, 0)
    assert ask("ghost", capability="code").expected == 1
    world.agent("a3")
    told = ask("a3", capability="code")
    assert (told.ready, told.expected, [row.why for row in told.items]) == (False, 1, ["not capable: code"])


def test_a_turn_under_one_brake_is_no_leave_to_die_under_another(world: World) -> None:
    for number in range(4):
        world.agent(f"h{number}", beats="required")
    hosted = [facts(agent=f"h{number}", session=f"s{number}") for number in range(4)]
    world.host("m1", "d1", *hosted)
    others = fleet(world, 9)
    live(world, others, seconds=185)
    (brake,) = world.brakes.values()
    assert brake.scope == "machine:m1"
    while world.brakes[brake.id].released_at is None:
        live(world, others, seconds=5)
    while not any(agent.dies_at for agent in world.agents.values()):
        live(world, others, seconds=5)
    dead = sum(agent.status == "dead" for agent in world.agents.values())
    world.brakes[99] = structs.replace(
        brake, id=99, scope="fleet", began_at=world.now, canary_since=None, canary_at=None, look_at=None
    )
    live(world, others, seconds=60, canary=False)
    assert sum(agent.status == "dead" for agent in world.agents.values()) == dead


def test_turns_that_passed_while_nobody_judged_are_not_taken_at_once(world: World) -> None:
    names = fleet(world, 10)
    live(world, names[8:], seconds=150)
    assert len(world.brakes) == 1
    while not any(agent.dies_at for agent in world.agents.values()):
        live(world, names[8:], seconds=5)
    before = sum(status(world, name) == "dead" for name in names)
    world.now += 600 * SECOND_US
    for name in names[8:]:
        world.beat(name)
    world.tick()
    assert sum(status(world, name) == "dead" for name in names) <= before + 1
    live(world, names[8:], seconds=120)
    assert sum(status(world, name) == "dead" for name in names) == 8


def look(world: World, brake_id: int, at: int | None) -> None:
    """Take a brake out of the monitor's column, as a decision that throws does."""
    world.brakes[brake_id] = structs.replace(world.brakes[brake_id], look_at=at)


def test_a_suspect_whose_decision_throws_keeps_no_brake_on(world: World) -> None:
    names = fleet(world, 10)
    live(world, names[6:], seconds=155, canary=False)
    (brake,) = world.brakes.values()
    world.agents["f0"] = structs.replace(world.agents["f0"], silent_at=None)
    release(world)
    live(world, names[6:], seconds=120, canary=False)
    assert [status(world, name) for name in names[:6]] == ["suspect"] + ["dead"] * 5
    assert world.brakes[brake.id].end_reason == "whoever was silent is back or was found dead"
    live(world, [], seconds=300, canary=False)
    assert {status(world, name) for name in names[6:]} == {"suspect"}


def test_too_many_more_are_held_anew_while_others_are_let_go(world: World) -> None:
    names = fleet(world, 20)
    live(world, names[12:], seconds=155)
    release(world)
    (brake,) = world.brakes.values()
    live(world, names[12:], seconds=20, canary=False)
    live(world, [], seconds=155, canary=False)
    now = world.brakes[brake.id]
    assert (now.released_at, now.released_why, now.canary_at, now.ended_at) == (None, None, None, None)
    assert (now.members, now.silent, world.events("put_on")) == (8, 8, ["put_on", "put_on"])
    dead = sum(status(world, name) == "dead" for name in names)
    live(world, [], seconds=600, canary=False)
    assert {status(world, name) for name in names[12:]} == {"suspect"}
    assert sum(status(world, name) == "dead" for name in names) == dead
    live(world, [], seconds=330)  # the canary is heard: they are let go in their turn
    assert {status(world, name) for name in names} == {"dead"}


def test_few_more_are_let_go_with_the_others(world: World) -> None:
    names = fleet(world, 20)
    live(world, names[10:], seconds=155)
    release(world)
    live(world, names[12:], seconds=300, canary=False)
    assert [status(world, name) for name in names] == ["dead"] * 12 + ["ready"] * 8
    assert world.events("put_on") == ["put_on"]


def test_a_brake_that_nobody_looks_at_lets_go_when_its_time_is_over(world: World) -> None:
    names = fleet(world, 4)
    live(world, names[:1], seconds=155, canary=False)
    (brake,) = world.brakes.values()
    look(world, brake.id, None)
    live(world, names[:1], seconds=1790, canary=False)
    assert {status(world, name) for name in names[1:]} == {"suspect"}
    live(world, names[:1], seconds=120, canary=False)
    assert {status(world, name) for name in names[1:]} == {"dead"}
    assert world.brakes[brake.id].released_why == "it held as long as it may"
    assert world.brakes[brake.id].ended_at is not None


def test_a_brake_that_nobody_looked_at_holds_those_who_fall_silent_long_after(world: World) -> None:
    names = fleet(world, 4)
    live(world, [], seconds=155, canary=False)
    (brake,) = world.brakes.values()
    look(world, brake.id, None)
    live(world, names, seconds=2000, canary=False)
    live(world, [], seconds=600, canary=False)
    assert {status(world, name) for name in names} == {"suspect"}
    assert world.brakes[brake.id].began_at > START + 2000 * SECOND_US


def test_one_machine_s_mishap_under_a_brake_that_let_the_fleet_go(world: World) -> None:
    first, others = fleet(world, 20)[:12], [f"f{number}" for number in range(12, 20)]
    hosted = [facts(agent=f"h{number}", session=f"b{number}") for number in range(3)]
    for number in range(3):
        world.agent(f"h{number}", beats="required")
    world.host("m1", "d1", *hosted)
    for _ in range(31):
        live(world, others, seconds=5)
        world.machine_beat(*hosted)
    release(world)
    live(world, others, seconds=260, canary=False)
    holding = {row.scope for row in world.brakes.values() if row.released_at is None}
    assert holding == {"machine:m1"}
    assert {status(world, name) for name in first} == {"dead"}
    assert {status(world, f"h{number}") for number in range(3)} == {"suspect"}


def test_a_brake_lets_go_as_soon_as_it_held_as_long_as_it_may() -> None:
    world = World(Timers(brake_us=1795 * SECOND_US))  # no suspect is looked at just then
    fleet(world, 4)
    live(world, [], seconds=1945, canary=False)
    (brake,) = world.brakes.values()
    assert (brake.released_at, brake.released_why) == (brake.began_at + 1795 * SECOND_US, brakes.TOO_LONG)
