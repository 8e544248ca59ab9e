"""What silence makes of an agent, step by step, and what keeps it from that."""

import pytest
from msgspec import structs

from contracts.errors import RejoinRequiredError
from contracts.messages import Ack, ProcessFacts, Progress, Wait
from contracts.operations.agents import SetParams
from contracts.operations.answers import HandoffParams, LeaveParams
from contracts.records import Agent, Frozen, Hold
from domain import agents, presence
from domain.assigning import handoff
from domain.timers import SECOND_US
from tests.domain.test_daemons import facts
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    return World()


def status(world: World, name: str) -> str:
    return world.agents[name].status


def test_silence_is_suspicion_then_death_then_its_work_goes_on_then_a_tombstone(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    task = world.task()
    world.say("a1", Ack())
    world.forward(seconds=90)
    assert status(world, "a1") == "suspect"
    world.forward(seconds=59)
    assert status(world, "a1") == "suspect"
    world.forward(seconds=1)
    found = world.agents["a1"]
    assert (found.status, found.status_why) == ("dead", "not heard for 2 min")
    assert world.holder(task).agent == "a1"  # dead is visible before anything is removed
    world.forward(seconds=60)
    assert world.holder(task).agent == "Ruto"
    ended = next(row for row in world.assignments.values() if row.agent == "a1")
    assert (ended.status, ended.end_reason) == ("failed", "lost")
    assert world.remarks("Lost: a1 is dead")
    assert world.agents["a1"].released_at == world.now
    world.forward(hours=24)
    found = world.agents["a1"]
    assert (found.hidden_at, found.silent_at, found.status) == (world.now, None, "dead")
    assert world.events("died", "leases_released", "hidden") == ["died", "leases_released", "hidden"]
    world.join("a1", "s2")
    assert (status(world, "a1"), world.agents["a1"].hidden_at) == ("ready", None)


@pytest.mark.parametrize("after", [100, 170, 250])
def test_a_beat_brings_back_whoever_was_given_up(world: World, after: int) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    task = world.task()
    world.say("a1", Ack())
    world.forward(seconds=after)
    world.beat("a1")
    held = world.holder(task).agent == "a1"
    assert (status(world, "a1"), held) == (("working", True) if after < 210 else ("ready", False))
    world.forward(seconds=89)
    assert status(world, "a1") in ("working", "ready")


def test_an_agent_that_comes_back_under_another_session_gets_what_is_left(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.task()
    world.forward(seconds=200)
    told = world.join("a1", "s2")
    assert ([lease.status for lease in told.leases], status(world, "a1")) == (["pending"], "busy")
    with pytest.raises(RejoinRequiredError):
        world.beat("a1", "s1")


def test_a_sick_monitor_waits_longer(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.health = 7
    world.forward(seconds=90 + 8 * 60 - 1)
    assert status(world, "a1") == "suspect"
    world.forward(seconds=1)
    assert status(world, "a1") == "dead"


@pytest.mark.parametrize("at", [80, 100, 155])
def test_an_outage_gives_every_step_a_whole_ttl(world: World, at: int) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.forward(seconds=at)
    before = status(world, "a1")
    world.handled = world.now
    world.forward(seconds=200)
    world.handled = -1
    world.holds.append(Hold(start_at=START + at * SECOND_US, end_at=world.now))
    world.forward(seconds=89)
    assert (status(world, "a1"), world.agents["a1"].released_at) == (before, None)
    world.forward(minutes=5)
    assert world.agents["a1"].released_at is not None


def test_who_left_or_never_beats_does_not_die(world: World) -> None:
    for name in ("a1", "a2"):
        world.agent(name, beats="required")
        world.join(name)
    world.agent("w1")
    world.join("w1")
    world.decide(presence.leave, world.now, "a1", LeaveParams(), timers=world.timers)
    world.operate(agents.set_agent, SetParams(name="a2", active=False))
    world.forward(hours=48)
    assert [status(world, name) for name in ("a1", "a2", "w1")] == ["offline", "offline", "ready"]
    assert not world.events("died")


def test_a_handoff_to_the_dead_goes_back_to_its_giver(world: World) -> None:
    world.agent("a1")
    task = world.task(to="a1")
    world.agent("a2", beats="required")
    world.join("a2")
    params = HandoffParams(assignment=world.lease("a1").id, to="a2")
    world.decide(handoff, world.now, params, agent="a1", timers=world.timers)
    world.forward(seconds=210)
    assert (world.holder(task).agent, world.holder(task).status) == ("a1", "pending")


def test_all_that_the_dead_held_goes_back_in_one_decision(world: World) -> None:
    world.agent("a1", beats="required", capacity=3)
    world.join("a1")
    tasks = [world.task(f"task {number}", to="a1") for number in range(3)]
    world.say("a1", Ack(), lease=world.tasks[tasks[0]].assignment_id)
    world.say("a1", Wait(on="human"), lease=world.tasks[tasks[1]].assignment_id)
    world.forward(seconds=210)
    assert {world.holder(task).agent for task in tasks} == {"Ruto"}
    assert (world.agents["a1"].leases, world.agents["a1"].waiting) == (0, 0)


def test_while_all_is_frozen_the_dead_keep_what_they_hold(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    task = world.task()
    world.frozen = Frozen(since=START, by="operator:ann", reason="a leak")
    world.forward(seconds=300)
    assert (status(world, "a1"), world.holder(task).agent) == ("dead", "a1")
    world.frozen = None
    world.forward(seconds=60)
    assert world.holder(task).agent == "Ruto"


def test_a_dead_agent_that_was_given_work_by_hand_is_no_tombstone(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.forward(minutes=5)
    world.task(to="a1")
    world.say("a1", Progress(note="by another way"))
    world.forward(seconds=1)
    world.agents["a1"] = structs.replace(world.agents["a1"], silent_at=world.now)
    world.tick()
    assert world.agents["a1"].hidden_at is None


# --- the daemon's word ---


def test_while_the_daemon_says_that_it_runs_silence_takes_nothing(world: World) -> None:
    world.agent("a1", beats="required")
    world.host("m1", "d1", facts())
    world.join("a1", "b1")
    task = world.task()
    world.say("a1", Ack())
    lease = world.holder(task)
    for _ in range(18):
        world.forward(seconds=30)
        world.machine_beat(facts())
    found = world.agents["a1"]
    assert (found.status, found.status_why) == ("suspect", "missed its beats; m1 says it runs")
    world.beat("a1", "b1")
    assert (status(world, "a1"), world.holder(task).id, world.holder(task).epoch) == ("working", lease.id, 1)


def test_when_the_daemon_is_lost_too_the_agent_is_dead(world: World) -> None:
    world.agent("a1", beats="required")
    world.host("m1", "d1", facts())
    world.join("a1", "b1")
    world.forward(minutes=10)
    assert status(world, "a1") == "dead"
    assert world.machines["m1"].connected is False
    world.machine_beat(facts())  # the daemon is back: its process lives, but does not beat
    assert status(world, "a1") == "suspect"
    world.beat("a1", "b1")
    assert status(world, "a1") == "ready"


def test_without_a_beat_of_its_own_it_is_dead_when_its_machine_was_not_heard(world: World) -> None:
    world.agent("a1", beats="required")
    world.host("m1", "d1", facts())
    world.forward(seconds=181)
    assert (status(world, "a1"), world.agents["a1"].dead_why) == ("dead", "not heard for 3 min")


def test_a_restart_that_never_ends_is_a_death_when_its_machine_is_lost(world: World) -> None:
    world.agent("a1", beats="required")
    world.host("m1", "d1", facts())
    world.report(ProcessFacts(agent="a1", state="restarting"))
    for _ in range(10):
        world.forward(seconds=30)
        world.machine_beat()
        assert status(world, "a1") == "restarting"
    world.forward(minutes=10)
    assert status(world, "a1") == "dead"


def test_a_crash_for_good_gives_its_work_back_and_only_a_join_revives_it(world: World) -> None:
    world.agent("a1", beats="required")
    world.host("m1", "d1", facts())
    task = world.task()
    world.report(ProcessFacts(agent="a1", state="failed", why="three tries"))
    world.forward(seconds=60)
    assert world.holder(task).agent == "Ruto"
    world.forward(hours=25)
    found = world.agents["a1"]
    assert (found.status, found.hidden_at is not None) == ("dead_failed_revive", True)
    world.join("a1", "b2")
    assert status(world, "a1") == "ready"


def test_agents_that_were_set_are_listened_for_again(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.operate(agents.set_agent, SetParams(name="a1", beats="none"))
    world.forward(minutes=10)
    assert status(world, "a1") == "ready"
    world.operate(agents.set_agent, SetParams(name="a1", beats="required"))
    world.forward(minutes=3)
    assert status(world, "a1") == "dead"
    world.operate(agents.set_agent, SetParams(name="a1", active=False))
    world.operate(agents.set_agent, SetParams(name="a1", active=True))
    found: Agent = world.agents["a1"]
    assert (found.status, found.silent_at, found.dead_at) == ("offline", None, None)
