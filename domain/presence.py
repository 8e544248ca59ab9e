"""Presence: joining, beating, leaving; and what an agent is told when it is back."""

from collections.abc import Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.errors import NotFoundError, RejoinRequiredError, StaleSessionError
from contracts.messages import Beat, Notice
from contracts.operations.answers import JoinParams, LeaveParams, LeaveResult, NextResult
from contracts.records import OPEN_STATUSES, Agent, Assignment, NoticeRow
from contracts.views import Lease, SyncView
from contracts.work import Changes, View
from domain.draft import Draft, ping_message
from domain.listening import heard, interval_us
from domain.pinging import owed
from domain.processes import BACK, ENDED, UNSAID
from domain.projection import project, put_agent
from domain.timers import Timers
from domain.wording import misspelt

__all__ = ["beat", "join", "leave", "next_owed", "project", "sync"]


def join(
    view: View, now: int, agent: str, params: JoinParams, *, notices: Sequence[NoticeRow] = (), timers: Timers
) -> Changes:
    """Take an agent's word that it is there; the newest session counts, capabilities get only fewer."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    known = _known(view, agent)
    kept = known.capabilities
    if params.capabilities is not None:
        kept = tuple(name for name in kept if name in params.capabilities)
    every_us = interval_us(params.interval_s)
    after = structs.replace(
        known,
        session=params.session,
        joined_at=now,
        left_at=None,
        beat_at=now,
        beat_interval_us=every_us,
        silent_at=_silent_at(known, now, every_us, timers),
        capabilities=kept,
        **BACK,
    )
    if known.process in ENDED:  # it speaks itself, so another process of it runs
        after = structs.replace(after, **UNSAID)
    after = put_agent(draft, after)
    if params.session != known.session or known.left_at is not None:
        draft.fact(after, "joined", capabilities=list(kept), leases=after.leases)
        draft.wake("assigner")
    return draft.changes(_sync(view, after, now, notices))


def leave(view: View, now: int, agent: str, params: LeaveParams, *, timers: Timers) -> Changes:
    """Take an agent's word that it goes; it keeps its leases, and their clocks judge it."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    known = _known(view, agent)
    if params.session is not None and params.session != known.session:
        raise StaleSessionError(f"another session speaks for {known.name} now")
    if known.left_at is None:
        ended = UNSAID if known.process in ENDED else {}
        after = structs.replace(known, left_at=now, silent_at=None, **BACK, **ended)
        draft.fact(put_agent(draft, after), "left", leases=known.leases)
    return draft.changes(LeaveResult(leases=known.leases))


def beat(view: View, now: int, agent: str, beat: Beat, *, at: int, timers: Timers) -> Changes:
    """Note a beat; it is answered only when it is wrong."""
    known = view.agents.get(agent.lower())
    if known is None or not known.active:
        raise RejoinRequiredError(f"there is no active agent {agent}")
    if known.name != agent:
        raise RejoinRequiredError(misspelt(agent, known.name))
    if known.joined_at is None or known.left_at is not None:
        raise RejoinRequiredError(f"{known.name} has not joined")
    if beat.session is not None and beat.session != known.session:
        raise RejoinRequiredError(f"another session speaks for {known.name} now")
    if known.process in ENDED:  # it may have been sent before the end
        raise RejoinRequiredError(f"{known.machine} says that the process of {known.name} ended")
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers)
    heard_at = heard(known.beat_at, at, now)
    every_us = interval_us(beat.interval_s)
    put_agent(
        draft,
        structs.replace(
            known,
            beat_at=heard_at,
            beat_interval_us=every_us,
            silent_at=_silent_at(known, heard_at, every_us, timers),
            **BACK,
        ),
    )
    if known.suspect_at is not None:
        draft.wake("assigner")
    return draft.changes()


def sync(view: View, agent: str, now: int, *, notices: Sequence[NoticeRow] = ()) -> SyncView:
    """Return all that an agent has to know after it was away."""
    return _sync(view, _known(view, agent), now, notices)


def next_owed(view: View, agent: str, now: int) -> NextResult:
    """Return the most urgent lease that owes an answer, or none."""
    known = _known(view, agent)
    due = [row for row in _held(view, known) if owed(row, now)]
    if not due:
        return NextResult(status="none", retry=known.active)
    first = min(due, key=lambda row: (view.tasks[row.task_id].priority, row.deadline_at or 0, row.id))
    return NextResult(status="due", lease=_lease(view, first, now))


def _known(view: View, name: str) -> Agent:
    found = view.agents.get(name.lower())
    if found is None or not found.active:
        raise NotFoundError(f"there is no active agent {name}")
    if found.name != name:
        raise NotFoundError(misspelt(name, found.name))
    return found


def _silent_at(agent: Agent, at: int, interval_us: int, timers: Timers) -> int | None:
    return at + timers.beat_misses * interval_us if agent.beats == "required" else None


def _sync(view: View, agent: Agent, now: int, notices: Sequence[NoticeRow]) -> SyncView:
    told = (
        Notice(kind=row.kind, assignment=row.assignment_id, text=row.text, at=instant(row.at))
        for row in notices
    )
    return SyncView(
        incarnation=view.incarnation,
        agent=agent.name,
        session=agent.session,
        leases=tuple(_lease(view, row, now) for row in _held(view, agent)),
        notices=tuple(told),
    )


def _held(view: View, agent: Agent) -> list[Assignment]:
    rows = (row for row in view.assignments.values() if row.agent == agent.name)
    return sorted((row for row in rows if row.status in OPEN_STATUSES), key=lambda row: row.id)


def _lease(view: View, row: Assignment, now: int) -> Lease:
    task = view.tasks[row.task_id]
    ping = ping_message(row, task, view.incarnation, now) if owed(row, now) else None
    return Lease(
        assignment=row.id,
        task=row.task_id,
        title=task.title,
        epoch=row.epoch,
        status=row.status,
        accept_by=None if row.accept_by is None else instant(row.accept_by),
        progress_by=None if row.progress_by is None else instant(row.progress_by),
        snooze_until=None if row.snooze_until is None else instant(row.snooze_until),
        ping=ping,
        description="" if ping else task.description,  # it is long: said once
        note=row.note,
        wait_kind=row.wait_kind,
        wait_who=row.wait_who,
        resume_at=None if row.resume_at is None else instant(row.resume_at),
    )
