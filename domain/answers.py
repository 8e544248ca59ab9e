"""What an agent says about its own assignment, and all that follows from it."""

from typing import Any

from msgspec import structs

from contracts.codec import instant, micros
from contracts.errors import (
    IncarnationError,
    InvalidError,
    NotFoundError,
    StaleSessionError,
    SupersededError,
)
from contracts.messages import Answer, Complete, Decline, Fail, Outcome, Progress, Release, Snooze, Wait
from contracts.records import Assignment, Task
from contracts.work import Changes, View
from domain import assignment, ending
from domain.draft import Draft
from domain.leases import OWN_ENDS, able_giver, put_assignment, return_to_giver, state_end
from domain.plans import refuse_unfinished
from domain.timers import Timers
from domain.waits import spread
from domain.wording import because, misspelt, moment

PAST = {
    "ack": "acknowledged",
    "progress": "progressed",
    "wait": "waiting",
    "resume": "resumed",
    "snooze": "snoozed",
    "unsnooze": "unsnoozed",
    "decline": "declined",
    "complete": "completed",
    "fail": "failed",
    "release": "released",
}
"""Events are told in the past tense."""


def answer(
    view: View, now: int, assignment_id: int, what: Answer, *, agent: str, at: int, timers: Timers
) -> Changes:
    """Take an answer that the bus had at `at`, or refuse it."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=what.command_id)
    row = held(draft, assignment_id, agent, incarnation=what.incarnation, session=what.session)
    refuse_ended(draft, row)
    if isinstance(what, Wait) and what.on == "peer" and (what.who or "").lower() == agent.lower():
        raise InvalidError("a wait for a peer is for somebody else", fields={"who": "is you"})
    # what is on record already is not undone by an older word that came later
    at = min(max(at, row.assigned_at, row.accepted_at or 0, row.progressed_at or 0), now)
    after = assignment.apply(row, what, at, timers)
    if isinstance(what, Complete):
        refuse_unfinished(draft.task(row.task_id))
    if isinstance(what, Wait) and what.on == "rate_limit":
        after = assignment.settle(spread(after, at, view.draw(), timers))
    changed = after != row
    _remember(draft, row, after, at)
    if changed:
        put_assignment(draft, row, after)
        _follow(draft, row, after, what)
    return draft.changes(
        Outcome(
            assignment=row.id,
            kind=assignment.kind(what),
            accepted=True,
            already=not changed,
            status=after.status,
            command_id=what.command_id,
            deferred=after.deferred and not row.deferred,
        )
    )


def held(
    draft: Draft,
    assignment_id: int,
    agent: str,
    *,
    incarnation: str | None = None,
    session: str | None = None,
) -> Assignment:
    """Return the agent's own assignment, or refuse: another store, another holder, a stale session."""
    if incarnation is not None and incarnation != draft.view.incarnation:
        raise IncarnationError("this belongs to another store", incarnation=draft.view.incarnation)
    row = draft.view.assignments.get(assignment_id)
    if row is None or row.agent.lower() != agent.lower():
        raise NotFoundError(f"{agent} never held an assignment {assignment_id}")
    if row.agent != agent:
        raise NotFoundError(misspelt(agent, row.agent))
    if session is not None and session != draft.agent(agent).session:
        raise StaleSessionError(f"another session speaks for {row.agent} now")
    return row


def refuse_ended(draft: Draft, row: Assignment) -> None:
    """Order whoever lost its lease to stop, and name the present holder."""
    task = draft.task(row.task_id)
    if row.end_reason is None or row.end_reason in {*OWN_ENDS, "cancelled"} or task.assignment_id is None:
        return
    raise SupersededError(
        f"task {task.id} is with {task.agent} now: stop",
        holder=task.agent,
        assignment=task.assignment_id,
        order="stop",
        end_reason=row.end_reason,
    )


def _remember(draft: Draft, row: Assignment, after: Assignment, at: int) -> None:
    """Note on agent and task that an answer came, and how long progress takes."""
    agent = draft.agent(row.agent)
    latency = agent.progress_latency_us
    if after.progressed_at != row.progressed_at or after.end_reason == "completed":
        sample = max(0, at - (row.progressed_at or row.accepted_at or at))
        latency = (3 * latency + sample) // 4 if latency else sample
    draft.put(
        structs.replace(
            agent,
            last_ack_at=max(at, agent.last_ack_at or 0),
            progress_latency_us=latency,
            successes=agent.successes + (after.end_reason == "completed"),
            failures=agent.failures + (after.end_reason == "failed"),
        )
    )
    task = draft.task(row.task_id)
    draft.put(structs.replace(task, last_ack_at=max(at, task.last_ack_at or 0), updated_at=draft.now))


def _follow(draft: Draft, row: Assignment, after: Assignment, what: Answer) -> None:
    """State the change, remark it if the status changed, and move the task where the lease ended."""
    event = PAST[assignment.kind(what)]
    task = draft.task(row.task_id)
    if after.status != row.status:
        draft.comment(task.id, _remark(after, what, event))
    if after.end_reason is not None:
        state_end(draft, after, why=_reason(what))
        _end_task(draft, task, after, what)
        return
    note = what.note if isinstance(what, Progress) else _reason(what)
    waits: dict[str, Any] = _wait_facts(after) if isinstance(what, Wait) else {}
    draft.fact(
        after,
        event,
        task=task.id,
        agent=row.agent,
        status=after.status,
        note=note,
        attempt=row.attempt,
        **waits,
    )
    if isinstance(what, Wait):
        _tell_awaited(draft, after, task)


def _end_task(draft: Draft, task: Task, row: Assignment, what: Answer) -> None:
    if isinstance(what, Complete):
        ending.end_escalation(draft, row.escalation_id, "completed")
        ending.finish(draft, task)
        return
    if isinstance(what, Fail):
        task = structs.replace(task, failures=task.failures + 1)
        if what.final or task.failures >= draft.timers.failures_max:
            ending.end_escalation(draft, row.escalation_id, "failed")
            ending.fail(draft, task, because(f"failed by {row.agent}", what.reason))
            return
    giver = able_giver(draft, row) if isinstance(what, Decline) else None
    if giver is not None:
        return_to_giver(draft, row, giver)
        return
    ending.give_back(draft, task, row, because(f"{row.end_reason} by {row.agent}", _reason(what)))


def _wait_facts(row: Assignment) -> dict[str, Any]:
    """Return what the fact of a wait tells: for whom, and until when if somebody stated it."""
    until = None if row.resume_at is None else instant(row.resume_at)
    return {"kind": row.wait_kind, "who": row.wait_who, "resume_at": until, "backoffs": row.backoffs or None}


def _tell_awaited(draft: Draft, row: Assignment, task: Task) -> None:
    awaited = None if row.wait_who is None else draft.find_agent(row.wait_who)
    if awaited is not None:
        text = because(f"{row.agent} waits for you to go on with task {task.id}", row.wait_reason)
        draft.notice(awaited.name, row.id, "awaited", text)


def _remark(row: Assignment, what: Answer, event: str) -> str:
    text = f"{event} by {row.agent}"
    if isinstance(what, Snooze) and row.snooze_until is not None:
        text = f"{text} until {moment(row.snooze_until)}"
    if isinstance(what, Wait):
        who = f" for {what.who}" if what.who else ""
        until = f" until {moment(micros(what.resume_at))}" if what.resume_at else ""
        text = f"{row.agent} waits on {what.on}{who}{until}"
    return because(text, _reason(what))


def _reason(what: Answer) -> str | None:
    if isinstance(what, Complete):
        return what.result
    if isinstance(what, Wait | Snooze | Decline | Fail | Release):
        return what.reason
    return None
