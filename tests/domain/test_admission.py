"""The one admission point: whoever is flagged gets no lease by any path, and while frozen nobody does."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contracts.errors import ConflictError, FrozenError, NotFoundError
from contracts.messages import Ack, Complete, Decline
from contracts.operations.answers import HandoffParams
from contracts.records import Frozen, PolicyStep
from domain import admission
from domain.admission import barred, unable
from domain.draft import Draft
from domain.leases import open_lease
from domain.projection import project
from tests.domain.world import World

FLAGS: dict[str, dict[str, Any]] = {
    "retired": {"retired_at": 1, "active": False},
    "not active": {"active": False},
    "quarantined": {"quarantined": True},
    "draining": {"draining": True},
    "paused": {"paused": True},
    "revoked": {"revoked_at": 1},
}
FROZEN = Frozen(since=0, by="ann", reason="a release")
Deed = Callable[[], object]


def flag(world: World, name: str, word: str) -> None:
    put(world, name, **FLAGS[word])


def put(world: World, name: str, **fields: Any) -> None:
    agent = structs.replace(world.agents[name], **fields)
    status, why = project(agent)
    world.agents[name] = structs.replace(agent, status=status, status_why=why)


def nothing() -> None:
    """Let time do it."""


def a_lease(world: World, *steps: PolicyStep, **fields: Any) -> int:
    """Give a task to `a1`, the only agent so far; what is to go to `target` goes there next."""
    world.agent("a1")
    world.policy("default", *steps)
    return world.task(**fields)


def offered(world: World) -> int:
    """Let `target` hand a task off to `a1`, so that it would come back."""
    world.agent("target")
    world.policy("default")
    task = world.task()
    world.agent("a1", capacity=1)
    world.hand_off("target", HandoffParams(assignment=world.holder(task).id, to="a1"))
    return task


def assigned_by_itself(world: World) -> Deed:
    world.agent("target", "code", capacity=0)
    world.task(capabilities=("code",))
    put(world, "target", capacity=1)
    return nothing


def assigned_by_hand(world: World) -> Deed:
    task = a_lease(world)
    world.agent("target")
    return lambda: world.assign(task, "target")


def reassigned_to_whom_rollcall_chooses(world: World) -> Deed:
    task = a_lease(world)
    world.agent("target")
    return lambda: world.assign(task)


def handed_off_by_name(world: World) -> Deed:
    task = a_lease(world)
    world.agent("target")
    return lambda: world.hand_off("a1", HandoffParams(assignment=world.holder(task).id, to="target"))


def handed_off_to_a_capability(world: World) -> Deed:
    task = a_lease(world)
    world.agent("target", "code")
    return lambda: world.hand_off("a1", HandoffParams(assignment=world.holder(task).id, capability="code"))


def handed_off_to_whom_rollcall_chooses(world: World) -> Deed:
    task = a_lease(world)
    world.agent("target")
    return lambda: world.hand_off("a1", HandoffParams(assignment=world.holder(task).id))


def given_back_by_a_decline(world: World) -> Deed:
    offered(world)
    return lambda: world.say("a1", Decline())


def given_back_by_silence(world: World) -> Deed:
    offered(world)
    return nothing


def escalated_to_itself(world: World) -> Deed:
    world.agent("target")
    world.policy("default", PolicyStep(kind="retry"))
    world.task()
    return nothing


def escalated_to_a_peer(world: World) -> Deed:
    a_lease(world, PolicyStep(kind="peer"))
    world.agent("target")
    return nothing


def escalated_to_main(world: World) -> Deed:
    a_lease(world, PolicyStep(kind="main"))
    world.agent("target", kind="main_agent")
    return nothing


def escalated_by_a_step_that_was_skipped(world: World) -> Deed:
    a_lease(world, PolicyStep(kind="main"))
    world.forward(hours=2)
    world.agent("target", kind="main_agent")
    return nothing


PATHS: tuple[Callable[[World], Deed], ...] = (
    assigned_by_itself,
    assigned_by_hand,
    reassigned_to_whom_rollcall_chooses,
    handed_off_by_name,
    handed_off_to_a_capability,
    handed_off_to_whom_rollcall_chooses,
    given_back_by_a_decline,
    given_back_by_silence,
    escalated_to_itself,
    escalated_to_a_peer,
    escalated_to_main,
    escalated_by_a_step_that_was_skipped,
)
"""Every path by which `target` gets a new lease."""


def leases(world: World) -> int:
    return sum(row.agent == "target" for row in world.assignments.values())


def go(world: World, deed: Deed) -> bool:
    """Take a path, and tell whether it was refused."""
    try:
        deed()
    except (ConflictError, NotFoundError):
        return True
    world.forward(hours=3)
    return False


@pytest.mark.parametrize("path", PATHS)
def test_each_path_opens_a_lease(path: Callable[[World], Deed]) -> None:
    world = World(main=False)
    deed = path(world)
    before = leases(world)
    assert not go(world, deed)
    assert leases(world) > before


@pytest.mark.parametrize("word", FLAGS)
@pytest.mark.parametrize("path", PATHS)
def test_whoever_is_flagged_gets_nothing_new_by_any_path(path: Callable[[World], Deed], word: str) -> None:
    world = World(main=False)
    deed = path(world)
    flag(world, "target", word)
    before = leases(world)
    go(world, deed)
    assert leases(world) == before


@pytest.mark.parametrize("path", [path for path in PATHS if path is not assigned_by_hand])
def test_whoever_cannot_be_reached_gets_nothing_new_but_by_hand(path: Callable[[World], Deed]) -> None:
    world = World(main=False)
    deed = path(world)
    put(world, "target", unreachable_since=world.now)
    before = leases(world)
    go(world, deed)
    assert leases(world) == before


@pytest.mark.parametrize("path", PATHS)
def test_while_frozen_nobody_gets_anything_new_by_any_path(path: Callable[[World], Deed]) -> None:
    world = World(main=False)
    deed = path(world)
    world.frozen = FROZEN
    before = len(world.assignments)
    go(world, deed)
    assert len(world.assignments) == before


def test_these_are_all_the_paths() -> None:
    """Who opens a lease, by the source: a new one has to be added to the paths above."""
    opening: set[str] = set()
    making: set[str] = set()
    for file in sorted(Path(admission.__file__).parent.glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                calls = called(function)
                opening |= {f"{file.stem}.{function.name}"} if "open_lease" in calls else set()
                making |= {f"{file.stem}.{function.name}"} if "Assignment" in calls else set()
    assert opening == {
        "assigning.assign",
        "assigning.assign_due",
        "assigning.handoff",
        "escalation._move",
        "leases.return_to_giver",
    }
    assert making == {"leases._lease"}


def called(function: ast.FunctionDef) -> set[str]:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {name.id for name in calls if isinstance(name, ast.Name)}


@pytest.mark.parametrize("word", FLAGS)
def test_no_lease_is_opened_whoever_asks(word: str) -> None:
    world = World()
    world.agent("a1", capacity=0)
    task = world.tasks[world.task()]
    flag(world, "a1", word)
    agent = world.agents["a1"]
    assert (barred(agent), unable(agent)) == (word, word)
    draft = Draft(world, world.now, actor="rollcall:test", timers=world.timers)
    with pytest.raises(ConflictError, match=f"a1 is {word}"):
        open_lease(draft, task, agent, "because")
    world.frozen = FROZEN
    with pytest.raises(FrozenError, match="frozen by ann: a release") as refused:
        open_lease(draft, task, world.agents["ruto"], "because")
    assert refused.value.problem().status == 409


# --- while frozen ---


def test_a_frozen_task_stays_in_todo_says_why_and_raises_its_alarm() -> None:
    world = World()
    world.frozen = FROZEN
    task = world.task()
    assert world.tasks[task].status_why == "frozen by ann: a release"
    world.forward(hours=1)
    assert world.remarks("Unassigned") == ["Unassigned for 30 min: frozen by ann: a release"]
    world.frozen = None
    world.forward(seconds=30)
    assert world.holder(task).agent == "Ruto"


def test_answers_are_taken_and_a_declined_handoff_waits_in_todo() -> None:
    world = World()
    task = offered(world)
    world.frozen = FROZEN
    world.say("a1", Decline())
    world.forward(minutes=5)
    assert (world.tasks[task].status, world.tasks[task].status_why) == ("todo", "frozen by ann: a release")
    other = world.task()
    assert world.tasks[other].status == "todo"


def test_escalation_stands_still_while_frozen_and_goes_on_afterwards() -> None:
    world = World()
    world.agent("a1")
    slow, quick = world.task(to="a1"), world.task(to="a1")
    world.say("a1", Ack(), lease=world.holder(quick).id)
    world.frozen = FROZEN
    world.forward(hours=2)
    assert [world.holder(task).agent for task in (slow, quick)] == ["a1", "a1"]
    assert not world.steps
    assert len(world.pinged("a1")) > 4  # it is still asked
    world.say("a1", Complete(), lease=world.holder(quick).id)
    world.frozen = None
    world.forward(seconds=30)
    assert (world.holder(slow).agent, world.holder(slow).level) == ("Ruto", 1)


def test_repeats_go_on_while_frozen_and_move_nothing() -> None:
    world = World(main=False)
    task = a_lease(world, PolicyStep(kind="main"))
    world.forward(hours=1)
    assert world.holder(task).exhausted
    world.agent("target", kind="main_agent")
    world.frozen = FROZEN
    before = len(world.pinged("a1"))
    world.forward(hours=5)
    assert (world.holder(task).agent, len(world.pinged("a1")) > before) == ("a1", True)
    world.frozen = None
    world.forward(hours=2)
    assert world.holder(task).agent == "target"
