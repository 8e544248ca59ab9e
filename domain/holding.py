"""What the holder of a task does beside answering: its plan, and remarks."""

from msgspec import UNSET, structs

from contracts.errors import AlreadyFinalError, InvalidError, NotFoundError
from contracts.operations.plans import (
    AddPhaseParams,
    AddTodoParams,
    AdvanceParams,
    CheckParams,
    PlanResult,
    RemarkParams,
    RemarkResult,
    SetPhaseParams,
    SetTodoParams,
)
from contracts.records import Task
from contracts.work import Changes, View
from domain import plans
from domain.answers import held, refuse_ended
from domain.draft import Draft
from domain.plans import Plan
from domain.timers import Timers


def plan(view: View, assignment: int, found: Plan, *, agent: str) -> PlanResult:
    """Return the plan of a task to whoever holds it, or held it last."""
    row = view.assignments.get(assignment)
    if row is None or row.agent != agent:
        raise NotFoundError(f"{agent} never held an assignment {assignment}")
    return plans.shown(view.tasks[row.task_id], found)


def check(view: View, now: int, params: CheckParams, found: Plan, *, agent: str, timers: Timers) -> Changes:
    """Tick a todo off, open it again, or put a new one on the list."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    task = _held(draft, params, agent)
    if params.todo is None:
        if params.text is None:
            raise InvalidError("name a todo, or say the text of a new one", fields={"text": "is required"})
        new = AddTodoParams(
            task=task.id, text=params.text, required=params.required or False, phase=params.phase
        )
        return draft.changes(plans.add_todo(draft, task, found, new))
    silent = params.text is None and params.required is None and params.phase is None
    said = SetTodoParams(
        task=task.id,
        todo=params.todo,
        text=UNSET if params.text is None else params.text,
        done=params.done if params.done is not None else silent or UNSET,
        required=UNSET if params.required is None else params.required,
        phase=UNSET if params.phase is None else params.phase,
    )
    return draft.changes(plans.set_todo(draft, task, found, said))


def advance(
    view: View, now: int, params: AdvanceParams, found: Plan, *, agent: str, timers: Timers
) -> Changes:
    """Say how a phase stands, or add one."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    task = _held(draft, params, agent)
    if params.phase is None:
        if params.name is None:
            raise InvalidError("name a phase, or say the name of a new one", fields={"name": "is required"})
        new = AddPhaseParams(task=task.id, name=params.name, required=params.required is not False)
        return draft.changes(plans.add_phase(draft, task, found, new))
    silent = params.status is None and params.name is None and params.required is None
    said = SetPhaseParams(
        task=task.id,
        phase=params.phase,
        name=UNSET if params.name is None else params.name,
        status="done" if silent else UNSET if params.status is None else params.status,
        required=UNSET if params.required is None else params.required,
    )
    return draft.changes(plans.set_phase(draft, task, found, said))


def remark(view: View, now: int, params: RemarkParams, *, agent: str, timers: Timers) -> Changes:
    """Remark something on the task."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    task = structs.replace(_held(draft, params, agent), updated_at=now)
    draft.put(task)
    draft.comment(task.id, params.text, author=agent)
    draft.fact(task, "commented", text=params.text)
    return draft.changes(RemarkResult(assignment=params.assignment, task=task.id))


def _held(draft: Draft, params: CheckParams | AdvanceParams | RemarkParams, agent: str) -> Task:
    """Return the task that the agent holds, or refuse whoever holds it no more."""
    row = held(draft, params.assignment, agent, incarnation=params.incarnation, session=params.session)
    refuse_ended(draft, row)
    if row.end_reason is not None:
        raise AlreadyFinalError(f"assignment {row.id} has ended: {row.end_reason}", end_reason=row.end_reason)
    return draft.task(row.task_id)
