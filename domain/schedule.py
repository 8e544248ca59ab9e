"""Reminders: made, fired when they are due, ended."""

from collections.abc import Sequence

from msgspec import structs

from contracts.codec import micros
from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.operations.reminders import AddParams, CancelParams, ListResult
from contracts.records import ENDED_TASKS
from contracts.reminders import REMINDERS_MAX, DueReminder, Reminder
from contracts.views import ReminderView
from contracts.views import view as view_of
from contracts.work import Changes, Row, View
from domain.draft import Draft
from domain.paging import following
from domain.timers import Timers

NONE_HELD = 0  # the assignment of a notice that is about none


def add(view: View, now: int, params: AddParams, *, actor: str, timers: Timers, to_come: int) -> Changes:
    """Make a reminder; `to_come` counts those that there are."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    if to_come >= REMINDERS_MAX:
        raise ConflictError(f"there are {to_come} reminders to come: no more than {REMINDERS_MAX}")
    if params.task is not None and (task := draft.task(params.task)).status in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}", status=task.status)
    every = None if params.every_minutes is None else params.every_minutes * timers.minute_us
    row = Reminder(
        id=view.new_id("reminders"),
        text=params.text,
        agent=None if params.agent is None else draft.agent(params.agent).name,
        task_id=params.task,
        every_us=every,
        due_at=_first(params, now, every, timers),
        created_at=now,
        created_by=actor,
    )
    draft.fact(row, "added", text=row.text, agent=row.agent, task=row.task_id)
    draft.wake("assigner")
    return draft.changes(_write(draft, "insert_reminder", row))


def _first(params: AddParams, now: int, every: int | None, timers: Timers) -> int:
    if params.at is not None and params.in_minutes is not None:
        raise InvalidError("two times", fields={"in_minutes": "is said beside `at`"})
    if params.at is not None:
        if (at := micros(params.at)) < now:
            raise InvalidError("that time has passed", fields={"at": "has passed"})
        return at
    if params.in_minutes is not None:
        return now + params.in_minutes * timers.minute_us
    return now + (every or 0)


def fire(view: View, found: Sequence[DueReminder], now: int, *, timers: Timers) -> Changes:
    """Say what is due, once however late it is, and find the next time; with its task it ends."""
    (due,) = found
    draft = Draft(view, now, actor="rollcall:assigner", timers=timers)
    row = _plain(due)
    if due.task_status in ENDED_TASKS:
        row = structs.replace(row, due_at=None, ended_at=now, ended_by=draft.actor)
        draft.fact(row, "ended", task=row.task_id, why=f"task {row.task_id} is {due.task_status}")
        _write(draft, "update_reminder", row)
        return draft.changes()
    to = row.agent or due.holder
    lease = due.assignment_id if to == due.holder and due.assignment_id is not None else NONE_HELD
    if to is not None:
        draft.notice(to, lease, "reminder", row.text)
    row = structs.replace(row, due_at=_next(due, now), fired=row.fired + 1, fired_at=now)
    if row.due_at is None:
        row = structs.replace(row, ended_at=now, ended_by=draft.actor)
    draft.fact(
        row, "fired", text=row.text, agent=to, task=row.task_id, assignment=lease or None, times=row.fired
    )
    _write(draft, "update_reminder", row)
    return draft.changes()


def _next(row: Reminder, now: int) -> int | None:
    """Return the first time of its row that is still to come: those that were missed are not repaid."""
    if row.every_us is None or row.due_at is None:
        return None
    return row.due_at + ((now - row.due_at) // row.every_us + 1) * row.every_us


def cancel(
    view: View, now: int, params: CancelParams, *, actor: str, timers: Timers, found: Sequence[DueReminder]
) -> Changes:
    """End a reminder; ending it again changes nothing."""
    if not found:
        raise NotFoundError(f"there is no reminder {params.reminder}")
    row = _plain(found[0])
    if row.ended_at is not None:
        return Changes(answer=view_of(row, ReminderView))
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = structs.replace(row, due_at=None, ended_at=now, ended_by=actor)
    draft.fact(row, "cancelled", text=row.text, agent=row.agent, task=row.task_id)
    return draft.changes(_write(draft, "update_reminder", row))


def listed(rows: Sequence[Reminder], limit: int) -> ListResult:
    """Return a page of reminders."""
    items = tuple(view_of(row, ReminderView) for row in rows)
    return ListResult(items=items, next=following(rows, limit))


def _plain(row: DueReminder) -> Reminder:
    return Reminder(**{name: getattr(row, name) for name in Reminder.__struct_fields__})


def _write(draft: Draft, query: str, row: Reminder) -> ReminderView:
    draft.row(Row(query, structs.replace(row, version=row.version + 1)))
    return view_of(row, ReminderView, version=row.version + 1)
