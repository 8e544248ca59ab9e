"""Who gets a task, who does not and why, and how it is handed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contracts.errors import (
    ConflictError,
    IncarnationError,
    InvalidError,
    NobodyEligibleError,
    NotAllowedNowError,
    NotFoundError,
    StaleSessionError,
    SupersededError,
)
from contracts.messages import Ack, Complete, Decline
from contracts.operations.agents import SetParams
from contracts.operations.answers import HandoffParams
from contracts.records import Agent, Task
from domain import agents, assigning
from domain.assigning import choose, eligible, score
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    return World()


def agent(name: str = "a1", **fields: object) -> Agent:
    plain = Agent(id=ord(name[0]), name=name, timeout_us=1, beats="none", created_at=0, status_since=0)
    return structs.replace(plain, **{"status": "ready", **fields})


def a_task(**fields: object) -> Task:
    return structs.replace(
        Task(id=1, title="t", ping_interval_us=1, created_at=0, updated_at=0, capabilities=("code",)),
        **fields,
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"active": False}, "not active"),
        ({"quarantined": True}, "quarantined"),
        ({"beats": "required", "status": "offline"}, "not present: offline"),
        ({"beats": "required", "status": "suspect"}, "not present: suspect"),
        ({"beats": "required", "status": "working", "capacity": 2}, None),
        ({"capabilities": ("write",)}, "not capable: code"),
        ({"leases": 1}, "at capacity"),
        ({"capacity": 0}, "at capacity"),
        ({"name": "Ex"}, "had it before in this round"),
    ],
)
def test_eligible(fields: dict[str, object], reason: str | None) -> None:
    found = agent(**{"capabilities": ("code",), **fields})  # type: ignore[arg-type]
    assert eligible(found, a_task(), frozenset({"ex"})) == reason


def test_the_order_is_load_then_success_then_speed() -> None:
    idle, busy = agent(capacity=4), agent(capacity=4, leases=1)
    assert score(idle) < score(busy)
    assert score(agent(successes=3)) < score(idle) < score(agent(failures=1))
    assert score(agent(successes=9, failures=9)) == score(idle)
    assert score(agent(progress_latency_us=5)) < score(agent(progress_latency_us=6))


@given(st.floats(0, 1, exclude_max=True))
def test_equals_are_drawn_by_lot(lot: float) -> None:
    able = [structs.replace(agent(name), id=number) for number, name in enumerate("abc")]
    chosen = choose(a_task(capabilities=()), able, frozenset(), lambda: lot).agent
    assert chosen == able[int(lot * 3)]


def test_no_lot_is_drawn_where_there_is_no_choice() -> None:
    def lot() -> float:
        raise AssertionError

    found = choose(a_task(capabilities=()), [agent("a"), agent("b", failures=1)], frozenset(), lot)
    assert found.agent is not None
    assert found.agent.name == "a"
    nobody = choose(a_task(), [], frozenset(), lot)
    assert (nobody.agent, nobody.summary()) == (None, "nobody is free")


def test_main_takes_what_nobody_can_as_long_as_it_has_room(world: World) -> None:
    world.agent("a1")
    found = [world.task(f"t{number}") for number in range(13)]
    holders = [world.tasks[task].agent for task in found]
    assert holders == ["a1", *["Ruto"] * 10, None, None]
    last = world.tasks[found[-1]]
    assert (last.status, last.assign_at) == ("todo", START + 30_000_000)
    assert last.status_why == "nobody eligible: 1 at capacity"  # a full sub-agent is not even asked for


def test_main_takes_it_absent_but_not_quarantined_or_excluded(world: World) -> None:
    settings = SetParams(name="Ruto", beats="required")
    world.operate(agents.set_agent, settings)
    assert world.agents["ruto"].status == "offline"
    assert world.tasks[world.task()].agent == "Ruto"
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    assert world.tasks[world.task()].agent is None


def test_an_inactive_main_gets_nothing(world: World) -> None:
    main = agent("Ruto", kind="main_agent", active=False)
    found = choose(a_task(), [main], frozenset(), world.draw)
    assert (found.agent, found.reasons) == (None, {"Ruto": "not active"})


def test_a_task_that_nobody_takes_is_tried_again_and_alarmed_once() -> None:
    world = World(main=False)
    task = world.task(capabilities=("code",))
    world.agent("a1")
    world.forward(minutes=29.9)
    assert not world.tasks[task].alarmed
    world.forward(hours=5)
    assert world.tasks[task].alarmed
    assert world.tasks[task].status_why == "nobody eligible: 1 not capable"
    assert world.events("unassigned_too_long") == ["unassigned_too_long"]
    assert world.remarks("Unassigned") == ["Unassigned for 30 min: nobody eligible: 1 not capable"]
    world.agent("a2", "code")
    world.forward(seconds=30)
    assert (world.tasks[task].agent, world.tasks[task].alarmed) == ("a2", False)


def test_the_age_counts_from_the_first_look() -> None:
    world = World(main=False)
    task = world.task()
    world.tasks[task] = structs.replace(world.tasks[task], unassigned_since=None, assign_at=world.now)
    world.tick()
    assert world.tasks[task].unassigned_since == world.now


def test_what_is_not_due_or_not_wanted_is_left_alone(world: World) -> None:
    task = world.task()
    changes = assigning.assign_due(world, task, world.now, world.timers)
    assert not changes.tasks
    strange = structs.replace(world.tasks[task], assign_at=world.now)
    world.tasks[task] = strange
    world.write(assigning.assign_due(world, task, world.now, world.timers))
    assert world.tasks[task].assign_at is None
    assert len(world.assignments) == 1


# --- by an operator ---


def test_an_operator_goes_before_presence_capability_and_room(world: World) -> None:
    world.agent("away", beats="required", capacity=0)
    task = world.task(capabilities=("code",))
    world.assign(task, "AWAY")
    row = world.holder(task)
    assert (row.agent, row.round, row.epoch, world.agents["away"].leases) == ("away", 2, 2, 1)
    (old,) = (row for row in world.assignments.values() if row.agent == "Ruto")
    assert (old.end_reason, row.previous_id) == ("superseded", old.id)


@pytest.mark.parametrize("to", ["a1", None])
def test_a_first_assignment_begins_no_new_round(world: World, to: str | None) -> None:
    world.agent("a1")
    task = world.task()
    world.say("a1", Decline())
    world.agent("a2")
    world.assign(task, to)
    row = world.holder(task)
    # by name it begins a new round in which a1 may have it; without a name the round and its exclusions stay
    assert (row.agent, row.round) == (("a1", 2) if to else ("a2", 1))


def test_choosing_anew_leaves_the_present_holder_out(world: World) -> None:
    world.agent("a1")
    task = world.task()
    world.assign(task)
    assert (world.holder(task).agent, world.tasks[task].round) == ("Ruto", 2)
    world.assign(task)
    assert (world.holder(task).agent, world.tasks[task].round) == ("a1", 3)


def test_reassigning_to_the_holder_makes_a_new_promise(world: World) -> None:
    world.agent("a1")
    task = world.task()
    old = world.lease("a1")
    new = world.assign(task, "a1")
    assert world.assignments[old.id].end_reason == "superseded"
    assert (world.lease("a1").id, world.agents["a1"].leases) == (new, 1)


def test_reassigning_ends_the_escalation_and_the_flag(world: World) -> None:
    task = world.task()
    world.forward(hours=10)
    assert world.holder(task).exhausted
    world.agent("a1")
    world.assign(task, "a1")
    assert (world.holder(task).exhausted, world.holder(task).escalation_id) == (False, None)
    assert [escalation.end_reason for escalation in world.escalations.values()] == ["reassigned"]


def test_what_an_operator_may_not(world: World) -> None:
    world.agent("a1")
    world.agent("old")
    world.operate(agents.set_agent, SetParams(name="old", active=False))
    task = world.task(to="Ruto")
    world.operate(agents.set_agent, SetParams(name="a1", quarantined=True))
    blocked = world.task("then", depends_on=(str(task),))
    for number, name, error in (
        (task, "nobody", NotFoundError),
        (task, "old", NotFoundError),
        (999, "a1", NotFoundError),
        (task, "a1", ConflictError),
        (blocked, "Ruto", ConflictError),
        (task, None, NobodyEligibleError),
    ):
        with pytest.raises(error):
            world.assign(number, name)
    world.say("Ruto", Complete())
    with pytest.raises(ConflictError, match="reopen"):
        world.assign(task, "Ruto")


# --- handoff ---


def handoff(world: World, lease: int, to: str | None, agent: str = "a1", **more: Any) -> int:
    params = HandoffParams(assignment=lease, to=to, reason="yours", **more)
    return world.hand_off(agent, params)


@pytest.fixture
def pair(world: World) -> World:
    world.agent("a1")
    world.task()
    world.say("a1", Ack())
    world.agent("a2")
    return world


def test_a_handoff_is_an_offer(pair: World) -> None:
    old = pair.lease("a1")
    handoff(pair, old.id, "a2")
    row = pair.lease("a2")
    assert (row.status, row.offered_by, row.original_agent, row.previous_id) == (
        "pending",
        "a1",
        "a1",
        old.id,
    )
    assert pair.assignments[old.id].end_reason == "superseded"
    assert [notice.kind for notice in pair.notices] == ["offered"]
    pair.say("a2", Ack())
    pair.forward(minutes=31)
    assert pair.lease("Ruto").original_agent == "a1"  # once accepted it follows the policy


def test_a_declined_offer_goes_back_to_the_giver(pair: World) -> None:
    lease = handoff(pair, pair.lease("a1").id, None)
    pair.say("a2", Decline(), lease=lease)
    assert (pair.lease("a1").status, pair.lease("a1").offered_by) == ("pending", None)
    assert pair.lease("a1").epoch == 3


def test_an_offer_that_nobody_accepts_goes_back_to_the_giver(pair: World) -> None:
    handoff(pair, pair.lease("a1").id, "a2")
    pair.forward(minutes=30)
    assert (pair.lease("a1").level, len(pair.steps)) == (0, 0)
    pair.forward(minutes=30)
    assert pair.lease("Ruto").level == 1


@pytest.mark.parametrize("silent", [True, False])
def test_with_a_giver_that_is_not_able_the_policy_goes_on(pair: World, *, silent: bool) -> None:
    lease = handoff(pair, pair.lease("a1").id, "a2")
    pair.operate(agents.set_agent, SetParams(name="a1", quarantined=True))
    if silent:
        pair.forward(minutes=30)
    else:
        pair.say("a2", Decline(), lease=lease)
        pair.tick()
    assert pair.lease("Ruto").level == int(silent)


@pytest.mark.parametrize("to", ["a2", None])
def test_an_operator_says_whose_work_an_agent_takes(pair: World, to: str | None) -> None:
    pair.operate(agents.set_agent, SetParams(name="a2", assignable_by=("boss",)))
    pair.operate(agents.set_agent, SetParams(name="Ruto", assignable_by=("boss",)))
    with pytest.raises(NobodyEligibleError):
        handoff(pair, pair.lease("a1").id, to)
    pair.operate(agents.set_agent, SetParams(name="a2", assignable_by=("Boss", "A1")))
    handoff(pair, pair.lease("a1").id, to)
    assert pair.lease("a2").offered_by == "a1"


def test_an_operator_assigns_to_whom_no_agent_may(pair: World) -> None:
    pair.operate(agents.set_agent, SetParams(name="a2", assignable_by=("boss",)))
    task = pair.lease("a1").task_id
    pair.write(assigning.assign(pair, pair.now, task, "a2", actor="operator:olga", timers=pair.timers))
    assert pair.lease("a2").status == "pending"


def test_without_a_receiver_nothing_changes(pair: World) -> None:
    lease = pair.lease("a1")
    pair.agent("away", beats="required")
    pair.agent("old")
    pair.operate(agents.set_agent, SetParams(name="old", active=False))
    for named, error in (
        ("away", NobodyEligibleError),
        ("nobody", NotFoundError),
        ("old", NotFoundError),
        ("A1", InvalidError),
    ):
        with pytest.raises(error):
            handoff(pair, lease.id, named)
    assert pair.lease("a1") == lease
    pair.operate(agents.set_agent, SetParams(name="a2", quarantined=True))
    pair.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    for to in (None, "Ruto"):
        with pytest.raises(NobodyEligibleError):
            handoff(pair, lease.id, to)


def test_a_capability_finds_whoever_has_it(pair: World) -> None:
    pair.agent("reviewer", "review")
    handoff(pair, pair.lease("a1").id, None, capability="review")
    assert pair.lease("reviewer").offered_by == "a1"


def test_the_main_agent_too_has_to_have_the_capability(pair: World) -> None:
    lease = pair.lease("a1")
    with pytest.raises(NobodyEligibleError) as refused:
        handoff(pair, lease.id, None, capability="review")
    assert refused.value.state["reasons"] == dict.fromkeys(("Ruto", "a2"), "not capable: review")
    with pytest.raises(InvalidError):
        handoff(pair, lease.id, "a2", capability="review")
    assert pair.lease("a1") == lease
    pair.operate(agents.set_agent, SetParams(name="Ruto", capabilities=("review",)))
    handoff(pair, lease.id, None, capability="review")
    assert pair.lease("Ruto").offered_by == "a1"


def test_an_older_session_or_another_store_hands_nothing_off(pair: World) -> None:
    pair.join("a1", "s2")
    lease = pair.lease("a1")
    with pytest.raises(StaleSessionError):
        handoff(pair, lease.id, "a2", session="s1")
    with pytest.raises(IncarnationError):
        handoff(pair, lease.id, "a2", incarnation="inc0")
    assert pair.lease("a1") == lease
    handoff(pair, lease.id, "a2", session="s2", incarnation="inc1")


def test_an_offer_that_is_handed_on_goes_back_to_who_handed_it_on(pair: World) -> None:
    pair.agent("a3")
    first = handoff(pair, pair.lease("a1").id, "a2")
    second = handoff(pair, first, "a3", agent="a2")
    pair.say("a3", Decline(), lease=second)
    back = pair.lease("a2")
    assert (back.status, back.previous_id) == ("pending", second)
    pair.say("a2", Decline())
    pair.tick()
    assert pair.lease("a1").offered_by is None  # back in todo, and a1 was free


def test_only_the_holder_hands_off_and_only_what_is_open(pair: World) -> None:
    old = pair.lease("a1").id
    with pytest.raises(NotFoundError):
        handoff(pair, old, None, agent="a2")
    handoff(pair, old, "Ruto")
    with pytest.raises(SupersededError):
        handoff(pair, old, "a2")
    pair.say("Ruto", Complete())
    with pytest.raises(ConflictError) as refused:
        handoff(pair, old, "a2")
    assert not isinstance(refused.value, NotAllowedNowError)
