"""What an operator says about an assignment: in their own name, and without a word in its holder's."""

from typing import Any

from msgspec import structs

from contracts.operations.vouching import DeferParams, ReplyParams, VouchParams, VouchResult
from contracts.records import Assignment
from contracts.work import Changes, View
from domain import assignment
from domain.draft import Draft
from domain.leases import put_assignment
from domain.timers import Timers
from domain.wording import because, moment


def vouch(view: View, now: int, params: VouchParams, *, actor: str, timers: Timers) -> Changes:
    """Let the clock that runs begin anew: the holder has said nothing, but somebody has it in hand."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = draft.assignment(params.assignment)
    after = assignment.vouched(row, now, timers)
    put_assignment(draft, row, after)
    said = because(f"{_person(actor)} has it in hand", params.reason)
    return _stated(draft, after, "vouched", said, why=params.reason)


def defer(view: View, now: int, params: DeferParams, *, actor: str, timers: Timers) -> Changes:
    """Let its holder be asked again later, whatever it has snoozed itself."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = draft.assignment(params.assignment)
    after = assignment.put_off(row, params.minutes, now, timers)
    put_assignment(draft, row, after)
    until = moment(after.snooze_until or now)
    said = because(f"{_person(actor)} lets {row.agent} be asked again at {until}", params.reason)
    return _stated(draft, after, "deferred", said, why=params.reason, minutes=params.minutes)


def reply(view: View, now: int, params: ReplyParams, *, actor: str, timers: Timers) -> Changes:
    """Tell the holder what it waits for, and let it go on."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    row = draft.assignment(params.assignment)
    after = assignment.replied(row, now, timers)
    put_assignment(draft, row, after)
    draft.notice(row.agent, row.id, "replied", f"{_person(actor)}: {params.text}")
    return _stated(
        draft, after, "replied", f"{_person(actor)} to {row.agent}: {params.text}", text=params.text
    )


def _stated(draft: Draft, row: Assignment, event: str, said: str, **data: Any) -> Changes:
    task = draft.task(row.task_id)
    draft.put(structs.replace(task, updated_at=draft.now))
    draft.comment(task.id, said, author=_person(draft.actor))
    draft.fact(row, event, task=task.id, agent=row.agent, status=row.status, **data)
    return draft.changes(VouchResult(assignment=row.id, task=task.id, agent=row.agent, status=row.status))


def _person(actor: str) -> str:
    return actor.partition(":")[2] or actor
