"""The word of a machine's daemon: what it changes about agents, and what it may not say."""

from typing import Any

import pytest
from msgspec import structs

from contracts.errors import NotFoundError, RejoinRequiredError, StaleSessionError
from contracts.messages import Ack, ProcessFacts
from contracts.operations.agents import SetParams
from contracts.operations.answers import LeaveParams
from contracts.operations.machines import LeaveParams as MachineLeave
from contracts.records import Agent
from domain import agents, daemons, presence
from domain.timers import SECOND_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1", beats="required")
    return found


def facts(state: Any = "running", agent: str = "a1", **fields: Any) -> ProcessFacts:
    given: dict[str, Any] = {"pid": 7, "session": "b1"} if state == "running" else {}
    return ProcessFacts(agent=agent, state=state, **given | fields)


def a1(world: World) -> Agent:
    return world.agents["a1"]


def leave(world: World, machine: str = "m1", session: str = "d1") -> Any:
    own = [agent for agent in world.agents.values() if agent.machine == machine]
    params = MachineLeave(session=session)
    return world.decide(daemons.leave, world.now, machine, params, agents=own, timers=world.timers)


def test_a_daemon_joins_for_what_runs_and_hears_what_is_expected(world: World) -> None:
    told = world.host("m1", "d1", facts(), facts(agent="ghost"), facts(agent="A1"))
    assert (told.machine, told.session, told.incarnation) == ("m1", "d1", "inc1")
    assert [(row.agent, row.status, row.process) for row in told.expected] == [("a1", "ready", "running")]
    assert {row.agent: row.why for row in told.refused} == {
        "ghost": "there is no active agent ghost",
        "A1": "there is no agent A1: do you mean a1?",
    }
    found = a1(world)
    assert (found.session, found.joined_at, found.machine, found.pid) == ("b1", START, "m1", 7)
    assert found.silent_at == world.machines["m1"].silent_at == START + 120 * SECOND_US
    again = world.host("m1", "d1")
    assert [row.agent for row in again.expected] == ["a1"]
    assert world.events("joined") == ["joined"]
    world.host("m1", "d2")
    assert world.events("joined") == ["joined", "joined"]


def test_the_daemon_s_word_is_presence_without_a_beat_of_the_agent_s_own(world: World) -> None:
    world.host("m1", "d1", facts())
    for _ in range(20):
        world.forward(seconds=30)
        world.machine_beat(facts())
        assert a1(world).status == "ready"
    world.forward(seconds=119)
    assert a1(world).status == "ready"
    world.forward(seconds=2)
    lost = world.machines["m1"]
    assert (lost.connected, lost.lost_at) == (False, world.now - SECOND_US)
    assert a1(world).status == "suspect"
    assert world.events("lost") == ["lost"]
    world.machine_beat(facts())
    found = world.machines["m1"]
    assert (found.connected, found.lost_at) == (True, None)
    assert world.events("found") == ["found"]


def test_a_process_that_is_started_anew_is_a_new_session_with_the_same_leases(world: World) -> None:
    world.host("m1", "d1", facts())
    task = world.task()
    world.say("a1", Ack())
    world.report(facts("restarting", why="exit code 137"))
    found = a1(world)
    assert (found.status, found.status_why) == ("restarting", "exit code 137")
    assert world.holder(task).agent == "a1"
    world.report(facts(pid=8, session="b2"))
    assert (a1(world).status, a1(world).session) == ("working", "b2")
    with pytest.raises(RejoinRequiredError):
        world.beat("a1", "b1")
    world.beat("a1", "b2")


def test_the_same_word_again_writes_nothing_and_says_nothing(world: World) -> None:
    world.host("m1", "d1", facts())
    before = (a1(world), len(world.facts))
    world.machine_beat(facts())
    assert (a1(world), len(world.facts)) == before


def test_the_word_that_it_runs_goes_before_a_death_by_silence(world: World) -> None:
    world.host("m1", "d1", facts())
    silent = structs.replace(a1(world), dead_at=world.now, status="dead", status_why="missed its beats")
    world.agents["a1"] = silent
    world.machine_beat(facts())
    assert a1(world).status == "ready"


def test_an_agent_that_joined_by_itself_keeps_its_session(world: World) -> None:
    world.host("m1", "d1", facts())
    world.join("a1", "own")
    world.machine_beat(facts())
    assert a1(world).session == "own"


def test_a_process_without_a_boot_id_joins_its_agent_all_the_same(world: World) -> None:
    world.host("m1", "d1", facts(session=None))
    assert (a1(world).status, a1(world).session) == ("ready", None)
    world.report(facts("restarting"))
    world.forward(seconds=1)
    world.report(facts(session=None, pid=9))
    assert (a1(world).status, a1(world).joined_at) == ("ready", START)


def test_a_stop_is_offline_and_no_later_word_revives_it(world: World) -> None:
    world.host("m1", "d1", facts())
    world.report(facts("stopped"))
    found = a1(world)
    assert (found.status, found.status_why, found.silent_at) == ("offline", "stopped", None)
    for state in ("restarting", "gone", "failed"):
        (refused,) = world.report(facts(state)).refused
        assert refused.why == "a1 left on purpose: it is not revived"
        assert a1(world).status == "offline"
    assert world.report(facts("stopped")).taken == 1
    assert a1(world).left_at == START
    world.report(facts(pid=8))  # somebody started it
    assert a1(world).status == "ready"


def test_an_agent_that_left_by_itself_is_not_joined_by_a_beat_of_its_machine(world: World) -> None:
    world.host("m1", "d1", facts())
    world.decide(presence.leave, world.now, "a1", LeaveParams(), timers=world.timers)
    world.machine_beat(facts())
    assert (a1(world).status, a1(world).status_why) == ("offline", "left")


def test_a_process_that_is_gone_is_a_death_at_once(world: World) -> None:
    world.host("m1", "d1", facts())
    world.report(facts("gone", why="killed"))
    found = a1(world)
    assert (found.status, found.status_why) == ("dead", "m1 says that its process is gone: killed")
    world.report(facts("failed", why="three tries"))
    assert (a1(world).status, a1(world).status_why) == ("dead_failed_revive", "three tries")
    assert a1(world).dead_at == found.dead_at
    with pytest.raises(RejoinRequiredError, match="m1 says that the process of a1 ended"):
        world.beat("a1", "b1")
    world.join("a1", "b9")
    assert (a1(world).status, a1(world).dead_at, a1(world).process) == ("ready", None, None)


@pytest.mark.parametrize(("state", "why"), [("stopped", "stopped"), ("gone", "its process is gone")])
def test_without_beats_an_ended_process_is_offline_and_its_promises_judge_it(
    world: World, state: Any, why: str
) -> None:
    world.agent("w1", "code")
    world.host("m1", "d1", facts(agent="w1"))
    assert world.agents["w1"].silent_at is None
    world.report(facts(state, agent="w1"))
    found = world.agents["w1"]
    assert (found.status, found.status_why, found.dead_at) == ("offline", why, None)
    assert world.tasks[world.task(capabilities=("code",))].agent == "Ruto"
    if state == "gone":
        world.report(facts(pid=8, agent="w1"))
    else:
        world.join("w1")
    assert world.agents["w1"].status == "ready"
    assert world.tasks[world.task(capabilities=("code",))].agent == "w1"


def test_one_machine_speaks_for_an_agent_and_another_when_it_is_lost(world: World) -> None:
    world.host("m1", "d1", facts())
    (refused,) = world.host("m2", "e1", facts("stopped")).refused
    assert refused.why == "m1 speaks for a1"
    assert world.report(facts("gone"), machine="m2", session="e1").taken == 0
    assert leave(world).agents == 1
    assert world.report(facts(pid=70), machine="m2", session="e1").taken == 1
    assert a1(world).machine == "m2"
    del world.machines["m2"]
    world.host("m1", "d2")
    assert world.report(facts(), session="d2").taken == 1  # nobody knows m2


def test_an_inactive_agent_is_not_spoken_for(world: World) -> None:
    world.operate(agents.set_agent, SetParams(name="a1", active=False))
    assert world.host("m1", "d1", facts()).refused


def test_only_the_present_session_speaks(world: World) -> None:
    with pytest.raises(RejoinRequiredError, match="there is no machine"):
        world.machine_beat()
    world.host("m1", "d1")
    for deed in (world.machine_beat, world.report):
        with pytest.raises(RejoinRequiredError, match="another session"):
            deed(session="d0")
        with pytest.raises(RejoinRequiredError, match="there is no machine"):
            deed(machine="M1")
    with pytest.raises(StaleSessionError):
        leave(world, session="d0")
    with pytest.raises(NotFoundError, match="do you mean m1"):
        world.host("M1")
    with pytest.raises(NotFoundError):
        leave(world, "m9")
    for _ in range(2):
        assert leave(world).agents == 0
    assert world.events("left") == ["left"]
    with pytest.raises(RejoinRequiredError, match="has left"):
        world.machine_beat()


def test_silence_of_a_machine_that_is_not_due_is_none(world: World) -> None:
    world.host("m1", "d1")
    for number in (world.machines["m1"].id, 999):
        assert not daemons.silent(world, number, world.now, world.timers).machines


def test_a_machine_is_shown_with_its_agents(world: World) -> None:
    world.host("m1", "d1", facts())
    told = daemons.shown(world, "M1", [a1(world)])
    assert (told.machine.name, told.machine.connected, told.agents[0].process) == ("m1", True, "running")
    assert [row.name for row in daemons.listed(list(world.machines.values())).items] == ["m1"]
    with pytest.raises(NotFoundError):
        daemons.shown(world, "m9", [])


def test_a_word_that_a_process_ended_is_about_its_own_session(world: World) -> None:
    world.host("m1", "d1", facts())
    world.report(facts("failed", session="b1", why="3 tries failed"))
    assert a1(world).status == "dead_failed_revive"
    world.join("a1", "by-hand")
    assert a1(world).status == "ready"
    told = world.report(facts("failed", session="b1", why="3 tries failed"))
    assert [row.why for row in told.refused] == ["a1 has joined by itself since"]
    assert a1(world).status == "ready"
    world.report(facts("failed", session="by-hand"))
    assert a1(world).status == "dead_failed_revive"


def test_who_left_on_purpose_may_crash_in_a_later_life(world: World) -> None:
    world.host("m1", "d1", facts())
    world.report(facts("stopped", session="b1"))
    refused = world.report(facts("restarting", session="b1")).refused
    assert [row.why for row in refused] == ["a1 left on purpose: it is not revived"]
    assert a1(world).status == "offline"
    world.report(facts("restarting", session="b2", why="killed by SIGKILL; try 1 of 3"))
    assert a1(world).status == "restarting"


def test_a_process_can_do_less_than_its_agent_may_and_never_more() -> None:
    world = World()
    world.agent("a1", "python", "review", beats="required")
    world.host("m1", "d1", facts(capabilities=("review", "cooking")))
    assert a1(world).capabilities == ("review",)
    world.report(facts(capabilities=("review", "cooking")))
    world.report(facts())
    world.report(facts("restarting", session="b1", capabilities=()))
    assert (a1(world).capabilities, world.events("narrowed")) == (("review",), ["narrowed"])


def test_a_report_of_a_machine_that_was_lost_is_a_sign_of_its_life(world: World) -> None:
    world.host("m1", "d1", facts())
    world.forward(seconds=125)
    lost = world.machines["m1"]
    world.report(facts(pid=8, session="b2"))
    assert (lost.connected, world.machines["m1"].connected) == (False, True)
    assert a1(world).silent_at == world.machines["m1"].silent_at
    world.forward(minutes=5)
    assert a1(world).status == "dead"


@pytest.mark.parametrize("state", ["stopped", "failed", "gone", "restarting"])
@pytest.mark.parametrize("session", [None, "b9"])
def test_a_machine_that_never_ran_it_ends_no_agent_that_is_there(
    world: World, state: Any, session: str | None
) -> None:
    world.join("a1", "own")
    world.host("m2", "d2", facts(state, session=session))
    world.beat("a1", "own")
    assert (a1(world).status, a1(world).process) == ("ready", None)


@pytest.mark.parametrize("session", [None, "b9"])
def test_while_its_own_daemon_is_away_another_machine_ends_no_agent_that_beats(
    world: World, session: str | None
) -> None:
    world.host("m1", "d1", facts())
    world.join("a1", "b1")
    leave(world)
    world.host("m2", "d2", facts("failed", session=session))
    world.beat("a1", "b1")
    assert (a1(world).status, a1(world).machine) == ("ready", "m1")


@pytest.mark.parametrize("minutes", [2.5, 5])
def test_a_daemon_that_is_back_is_the_presence_of_its_agents_at_once(world: World, minutes: float) -> None:
    world.host("m1", "d1", facts())
    world.forward(minutes=minutes)
    assert a1(world).status == ("suspect" if minutes < 3 else "dead")
    world.machine_beat(facts())
    assert a1(world).status == "ready"


def test_a_strange_machine_does_not_speak_for_who_is_there_by_itself(world: World) -> None:
    """A word in a session that the agent never had would be a new life, and the next word its death."""
    world.host("m1", "d1")
    world.join("a1", "own")
    world.beat("a1", "own")
    for said in (facts(pid=8), facts("gone"), facts("failed"), facts("stopped")):
        (refused,) = world.report(said).refused
        assert refused.why == "a1 is there by itself"
    assert (a1(world).status, a1(world).machine) == ("ready", None)
    assert world.report(facts(session="own")).taken == 1  # whoever started it knows its session
    assert a1(world).machine == "m1"


def keep(world: World, keeper: str | None) -> None:
    params = SetParams(name="a1", kept_by=keeper)
    world.decide(agents.set_agent, world.now, params, actor="operator:ann", timers=world.timers)


@pytest.mark.parametrize("keeper", ["m2", ""])
def test_an_agent_that_an_operator_gave_to_a_machine_hears_no_other(world: World, keeper: str) -> None:
    keep(world, keeper)
    world.host("m1", "d1")
    for state in ("running", "gone", "failed"):
        (refused,) = world.report(facts(state)).refused
        assert refused.why == f"a1 is kept by {keeper or 'no machine'}"
    if keeper:
        assert world.host("M2", "e1", facts()).refused == ()
    keep(world, None)
    assert a1(world).kept_by is None
