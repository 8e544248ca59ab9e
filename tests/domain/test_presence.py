"""Agents: registered, joining, beating, falling silent; the status is a projection of the facts."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contracts.codec import instant
from contracts.errors import (
    ExistsError,
    InvalidError,
    NotFoundError,
    RejoinRequiredError,
    StaleSessionError,
)
from contracts.limits import POLICY_STEPS_MAX
from contracts.messages import Ack, AgentSpec, Beat, Complete, Snooze, Wait
from contracts.operations import policies as policy_operations
from contracts.operations.agents import AddParams, SetParams
from contracts.operations.answers import JoinParams, LeaveParams
from contracts.records import Agent, AgentStatus, NoticeRow, PolicyStep, ProcessState
from domain import agents, policies, presence, silence
from domain.presence import project
from domain.projection import GONE, alive, status4, status6
from domain.timers import MINUTE_US, SECOND_US
from tests.domain.soundness import SILENT
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    return World()


def test_defaults_follow_the_kind(world: World) -> None:
    main, sub = world.agents["ruto"], world.agent("a1", "b", "a", "b")
    assert (main.capacity, main.timeout_us, main.status, main.status_why) == (
        10,
        60 * MINUTE_US,
        "ready",
        "no beats",
    )
    assert (sub.capacity, sub.timeout_us, sub.capabilities) == (1, 30 * MINUTE_US, ("b", "a"))
    own = AgentSpec(name="a2", capacity=4, timeout_minutes=7)
    world.operate(agents.add, own)
    found = world.agents["a2"]
    assert (found.capacity, found.timeout_us) == (4, 7 * MINUTE_US)
    assert (found.status, found.status_why) == ("offline", "never joined")


def test_names_are_taken_whatever_the_case(world: World) -> None:
    with pytest.raises(ExistsError) as refused:
        world.operate(agents.add, AddParams(name="RUTO"))
    assert refused.value.state == {"agent": "Ruto"}


def test_changes_show_in_the_status(world: World) -> None:
    world.agent("a1")
    world.task()
    assert world.agents["a1"].status == "busy"
    world.operate(agents.set_agent, SetParams(name="A1", active=False))
    assert (world.agents["a1"].status, world.agents["a1"].status_why) == ("offline", "not active")
    world.operate(
        agents.set_agent,
        SetParams(name="a1", active=True, capacity=3, capabilities=("x",), timeout_minutes=9),
    )
    found = world.agents["a1"]
    assert (found.status, found.capacity, found.capabilities, found.timeout_us) == (
        "busy",
        3,
        ("x",),
        9 * MINUTE_US,
    )
    assert world.facts[-1].data["fields"] == ["active", "capabilities", "capacity", "timeout_us"]
    with pytest.raises(NotFoundError):
        world.operate(agents.set_agent, SetParams(name="nobody", capacity=3))


def test_whoever_no_longer_beats_is_not_missed(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.operate(agents.set_agent, SetParams(name="a1", beats="none"))
    assert (world.agents["a1"].silent_at, world.agents["a1"].status) == (None, "ready")


def test_agents_are_shown_with_what_they_hold(world: World) -> None:
    world.agent("a1", capacity=2)
    first, second = world.task(), world.task()
    world.say("a1", Complete(), lease=world.tasks[first].assignment_id)
    found = agents.shown(world, "A1")
    assert (found.agent.name, [row.task_id for row in found.assignments]) == ("a1", [second])
    assert [item.name for item in agents.listed(list(world.agents.values())).items] == ["Ruto", "a1"]
    with pytest.raises(NotFoundError):
        agents.shown(world, "nobody")


# --- the projection ---

FACTS = {
    "beats": st.sampled_from(["required", "none"]),
    "active": st.booleans(),
    "joined_at": st.sampled_from([None, 1]),
    "left_at": st.sampled_from([None, 2]),
    "suspect_at": st.sampled_from([None, 3]),
    "dead_at": st.sampled_from([None, 4]),
    "retired_at": st.sampled_from([None, 5]),
    "machine": st.sampled_from([None, "m1"]),
    "process": st.sampled_from([None, *get_args(ProcessState)]),
    "capacity": st.integers(0, 2),
}


@given(st.fixed_dictionaries(FACTS), st.integers(0, 3), st.data())
def test_the_first_status_that_fits(facts: dict[str, object], leases: int, data: st.DataObject) -> None:
    accepted = data.draw(st.integers(0, leases))
    waiting = data.draw(st.integers(0, leases - accepted))
    plain = Agent(id=1, name="a1", timeout_us=1, created_at=0, status_since=0)
    stalled = data.draw(st.integers(0, accepted))
    counts = {"leases": leases, "accepted": accepted, "waiting": waiting, "stalled": stalled}
    agent = structs.replace(plain, **facts, **counts)
    joined = agent.joined_at is not None and agent.left_at is None
    here = agent.process not in ("stopped", "gone") if agent.beats == "none" else joined
    order = {
        "dead_failed_revive": agent.active and agent.process == "failed",
        "dead": agent.active and agent.dead_at is not None,
        "restarting": agent.active and agent.process == "restarting",
        "offline": not agent.active or not here,
        "suspect": agent.suspect_at is not None and agent.beats == "required",
        "stalled": stalled > 0,
        "waiting": 0 < leases == waiting,
        "working": accepted > 0,
        "busy": leases > 0 or leases >= agent.capacity,
        "ready": True,
    }
    status, why = project(agent)
    assert tuple(order) == get_args(AgentStatus)
    assert status == next(name for name, fits in order.items() if fits)
    assert why
    found = structs.replace(agent, status=status)
    assert status4(found) in {"idle", "busy", "working", "offline"}
    assert status6(found) in {"offline", "ready", "working", "restarting", "dead", "dead_failed_revive"}
    assert (status4(found) == "offline") == (status in GONE and status != "suspect")


def test_the_status_follows_the_leases(world: World) -> None:
    world.agent("a1", capacity=2)
    seen = []
    task = world.task()
    for step in (
        lambda: None,
        lambda: world.say("a1", Ack()),
        lambda: world.say("a1", Wait(on="human")),
        lambda: world.task("another", to="a1"),
        lambda: world.say("a1", Complete(), lease=world.tasks[task].assignment_id),
        lambda: world.say("a1", Snooze()),
        lambda: world.say("a1", Complete()),
    ):
        step()
        seen.append(world.agents["a1"].status)
    assert seen == ["busy", "working", "waiting", "busy", "busy", "busy", "ready"]
    changes = [fact.data["status"] for fact in world.facts if fact.event == "status_changed"]
    assert changes == ["busy", "working", "waiting", "busy", "ready"]


def test_who_is_alive() -> None:
    agent = Agent(id=1, name="a1", timeout_us=1, created_at=0, status_since=0, status="offline")
    assert alive(agent) == "not present: offline"
    assert alive(structs.replace(agent, beats="none", status="ready")) is None
    assert alive(structs.replace(agent, status="working")) is None
    assert alive(structs.replace(agent, status="ready", quarantined=True)) == "quarantined"
    assert alive(structs.replace(agent, beats="none", active=False)) == "not active"


# --- joining and beating ---


def test_joining_returns_what_is_still_held(world: World) -> None:
    world.agent("a1", "code", beats="required")
    world.join("a1")
    task = world.task("ship it", capabilities=("code",))
    notice = NoticeRow(agent="a1", assignment_id=4, kind="due", text="late", at=START)
    back = world.decide(
        presence.join,
        world.now,
        "a1",
        JoinParams(session="s2", interval_s=5),
        notices=[notice],
        timers=world.timers,
    )
    assert (back.agent, back.session, back.incarnation) == ("a1", "s2", "inc1")
    (lease,) = back.leases
    assert (lease.task, lease.title, lease.epoch, lease.status) == (task, "ship it", 1, "pending")
    assert lease.accept_by == instant(START + 30 * MINUTE_US)
    assert lease.ping.attempt == 1
    assert [n.text for n in back.notices] == ["late"]
    assert world.agents["a1"].silent_at == START + 15 * SECOND_US
    assert presence.sync(world, "a1", world.now).leases == back.leases


def test_what_is_paused_is_not_owed(world: World) -> None:
    world.agent("a1")
    world.task()
    world.say("a1", Ack())
    (lease,) = presence.sync(world, "a1", world.now).leases
    assert (lease.ping, lease.accept_by, lease.progress_by) == (None, None, instant(START + 30 * MINUTE_US))
    world.say("a1", Snooze(minutes=5))
    (lease,) = presence.sync(world, "a1", world.now).leases
    assert (lease.ping, lease.snooze_until) == (None, instant(START + 5 * MINUTE_US))


def test_capabilities_get_fewer_and_never_more(world: World) -> None:
    world.agent("a1", "a", "b", beats="required")
    world.join("a1", capabilities=("b", "c"))
    assert world.agents["a1"].capabilities == ("b",)
    world.join("a1", capabilities=("a", "b"))
    assert world.agents["a1"].capabilities == ("b",)
    world.join("a1")
    assert world.agents["a1"].capabilities == ("b",)


def test_joining_again_is_no_news(world: World) -> None:
    world.agent("a1", beats="required")
    for session in ("s1", "s1", "s2"):
        world.join("a1", session)
    assert world.events("joined") == ["joined", "joined"]
    with pytest.raises(NotFoundError):
        world.join("nobody")
    world.operate(agents.set_agent, SetParams(name="a1", active=False))
    with pytest.raises(NotFoundError):
        world.join("a1")


def test_three_missed_beats_make_suspect_and_one_beat_clears(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    task = world.task()
    world.say("a1", Ack())
    world.forward(seconds=60)
    world.beat("a1")
    world.forward(seconds=89)
    assert world.agents["a1"].status == "working"
    world.forward(seconds=1)
    found = world.agents["a1"]
    assert (found.status, found.status_why, found.silent_at) == (
        "suspect",
        "missed its beats",
        world.now + MINUTE_US,
    )
    assert world.holder(task).agent == "a1"  # it keeps its work and gets nothing new
    assert world.tasks[world.task("another")].agent == "Ruto"
    world.beat("a1")
    assert (world.agents["a1"].status, world.agents["a1"].suspect_at) == ("working", None)
    changes = [
        fact.data["status"] for fact in world.facts if (fact.event, fact.id) == ("status_changed", "a1")
    ]
    assert changes[-2:] == ["suspect", "working"]


def test_a_beat_that_came_late_moves_nothing_back(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.forward(seconds=20)
    world.decide(presence.beat, world.now, "a1", Beat(interval_s=0), at=START - 5, timers=world.timers)
    assert (world.agents["a1"].beat_at, world.agents["a1"].beat_interval_us) == (START, SECOND_US)
    world.decide(presence.beat, world.now, "a1", Beat(), at=world.now + 5, timers=world.timers)
    assert world.agents["a1"].beat_at == world.now


def test_who_never_beats_is_never_silent(world: World) -> None:
    world.agent("a1")
    world.join("a1")
    world.beat("a1")
    assert world.agents["a1"].silent_at is None


def test_a_wrong_beat_is_answered(world: World) -> None:
    world.agent("a1", beats="required")
    for _ in range(2):
        with pytest.raises(RejoinRequiredError):
            world.beat("a1", "s1")
        world.join("a1", "s2")
    world.beat("a1", "s2")
    with pytest.raises(RejoinRequiredError):
        world.beat("nobody")
    world.decide(presence.leave, world.now, "a1", LeaveParams(session="s2"), timers=world.timers)
    with pytest.raises(RejoinRequiredError):
        world.beat("a1", "s2")
    world.operate(agents.set_agent, SetParams(name="a1", active=False))
    with pytest.raises(RejoinRequiredError):
        world.beat("a1", "s2")


def test_leaving_keeps_the_leases(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    world.task()
    with pytest.raises(StaleSessionError):
        world.decide(presence.leave, world.now, "a1", LeaveParams(session="s0"), timers=world.timers)
    for _ in range(2):
        left = world.decide(presence.leave, world.now, "a1", LeaveParams(), timers=world.timers)
        assert left.leases == 1
    assert world.events("left") == ["left"]
    found = world.agents["a1"]
    assert (found.status, found.status_why, found.silent_at) == ("offline", "left", None)
    world.join("a1")  # the same session is back
    assert world.agents["a1"].status == "busy"
    assert world.events("joined") == ["joined", "joined"]


def test_silence_that_is_not_due_is_no_silence(world: World) -> None:
    world.agent("a1", beats="required")
    world.join("a1")
    for number in (world.agents["a1"].id, 999, world.agents["ruto"].id):
        assert not silence.judge(world, number, world.now, silent=SILENT, timers=world.timers).agents


def test_next_is_the_most_urgent_that_owes_an_answer(world: World) -> None:
    world.agent("a1", capacity=4)
    assert presence.next_owed(world, "a1", world.now).status == "none"
    later, urgent = world.task("later"), world.task("urgent", priority="P0")
    accepted = world.task("accepted", priority="P0")
    world.say("a1", Ack(attempt=1), lease=world.tasks[accepted].assignment_id)
    found = presence.next_owed(world, "a1", world.now)
    assert (found.status, found.lease and found.lease.task) == ("due", urgent)
    world.say("a1", Ack(), lease=world.tasks[urgent].assignment_id)
    found = presence.next_owed(world, "a1", world.now)
    assert found.lease
    assert found.lease.task == later
    with pytest.raises(NotFoundError):
        presence.next_owed(world, "nobody", world.now)


# --- policies ---


def write(world: World, *steps: PolicyStep) -> None:
    params = policy_operations.SetParams(name="mine", steps=steps)
    world.decide(policies.set_policy, world.now, params, actor="operator:ann")


def test_a_policy_is_written_and_shown(world: World) -> None:
    write(world, PolicyStep(kind="peer", capability="code"), PolicyStep(kind="notify", who="the-boss"))
    shown = policies.shown(world, "mine")
    assert [(step.kind, step.capability, step.who) for step in shown.steps] == [
        ("peer", "code", None),
        ("notify", None, "the-boss"),
    ]
    write(world, PolicyStep(kind="main"))
    (listed,) = policies.listed(list(world.policies.values())).items
    assert [step.kind for step in listed.steps] == ["main"]
    assert world.policies["mine"].version == 2
    with pytest.raises(NotFoundError):
        policies.shown(world, "nobody's")


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([PolicyStep(kind="main", capability="x")], "steps[0].capability"),
        ([PolicyStep(kind="main"), PolicyStep(kind="peer", who="x")], "steps[1].who"),
        ([PolicyStep(kind="main")] * (POLICY_STEPS_MAX + 1), "steps"),
    ],
)
def test_a_step_says_only_what_its_kind_understands(
    world: World, steps: list[PolicyStep], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        write(world, *steps)
    assert list(refused.value.fields) == [field]
    assert not world.policies
