"""Tasks: made one by one or many at once, changed, cancelled, reopened, shown."""

from datetime import datetime
from itertools import pairwise

import pytest

from contracts.codec import instant
from contracts.errors import (
    AlreadyFinalError,
    ConflictError,
    CycleError,
    ExistsError,
    InvalidError,
    NotFoundError,
)
from contracts.messages import Ack, Complete, Fail, TaskSpec
from contracts.operations.tasks import (
    AddParams,
    CancelParams,
    CommentParams,
    ImportParams,
    ImportResult,
    ReopenParams,
    SetParams,
)
from contracts.records import Comment, StepRow
from domain import tasks
from domain.timers import MINUTE_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def bring(world: World, *specs: TaskSpec) -> ImportResult:
    found: ImportResult = world.operate(tasks.import_tasks, ImportParams(tasks=specs))
    return found


def spec(key: str | None, *on: str, **fields: object) -> TaskSpec:
    return TaskSpec(title=f"do {key}", key=key, depends_on=on, **fields)  # type: ignore[arg-type]


def test_a_task_is_what_was_asked_for(world: World) -> None:
    task = world.task(
        "ship it",
        key="ship",
        project="moon",
        priority="P0",
        capabilities=("code",),
        due_at=instant(START + MINUTE_US),
        ping_interval_minutes=7,
        accept_minutes=9,
    )
    found = world.tasks[task]
    assert (found.key, found.project, found.priority, found.capabilities) == ("ship", "moon", 0, ("code",))
    assert (found.due_at, found.ping_interval_us, found.accept_us) == (
        START + MINUTE_US,
        7 * MINUTE_US,
        9 * MINUTE_US,
    )
    assert world.holder(task).accept_by == START + 9 * MINUTE_US
    assert world.facts[2].event == "created"


def test_a_key_is_taken_once(world: World) -> None:
    task = world.task(key="ship")
    with pytest.raises(ExistsError) as refused:
        world.operate(tasks.add, AddParams(title="again", key="ship"))
    assert refused.value.state == {"task": task}


def test_an_unknown_policy_is_refused(world: World) -> None:
    with pytest.raises(NotFoundError, match="policy"):
        world.operate(tasks.add, AddParams(title="t", policy="nobody's"))


def test_an_import_names_its_tasks_by_key(world: World) -> None:
    known = world.task(key="known", to="Ruto")
    result = bring(world, spec("c", "b", "known"), spec("a"), spec("b", "a", str(known), "known"), spec(None))
    c, a, b, plain = result.created
    assert world.links == {(c, b), (c, known), (b, a), (b, known)}
    assert [world.tasks[task].blockers for task in (a, b, c, plain)] == [0, 2, 2, 0]
    assert world.tasks[b].assign_at is None
    assert world.tasks[a].assign_at == START


def test_importing_again_changes_nothing(world: World) -> None:
    specs = (spec("a"), spec("b", "a"))
    assert len(bring(world, *specs).created) == 2
    before = dict(world.tasks)
    again = bring(world, *specs)
    assert (again.created, again.existing) == ((), ("a", "b"))
    assert world.tasks == before
    assert len(bring(world, *specs, spec("c", "b")).created) == 1


@pytest.mark.parametrize(
    ("edges", "circle"),
    [
        ({"a": "a"}, ["a", "a"]),
        ({"a": "b", "b": "a"}, None),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, None),
    ],
)
def test_a_circle_is_named(world: World, edges: dict[str, str], circle: list[str] | None) -> None:
    with pytest.raises(CycleError) as refused:
        bring(world, *(spec(key, on) for key, on in edges.items()))
    found = refused.value.state["circle"]
    assert circle in (None, found)
    assert found[0] == found[-1]
    for waiting, awaited in pairwise(found):
        assert edges[waiting] == awaited
    assert not world.tasks


def test_a_key_may_stand_only_once(world: World) -> None:
    with pytest.raises(InvalidError):
        bring(world, spec("a"), spec("a"))


@pytest.mark.parametrize("name", ["nowhere", "999", "9" * 40, "\u0661"])
def test_what_is_not_there_cannot_be_waited_for(world: World, name: str) -> None:
    with pytest.raises(NotFoundError, match="depend on"):
        bring(world, spec("a", name))


def test_what_is_done_blocks_nobody_and_what_failed_blocks_for_good(world: World) -> None:
    done, failed = world.task(), world.task("other", to="Ruto")
    world.say("a1", Complete())
    world.say("Ruto", Fail(final=True))
    task = world.task("then", depends_on=(str(done),))
    assert (world.tasks[task].blockers, world.tasks[task].agent) == (0, "a1")
    task = world.task("then", depends_on=(str(done), str(failed)))
    assert (world.tasks[task].blockers, world.tasks[task].alarmed) == (1, True)
    assert world.tasks[task].status_why == f"waits for task {failed}, which ended failed"


# --- changing ---


def change(world: World, task: int, **fields: object) -> None:
    world.operate(tasks.set_task, SetParams(task=task, **fields))  # type: ignore[arg-type]


def test_what_is_absent_stays(world: World) -> None:
    task = world.task(priority="P1", due_at=instant(START + MINUTE_US))
    lease = world.lease("a1")
    change(world, task, title="ship it now", description="all", priority="P0", policy="default")
    found = world.tasks[task]
    assert (found.title, found.description, found.priority) == ("ship it now", "all", 0)
    assert found.due_at == START + MINUTE_US
    assert world.lease("a1") == lease
    assert world.facts[-1].data == {"fields": ["description", "policy", "priority", "title"]}


def test_the_open_lease_follows(world: World) -> None:
    task = world.task(due_at=instant(START + MINUTE_US))
    world.forward(minutes=6)
    assert world.tasks[task].due_noticed
    change(world, task, due_at=instant(START + 20 * MINUTE_US), ping_interval_minutes=3)
    row = world.lease("a1")
    assert (row.due_at, row.deadline_at) == (START + 20 * MINUTE_US, START + 20 * MINUTE_US)
    assert (row.ping_interval_us, row.ping_at) == (3 * MINUTE_US, START + 9 * MINUTE_US)
    assert not world.tasks[task].due_noticed
    change(world, task, due_at=None)
    assert (world.lease("a1").due_at, world.tasks[task].due_at) == (None, None)


def test_repeats_keep_their_own_pace(world: World) -> None:
    task = world.task(to="Ruto")
    world.forward(hours=10)
    row = world.holder(task)
    change(world, task, ping_interval_minutes=3)
    assert world.holder(task) == row
    change(world, task, pings_enabled=False)
    change(world, task, pings_enabled=True)
    assert world.holder(task).ping_at is None


def test_the_pace_of_pings_that_are_off_is_noted(world: World) -> None:
    task = world.task()
    change(world, task, pings_enabled=False)
    change(world, task, ping_interval_minutes=3)
    assert (world.lease("a1").ping_at, world.lease("a1").ping_interval_us) == (None, 3 * MINUTE_US)


def test_a_task_without_owner_changes_alone(world: World) -> None:
    first = world.task()
    task = world.task("then", depends_on=(str(first),))
    change(world, task, pings_enabled=False)
    assert not world.tasks[task].pings_enabled


def test_what_cannot_be_changed(world: World) -> None:
    task = world.task()
    for number, policy in ((999, "default"), (task, "nobody's")):
        with pytest.raises(NotFoundError):
            change(world, number, policy=policy)
    with pytest.raises(InvalidError):
        change(world, task, due_at=datetime(2027, 1, 1))  # noqa: DTZ001
    world.say("a1", Complete())
    with pytest.raises(ConflictError):
        change(world, task, title="late")


# --- ending, and again ---


def test_cancelling_stops_the_holder_and_flags_who_waits(world: World) -> None:
    task = world.task()
    then = world.task("then", depends_on=(str(task),))
    world.say("a1", Ack(attempt=1))
    lease = world.lease("a1").id
    world.forward(minutes=31)
    assert world.operate(tasks.cancel, CancelParams(task=task, reason="no money")).status == "cancelled"
    row = world.assignments[world.assignments[lease].id]
    assert row.end_reason == "timed_out"
    assert [r.end_reason for r in world.assignments.values()] == ["timed_out", "cancelled"]
    assert world.tasks[task].status_why == "cancelled by operator:ann: no money"
    assert world.tasks[then].alarmed
    assert world.agents["ruto"].leases == 0
    assert [e.end_reason for e in world.escalations.values()] == ["cancelled"]
    assert world.posts[-1].message_id.startswith("withdrawn:")
    with pytest.raises(AlreadyFinalError):
        world.operate(tasks.cancel, CancelParams(task=task))
    world.operate(tasks.cancel, CancelParams(task=then))
    assert world.tasks[then].status_why == "cancelled by operator:ann"


def test_only_what_is_still_to_do_is_flagged(world: World) -> None:
    task = world.task()
    gone = world.task("gone", depends_on=(str(task),))
    world.operate(tasks.cancel, CancelParams(task=gone))
    before = world.tasks[gone]
    world.say("a1", Fail(final=True))
    assert world.tasks[gone] == before


def test_reopening_begins_a_new_round_in_which_all_may_have_it(world: World) -> None:
    task = world.task()
    world.say("a1", Fail(final=True))
    then = world.task("then", depends_on=(str(task),))
    world.operate(tasks.reopen, ReopenParams(task=task))
    found = world.tasks[task]
    assert (found.status, found.round, found.failures, found.assign_at) == ("todo", 2, 0, world.now)
    assert (world.tasks[then].alarmed, world.tasks[then].status_why, world.tasks[then].blockers) == (
        False,
        "",
        1,
    )
    world.tick()
    assert world.holder(task).agent == "a1"
    with pytest.raises(ConflictError):
        world.operate(tasks.reopen, ReopenParams(task=task))


def test_who_was_freed_waits_again_unless_it_was_begun(world: World) -> None:
    task, other = world.task(), world.task("other", to="Ruto")
    freed = world.task("freed", depends_on=(str(task), str(other)))
    begun = world.task("begun", depends_on=(str(task),))
    gone = world.task("gone", depends_on=(str(task),))
    world.operate(tasks.cancel, CancelParams(task=gone))
    world.say("a1", Complete())
    world.assign(begun, "a1")
    world.operate(tasks.reopen, ReopenParams(task=task))
    assert [world.tasks[number].blockers for number in (freed, begun, gone)] == [2, 1, 1]
    world.operate(tasks.reopen, ReopenParams(task=gone))
    assert world.tasks[gone].assign_at is None
    world.agent("a2")
    world.assign(task, "a2")
    world.say("a2", Complete())
    assert [world.tasks[number].blockers for number in (freed, begun, gone)] == [1, 0, 0]
    assert world.holder(begun).agent == "a1"
    assert world.tasks[gone].assign_at is not None


def test_a_remark_has_an_author(world: World) -> None:
    task = world.task()
    world.operate(tasks.comment, CommentParams(task=task, text="nice"))
    world.decide(
        tasks.comment, world.now, CommentParams(task=task, text="ok"), actor="Ruto", timers=world.timers
    )
    assert [(remark.author, remark.text) for remark in world.comments[-2:]] == [
        ("ann", "nice"),
        ("Ruto", "ok"),
    ]
    with pytest.raises(NotFoundError):
        world.operate(tasks.comment, CommentParams(task=999, text="?"))


# --- shown ---


def test_a_page_has_a_next_when_it_is_full(world: World) -> None:
    rows = [world.tasks[world.task(f"t{number}")] for number in range(3)]
    assert tasks.listed(rows, 3).next == rows[-1].id
    assert tasks.listed(rows, 4).next is None
    assert tasks.listed([], 4).items == ()


def test_a_task_is_shown_with_its_history(world: World) -> None:
    task = world.task(due_at=instant(START + MINUTE_US))
    world.forward(minutes=31)
    steps: list[StepRow] = list(world.steps.values())
    remarks: list[Comment] = world.comments
    found = tasks.shown(world, task, world.assignments.values(), remarks, steps, [(4,)])
    assert (found.task.id, found.depends_on) == (task, (4,))
    assert found.task.due_at == instant(START + MINUTE_US)
    assert [row.agent for row in found.assignments] == ["a1", "Ruto"]
    assert [(step.step, step.outcome) for step in found.steps] == [(1, "taken")]
    assert found.comments[0].text == "Assigned to a1 (chosen by Rollcall)"
    with pytest.raises(NotFoundError):
        tasks.shown(world, 999, (), (), (), ())
