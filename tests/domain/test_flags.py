"""What an operator says about agents and the fleet: flagged, refused or not, on record, and taken back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from contracts.errors import ConflictError, FrozenError, NotFoundError, RejoinRequiredError, StaleSessionError
from contracts.messages import Ack, Complete, Progress
from contracts.operations.agents import SetParams
from contracts.operations.flags import FlagParams, FreezeParams, ResumeParams, ThawParams
from contracts.operations.presence import ReadyParams
from domain import agents, flags, teams
from domain.timers import MINUTE_US
from tests.domain.world import START, World

FLAGS: tuple[flags.Flag, ...] = ("paused", "draining", "quarantined")


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def say(world: World, decision: Callable[..., Any], reason: str | None = "too hot", name: str = "a1") -> Any:
    kind: Any = ResumeParams if decision is flags.resume else FlagParams
    return world.operate(decision, kind(name=name, reason=reason))


def flagged(which: flags.Flag) -> Callable[..., Any]:
    return partial(flags.flag, which=which)


@pytest.mark.parametrize("which", FLAGS)
def test_a_flag_is_on_record_with_who_and_why_and_is_taken_back(world: World, which: flags.Flag) -> None:
    task = world.task(to="a1")
    said = say(world, flagged(which))
    assert (said.name, said.flags, said.leases) == ("a1", (which,), 1)
    agent = world.agents["a1"]
    assert (agent.flag_reason, agent.flagged_by, agent.status) == ("too hot", "ann", "busy")
    fact = world.facts[-1]
    assert (fact.event, fact.actor, fact.data) == (which, "operator:ann", {"reason": "too hot", "leases": 1})
    shown = teams.ready([agent], ReadyParams()).items[0]
    assert (shown.ready, shown.flags, which in shown.why, "too hot" in shown.why) == (
        False,
        (which,),
        True,
        True,
    )
    world.say("a1", Ack())  # its answers are taken
    world.say("a1", Complete())
    assert world.tasks[task].status == "done"
    other = world.task()
    assert world.holder(other).agent == "Ruto"
    world.wakes.clear()
    assert say(world, flags.resume, "cooler").flags == ()
    assert world.wakes >= {"assigner", "pinger"}
    assert (world.facts[-1].event, world.facts[-1].data["reason"]) == ("resumed", "cooler")
    assert world.holder(world.task()).agent == "a1"


def test_flags_stand_beside_each_other_and_go_together(world: World) -> None:
    said = [say(world, flagged(which)).flags for which in FLAGS]
    assert said[-1] == ("quarantined", "draining", "paused")
    assert say(world, flags.resume, None).flags == ()
    assert world.agents["a1"].flag_reason is None


def test_whoever_is_paused_is_sent_no_pings_and_its_clocks_run_on(world: World) -> None:
    first, second = world.task(to="a1"), world.task(to="a1")
    world.say("a1", Ack(), lease=world.holder(first).id)
    say(world, flagged("paused"))
    world.forward(minutes=29)
    assert world.pinged("a1") == [0, 0]
    say(world, flags.resume)
    world.tick()
    assert world.pinged("a1") == [0, 0, 29, 29]
    world.forward(minutes=1)
    assert [world.holder(task).agent for task in (first, second)] == ["Ruto", "Ruto"]  # as ever


def test_whoever_is_drained_finishes_what_it_has_and_is_pinged(world: World) -> None:
    world.task(to="a1")
    say(world, flagged("draining"))
    world.forward(minutes=6)
    assert world.pinged("a1") == [0, 5]


def test_whoever_is_retired_is_gone_for_good(world: World) -> None:
    world.join("a1", "s1")
    said = say(world, flags.retire, "no longer needed")
    agent = world.agents["a1"]
    assert said.flags == ("retired",)
    assert (agent.retired_at, agent.active, agent.session, agent.silent_at) == (START, False, None, None)
    assert (agent.status, agent.status_why) == ("offline", "retired")
    assert (world.facts[-1].event, world.facts[-1].data["reason"]) == ("retired", "no longer needed")
    with pytest.raises(RejoinRequiredError):
        world.beat("a1")
    with pytest.raises(NotFoundError):
        world.join("a1", "s2")
    for again in (flags.retire, flags.resume, flagged("paused")):
        with pytest.raises(ConflictError, match="a1 is retired"):
            say(world, again)
    world.operate(agents.set_agent, SetParams(name="a1", active=True))  # an operator may think better of it
    assert world.agents["a1"].retired_at is None
    world.join("a1", "s3")


def test_an_agent_that_never_joined_can_be_retired(world: World) -> None:
    say(world, flags.retire)
    assert world.agents["a1"].left_at is None


def test_open_work_is_in_the_way_of_retiring_and_is_named(world: World) -> None:
    first, second = world.task(to="a1"), world.task(to="a1")
    world.say("a1", Ack(), lease=world.holder(first).id)
    ended = world.task(to="a1")
    world.say("a1", Complete(), lease=world.holder(ended).id)
    before = world.agents["a1"]
    named = rf"a1 still holds task {first} \(acknowledged\), task {second} \(pending\): "
    with pytest.raises(ConflictError, match=named) as refused:
        say(world, flags.retire)
    assert refused.value.state["tasks"] == [first, second]
    assert refused.value.state["assignments"] == [world.holder(first).id, world.holder(second).id]
    assert world.agents["a1"] == before
    for task in (first, second):
        world.assign(task, "Ruto")
    say(world, flags.retire)


@pytest.mark.parametrize("process", ["running", "restarting"])
def test_a_process_is_in_the_way_of_retiring(world: World, process: Any) -> None:
    world.agents["a1"] = structs.replace(world.agents["a1"], machine="m1", process=process)
    with pytest.raises(ConflictError, match=f"m1 keeps the process of a1, which is {process}"):
        say(world, flags.retire)


def test_the_older_way_to_quarantine_still_does_and_forgets_the_older_reason(world: World) -> None:
    say(world, flagged("paused"))
    world.operate(agents.set_agent, SetParams(name="a1", quarantined=True))
    agent = world.agents["a1"]
    assert (agent.quarantined, agent.flag_reason, agent.flagged_by) == (True, None, "ann")
    assert say(world, flags.resume).flags == ()


def test_nobody_flags_who_is_not_there(world: World) -> None:
    with pytest.raises(NotFoundError):
        say(world, flagged("paused"), name="a2")


# --- the fleet ---


def test_a_freeze_is_on_record_and_a_newer_reason_keeps_its_beginning(world: World) -> None:
    said = world.operate(flags.freeze, FreezeParams(reason="a release"))
    assert (said.frozen, said.by, said.reason) == (True, "ann", "a release")
    world.forward(minutes=5)
    again = world.operate(flags.freeze, FreezeParams(reason="a longer release"))
    assert (again.since, again.reason) == (said.since, "a longer release")
    with pytest.raises(FrozenError):
        world.assign(world.task(), "a1")
    assert world.operate(flags.thaw, ThawParams(reason="out")) == structs.replace(
        said, frozen=False, since=None, by=None, reason=None
    )
    told = [(fact.aggregate, fact.id, fact.event, fact.data.get("reason")) for fact in world.facts]
    assert [row for row in told if row[0] == "system"] == [
        ("system", "fleet", "frozen", "a release"),
        ("system", "fleet", "frozen", "a longer release"),
        ("system", "fleet", "thawed", "out"),
    ]
    assert world.facts[-1].data["frozen_us"] == 5 * MINUTE_US
    facts = len(world.facts)
    assert not world.operate(flags.thaw, ThawParams()).frozen
    assert len(world.facts) == facts  # there was nothing to thaw


def test_while_frozen_whoever_works_goes_on(world: World) -> None:
    world.join("a1", "s1")
    task = world.task(to="a1")
    world.operate(flags.freeze, FreezeParams(reason="a release"))
    world.say("a1", Progress(note="half"))
    with pytest.raises(StaleSessionError):
        world.say("a1", Progress(note="other", session="s0"))
    world.say("a1", Complete())
    assert world.tasks[task].status == "done"
