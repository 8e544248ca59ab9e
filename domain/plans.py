"""The plan of a task: phases and todos, in their order, and what of them still has to be closed."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct, structs

from contracts.errors import ConflictError, InvalidError, NotFoundError, UnfinishedError
from contracts.operations.plans import (
    AddPhaseParams,
    AddTodoParams,
    PhasesResult,
    PlanResult,
    RemoveTodoParams,
    SetPhaseParams,
    SetTodoParams,
    TodosResult,
)
from contracts.plans import CHECKLIST_MAX, CLOSED, PHASES_MAX, Phase, Todo
from contracts.records import ENDED_TASKS, Task
from contracts.views import PhaseView, TodoView
from contracts.views import view as view_of
from contracts.work import Row, View
from domain.draft import Draft
from domain.versions import check

NAMED_MAX: Final = 8  # of what is open: as many as anybody reads
NAME_CHARS_MAX: Final = 80

Item = TypeVar("Item", Todo, Phase)


class Plan(Struct, frozen=True, kw_only=True):
    """A task's phases and todos, in their order."""

    phases: Sequence[Phase]
    todos: Sequence[Todo]


def add_todo(draft: Draft, task: Task, plan: Plan, said: AddTodoParams) -> TodoView:
    """Put something on the checklist."""
    _open(task)
    if len(plan.todos) >= CHECKLIST_MAX:
        raise ConflictError(f"a task has at most {CHECKLIST_MAX} todos")
    _check_phase(task, plan, said.phase)
    row = Todo(
        id=draft.view.new_id("todos"),
        task_id=task.id,
        phase_id=said.phase,
        position=len(plan.todos) + 1,
        text=said.text,
        required=said.required,
        **_made(draft),
    )
    after = _placed([*plan.todos, row], row, said.position)
    return _write(draft, task, structs.replace(plan, todos=after), plan, row.id, "todo_added")


def set_todo(draft: Draft, task: Task, plan: Plan, said: SetTodoParams) -> TodoView:
    """Change a todo; what says nothing new changes nothing."""
    _open(task)
    before = _named(plan.todos, said.todo, "todo")
    check(said.expected_version, before.version)
    changes = _said(said, "text", "done", "required")
    if said.phase is not UNSET:
        _check_phase(task, plan, said.phase)
        changes["phase_id"] = said.phase
    row = structs.replace(before, **changes)
    rest = [row if one.id == row.id else one for one in plan.todos]
    after = structs.replace(plan, todos=_placed(rest, row, _or_none(said.position)))
    event = "todo_changed"
    if row.done != before.done:
        event = "todo_done" if row.done else "todo_reopened"
    return _write(draft, task, after, plan, row.id, event)


def remove_todo(draft: Draft, task: Task, plan: Plan, said: RemoveTodoParams) -> TodoView:
    """Take a todo off the list; those behind it move up."""
    _open(task)
    row = _named(plan.todos, said.todo, "todo")
    rest = _numbered([one for one in plan.todos if one.id != row.id])
    _write_rows(draft, "todo", plan.todos, rest)
    draft.row(Row("delete_todo", row))
    _state(draft, task, structs.replace(plan, todos=rest), "todo_removed", todo=row.id, text=row.text)
    return view_of(row, TodoView)


def add_phase(draft: Draft, task: Task, plan: Plan, said: AddPhaseParams) -> PhaseView:
    """Add a phase."""
    _open(task)
    if len(plan.phases) >= PHASES_MAX:
        raise ConflictError(f"a task has at most {PHASES_MAX} phases")
    row = Phase(
        id=draft.view.new_id("phases"),
        task_id=task.id,
        position=len(plan.phases) + 1,
        name=said.name,
        required=said.required,
        prompt=said.prompt,
        done_definitions=said.done_definitions,
        expected_outputs=said.expected_outputs,
        next_steps_guide=said.next_steps_guide,
        **_made(draft),
    )
    after = structs.replace(plan, phases=_placed([*plan.phases, row], row, said.position))
    return _write_phase(draft, task, after, plan, row.id, "phase_added")


def set_phase(draft: Draft, task: Task, plan: Plan, said: SetPhaseParams) -> PhaseView:
    """Change a phase; what says nothing new changes nothing."""
    _open(task)
    before = _named(plan.phases, said.phase, "phase")
    check(said.expected_version, before.version)
    texts = ("prompt", "done_definitions", "expected_outputs", "next_steps_guide")
    row = structs.replace(before, **_said(said, "name", "status", "required", *texts))
    rest = [row if one.id == row.id else one for one in plan.phases]
    after = structs.replace(plan, phases=_placed(rest, row, _or_none(said.position)))
    moved = row.status != before.status
    return _write_phase(draft, task, after, plan, row.id, "phase_moved" if moved else "phase_changed")


def refuse_unfinished(task: Task) -> None:
    """Refuse to complete a task while something that is required is open."""
    if task.unfinished:
        raise UnfinishedError(
            f"task {task.id} is not finished: {'; '.join(task.unfinished)}", unfinished=list(task.unfinished)
        )


def shown(task: Task, plan: Plan) -> PlanResult:
    """Return the plan for its readers."""
    return PlanResult(
        task=task.id,
        phases=tuple(view_of(row, PhaseView) for row in plan.phases),
        todos=tuple(view_of(row, TodoView) for row in plan.todos),
        unfinished=task.unfinished,
    )


def todos(view: View, task_id: int, rows: Sequence[Todo]) -> TodosResult:
    """Return a task's checklist for its readers."""
    _known(view, task_id)
    return TodosResult(items=tuple(view_of(row, TodoView) for row in rows))


def phases(view: View, task_id: int, rows: Sequence[Phase]) -> PhasesResult:
    """Return a task's phases for their readers."""
    _known(view, task_id)
    return PhasesResult(items=tuple(view_of(row, PhaseView) for row in rows))


def unfinished(plan: Plan) -> tuple[str, ...]:
    """Return by name what is required and open; of many the first, and how many more there are."""
    names = [
        *(f"phase {row.id}: {row.name}" for row in plan.phases if row.required and row.status not in CLOSED),
        *(f"todo {row.id}: {row.text}" for row in plan.todos if row.required and not row.done),
    ]
    cut = [name if len(name) <= NAME_CHARS_MAX else f"{name[: NAME_CHARS_MAX - 1]}…" for name in names]
    more = len(cut) - NAMED_MAX
    return (*cut[:NAMED_MAX], f"and {more} more") if more > 0 else tuple(cut)


def _known(view: View, task_id: int) -> None:
    if task_id not in view.tasks:
        raise NotFoundError(f"there is no task {task_id}")


def _open(task: Task) -> None:
    if task.status in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}: reopen it first", status=task.status)


def _made(draft: Draft) -> dict[str, Any]:
    return {
        "created_at": draft.now,
        "created_by": draft.actor,
        "updated_at": draft.now,
        "updated_by": draft.actor,
    }


def _said(said: Struct, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(said, name)) is not UNSET}


def _or_none(position: Any) -> int | None:
    return None if position is UNSET else position


def _named(rows: Sequence[Item], number: int, what: str) -> Item:
    found = next((row for row in rows if row.id == number), None)
    if found is None:
        raise NotFoundError(f"this task has no {what} {number}")
    return found


def _check_phase(task: Task, plan: Plan, phase: Any) -> None:
    if phase is not None and phase not in {row.id for row in plan.phases}:
        raise InvalidError(f"task {task.id} has no phase {phase}", fields={"phase": "is none of this task"})


def _placed(rows: Sequence[Item], row: Item, position: int | None) -> list[Item]:
    """Return the rows with this one at the position, at most at the end; None: where it stands."""
    if position is None:
        return _numbered(rows)
    rest = [one for one in rows if one.id != row.id]
    rest.insert(position - 1, row)
    return _numbered(rest)


def _numbered(rows: Sequence[Item]) -> list[Item]:
    return [
        row if row.position == place else structs.replace(row, position=place)
        for place, row in enumerate(rows, 1)
    ]


def _write(draft: Draft, task: Task, after: Plan, before: Plan, todo: int, event: str) -> TodoView:
    written = _write_rows(draft, "todo", before.todos, after.todos)
    row = written.get(todo)
    if row is None:
        return view_of(_named(before.todos, todo, "todo"), TodoView)
    _state(draft, task, after, event, todo=todo, text=row.text, required=row.required, done=row.done)
    return view_of(row, TodoView)


def _write_phase(draft: Draft, task: Task, after: Plan, before: Plan, phase: int, event: str) -> PhaseView:
    written = _write_rows(draft, "phase", before.phases, after.phases)
    row = written.get(phase)
    if row is None:
        return view_of(_named(before.phases, phase, "phase"), PhaseView)
    _state(draft, task, after, event, phase=phase, name=row.name, status=row.status, required=row.required)
    return view_of(row, PhaseView)


def _write_rows(draft: Draft, what: str, before: Sequence[Item], after: Sequence[Item]) -> dict[int, Item]:
    """Write the rows that are new or other than before, and return them as written, by their ids."""
    known = {row.id: row for row in before}
    written: dict[int, Item] = {}
    for row in after:
        old = known.get(row.id)
        if old is None:
            written[row.id] = row
            draft.row(Row(f"insert_{what}", row))
        elif row != old:
            changed = structs.replace(
                row, updated_at=draft.now, updated_by=draft.actor, version=old.version + 1
            )
            written[row.id] = changed
            draft.row(Row(f"update_{what}", changed))
    return written


def _state(draft: Draft, task: Task, plan: Plan, event: str, **data: Any) -> None:
    """State on the task what became of its plan, and what now keeps it from being completed."""
    after = structs.replace(task, unfinished=unfinished(plan), updated_at=draft.now)
    draft.put(after)
    draft.fact(after, event, **data)
