"""Tasks: created, imported, changed, cancelled, reopened, remarked on."""

import graphlib
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET, UnsetType, structs

from contracts.codec import micros
from contracts.errors import (
    AlreadyFinalError,
    ConflictError,
    CycleError,
    ExistsError,
    InvalidError,
    NotFoundError,
)
from contracts.limits import INT_MAX
from contracts.messages import NewTask
from contracts.operations.tasks import (
    CancelParams,
    CommentParams,
    HistoryResult,
    ImportParams,
    ImportResult,
    ListResult,
    ReopenParams,
    SetParams,
    TaskRef,
)
from contracts.records import ENDED_TASKS, Assignment, Comment, StepRow, Task
from contracts.views import (
    AssignmentView,
    CommentView,
    EscalationStepView,
    TaskDetail,
    TaskView,
)
from contracts.views import view as view_of
from contracts.work import Changes, View
from domain import ending
from domain.assignment import settle
from domain.draft import Draft
from domain.leases import end_lease, put_assignment
from domain.paging import following
from domain.timers import Timers
from domain.versions import check
from domain.wording import because

ID_DIGITS_MAX = 18


def add(
    view: View,
    now: int,
    params: NewTask,
    *,
    actor: str,
    timers: Timers,
    cause: str | None = None,
) -> Changes:
    """Create a task."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    if params.key is not None and params.key in view.task_ids:
        task_id = view.task_ids[params.key]
        raise ExistsError(f"task {task_id} has the key {params.key}", task=task_id)
    task = _create(draft, params, view.new_id("tasks"), {})
    return draft.changes(TaskRef(task=task.id, status=task.status))


def import_tasks(
    view: View, now: int, params: ImportParams, *, actor: str, timers: Timers, cause: str | None = None
) -> Changes:
    """Create many tasks, all or none; a key that is there already is left as it is."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    keys = [spec.key for spec in params.tasks if spec.key is not None]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InvalidError("a key may stand only once in an import", fields={"key": ", ".join(twice)})
    _refuse_circle({spec.key: spec.depends_on for spec in params.tasks if spec.key is not None})
    fresh = [spec for spec in params.tasks if spec.key is None or spec.key not in view.task_ids]
    ids = [view.new_id("tasks") for _ in fresh]
    named = {spec.key: number for spec, number in zip(fresh, ids, strict=True) if spec.key is not None}
    for spec, number in zip(fresh, ids, strict=True):
        _create(draft, spec, number, named)
    existing = tuple(key for key in keys if key in view.task_ids)
    return draft.changes(ImportResult(created=tuple(ids), existing=existing))


def _refuse_circle(depends_on: dict[str, tuple[str, ...]]) -> None:
    try:
        graphlib.TopologicalSorter(depends_on).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]  # it names those first that are waited for
        raise CycleError(f"these wait for each other: {' -> '.join(circle)}", circle=circle) from error


def _create(draft: Draft, spec: NewTask, task_id: int, named: dict[str, int]) -> Task:
    timers = draft.timers
    if spec.policy != "default" and spec.policy not in draft.view.policies:
        raise NotFoundError(f"there is no policy {spec.policy}")
    on = tuple(dict.fromkeys(_depended(draft, name, named) for name in spec.depends_on))
    task = Task(
        id=task_id,
        key=spec.key,
        project=spec.project,
        title=spec.title,
        description=spec.description,
        priority=int(spec.priority[1]),
        capabilities=spec.capabilities,
        due_at=None if spec.due_at is None else micros(spec.due_at),
        ping_interval_us=_minutes(spec.ping_interval_minutes, timers) or timers.ping_interval_us,
        accept_us=_minutes(spec.accept_minutes, timers),
        policy=spec.policy,
        created_at=draft.now,
        updated_at=draft.now,
    )
    draft.depend(task.id, on)
    draft.fact(task, "created", title=task.title, key=task.key, depends_on=list(on) or None)
    task = ending.judge(draft, task, on)
    draft.put(task)
    return task


def _depended(draft: Draft, name: str, named: dict[str, int]) -> int:
    """Return the id of a dependency: a key of this import, a key that is there, or a number."""
    if name in named:
        return named[name]
    if name in draft.view.task_ids:
        return draft.view.task_ids[name]
    if name.isdecimal() and len(name) <= ID_DIGITS_MAX and int(name) in draft.view.tasks:
        return int(name)
    raise NotFoundError(f"there is no task {name} to depend on")


def _minutes(minutes: int | None, timers: Timers) -> int | None:
    return None if minutes is None else min(minutes * timers.minute_us, INT_MAX)


def set_task(
    view: View, now: int, params: SetParams, *, actor: str, timers: Timers, cause: str | None = None
) -> Changes:
    """Change a task that has not ended; its open assignment follows."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    task = draft.task(params.task)
    check(params.expected_version, task.version)
    if task.status in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}: reopen it first", status=task.status)
    policy = params.policy
    if isinstance(policy, str) and policy != "default" and policy not in view.policies:
        raise NotFoundError(f"there is no policy {policy}")
    changes = _changed(params, timers)
    after = structs.replace(task, updated_at=now, **changes)
    draft.put(after)
    draft.fact(after, "changed", fields=sorted(changes))
    if task.assignment_id is not None:
        _follow(draft, draft.assignment(task.assignment_id), after, changes)
    return draft.changes(TaskRef(task=task.id, status=task.status))


def _changed(params: SetParams, timers: Timers) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: value
        for name in ("title", "description", "pings_enabled", "policy")
        if (value := getattr(params, name)) is not UNSET
    }
    if not isinstance(params.priority, UnsetType):
        found["priority"] = int(params.priority[1])
    if not isinstance(params.due_at, UnsetType):
        found["due_at"] = None if params.due_at is None else micros(params.due_at)
        found["due_noticed"] = False
    if not isinstance(params.ping_interval_minutes, UnsetType):
        found["ping_interval_us"] = params.ping_interval_minutes * timers.minute_us
    return found


def _follow(draft: Draft, row: Assignment, task: Task, changes: dict[str, Any]) -> None:
    """Let the open assignment keep the task's due date and pings."""
    after = row
    if "due_at" in changes:
        after = structs.replace(after, due_at=task.due_at)
    if "ping_interval_us" in changes and not row.repeats:
        soonest = draft.now + task.ping_interval_us
        ping_at = None if after.ping_at is None else min(after.ping_at, soonest)
        after = structs.replace(after, ping_interval_us=task.ping_interval_us, ping_at=ping_at)
    if task.pings_enabled != row.pings_enabled:
        ping_at = draft.now if task.pings_enabled and not row.repeats else None
        after = structs.replace(after, pings_enabled=task.pings_enabled, ping_at=ping_at)
    if after != row:
        put_assignment(draft, row, settle(after))


def cancel(
    view: View, now: int, params: CancelParams, *, actor: str, timers: Timers, cause: str | None = None
) -> Changes:
    """End a task; its holder is told to stop, and those that waited for it are flagged."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    task = draft.task(params.task)
    if task.status in ENDED_TASKS:
        raise AlreadyFinalError(f"task {task.id} is {task.status}", status=task.status)
    why = because(f"cancelled by {actor}", params.reason)
    if task.assignment_id is not None:
        row = draft.assignment(task.assignment_id)
        end_lease(draft, row, "cancel", why=why)
        ending.end_escalation(draft, row.escalation_id, "cancelled")
    after = ending.cancel(draft, task, why)
    draft.comment(task.id, why)
    return draft.changes(TaskRef(task=task.id, status=after.status))


def reopen(
    view: View, now: int, params: ReopenParams, *, actor: str, timers: Timers, cause: str | None = None
) -> Changes:
    """Open an ended task again, in a new round; what waits for it waits again."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    task = draft.task(params.task)
    if task.status not in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}: it has not ended", status=task.status)
    after = structs.replace(
        task,
        status="todo",
        status_why=f"reopened by {actor}",
        round=task.round + 1,
        failures=0,
        updated_at=now,
    )
    draft.fact(after, "reopened", was=task.status)
    draft.comment(task.id, f"Reopened by {actor}")
    after = ending.judge(draft, after)
    draft.put(after)
    ending.judge_dependents(draft, task.id)
    return draft.changes(TaskRef(task=task.id, status=after.status))


def comment(
    view: View, now: int, params: CommentParams, *, actor: str, timers: Timers, cause: str | None = None
) -> Changes:
    """Remark something on a task."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=_cause(params, cause))
    task = structs.replace(draft.task(params.task), updated_at=now)
    draft.put(task)
    draft.comment(task.id, params.text, author=actor.partition(":")[2] or actor)
    draft.fact(task, "commented", text=params.text)
    return draft.changes(TaskRef(task=task.id, status=task.status))


def _cause(params: object, cause: str | None) -> str | None:
    found: str | None = getattr(params, "command_id", None)
    return cause or found


def listed(rows: Sequence[Task], limit: int) -> ListResult:
    """Return a page of tasks."""
    items = tuple(view_of(row, TaskView) for row in rows)
    return ListResult(items=items, next=following(rows, limit))


def history(view: View, task_id: int, rows: Sequence[Assignment], limit: int) -> HistoryResult:
    """Return a page of who has had a task."""
    if task_id not in view.tasks:
        raise NotFoundError(f"there is no task {task_id}")
    items = tuple(view_of(row, AssignmentView) for row in rows)
    return HistoryResult(items=items, next=following(rows, limit))


def shown(
    view: View,
    task_id: int,
    assignments: Iterable[Assignment],
    comments: Iterable[Comment],
    steps: Iterable[StepRow],
    dependencies: Iterable[Sequence[int]],
) -> TaskDetail:
    """Return a task with its history; of the dependencies the first column is the other task."""
    task = view.tasks.get(task_id)
    if task is None:
        raise NotFoundError(f"there is no task {task_id}")
    return TaskDetail(
        task=view_of(task, TaskView),
        depends_on=tuple(row[0] for row in dependencies),
        assignments=tuple(view_of(row, AssignmentView) for row in assignments),
        comments=tuple(view_of(row, CommentView) for row in comments),
        steps=tuple(view_of(row, EscalationStepView) for row in steps),
    )
