"""What an operator says about a task's open assignment: in their own name, and not in its holder's."""

from typing import Any

from msgspec import structs

from contracts.errors import AlreadyFinalError, NotAllowedNowError
from contracts.operations.operators import AckParams, AnswerParams, HeldResult, SnoozeParams
from contracts.records import ENDED_TASKS, Assignment
from contracts.work import Changes, View
from domain import assignment
from domain.draft import Draft
from domain.leases import put_assignment
from domain.timers import Timers
from domain.wording import because, moment


def ack(view: View, now: int, params: AckParams, *, actor: str, timers: Timers) -> Changes:
    """Let the clock that runs begin anew: the holder has said nothing, but somebody has it in hand."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = _held(draft, params.task)
    after = assignment.acked_for(row, now, timers)
    put_assignment(draft, row, after)
    said = because(f"{_person(actor)} acked it: {row.agent} still owes its own ack", params.reason)
    return _stated(draft, after, "operator_acked", said, why=params.reason)


def snooze(view: View, now: int, params: SnoozeParams, *, actor: str, timers: Timers) -> Changes:
    """Let its holder be asked again later, whatever it has snoozed itself."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = _held(draft, params.task)
    after = assignment.snoozed_for(row, params.minutes, now, timers)
    put_assignment(draft, row, after)
    until = moment(after.snooze_until or now)
    said = because(f"{_person(actor)} snoozed it: {row.agent} is asked again at {until}", params.reason)
    return _stated(draft, after, "operator_snoozed", said, why=params.reason, minutes=params.minutes)


def answer(view: View, now: int, params: AnswerParams, *, actor: str, timers: Timers) -> Changes:
    """Tell the holder what it waits for, and let it go on."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = _held(draft, params.task)
    after = assignment.answered_for(row, now, timers)
    put_assignment(draft, row, after)
    draft.notice(row.agent, row.id, "answered", f"{_person(actor)}: {params.text}")
    said = f"{_person(actor)} answered {row.agent}: {params.text}"
    return _stated(draft, after, "operator_answered", said, text=params.text)


def _held(draft: Draft, task_id: int) -> Assignment:
    task = draft.task(task_id)
    if task.status in ENDED_TASKS:
        raise AlreadyFinalError(f"task {task.id} is {task.status}", status=task.status)
    if task.assignment_id is None:
        raise NotAllowedNowError(f"task {task.id} is with nobody: assign it", status=task.status)
    return draft.assignment(task.assignment_id)


def _stated(draft: Draft, row: Assignment, event: str, said: str, **data: Any) -> Changes:
    task = draft.task(row.task_id)
    draft.put(structs.replace(task, updated_at=draft.now))
    draft.comment(task.id, said, author=_person(draft.actor))
    draft.fact(row, event, task=task.id, agent=row.agent, status=row.status, **data)
    return draft.changes(HeldResult(assignment=row.id, task=task.id, agent=row.agent, status=row.status))


def _person(actor: str) -> str:
    return actor.partition(":")[2] or actor
