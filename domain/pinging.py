"""When an agent is pinged, and what is owed."""

from msgspec import structs

from contracts.records import Assignment, PingRow
from contracts.work import Changes, View
from domain import deliveries
from domain.assignment import settle
from domain.clocks import never_asked
from domain.draft import Draft
from domain.leases import unanswered
from domain.timers import Timers


def owed(row: Assignment, now: int) -> bool:
    """Tell whether the holder owes an answer: to the offer, to a ping, or because it is time to ask."""
    if row.status == "pending":
        return True
    due = row.ping_at is not None and row.ping_at <= now
    return row.status == "acknowledged" and (due or unanswered(row))


def ping(view: View, assignment_id: int, now: int, timers: Timers) -> Changes:
    """Send the ping that is due and set the time of the next; its record is the history, not a fact."""
    draft = Draft(view, now, actor="rollcall:pinger", timers=timers)
    row = draft.assignment(assignment_id)
    if row.ping_at is None or row.ping_at > now:
        return draft.changes()
    attempt = row.attempt + 1
    after = structs.replace(
        row,
        attempt=attempt,
        last_ping_at=now,
        ping_at=_next(row, attempt, now, timers),
        accept_by=_accept_by(row, now, timers),
    )
    after = settle(after) if after.accept_by != row.accept_by else after
    task = structs.replace(draft.task(row.task_id), last_ping_at=now)
    draft.put(after)
    draft.put(task)
    draft.ping(
        PingRow(
            assignment_id=row.id,
            attempt=attempt,
            agent=row.agent,
            incarnation=view.incarnation,
            due_at=row.ping_at,
            sent_at=now,
        )
    )
    draft.post_ping(after, task)
    deliveries.queue(draft, after)
    return draft.changes()


def restate(view: View, assignment_id: int, now: int, timers: Timers) -> Changes:
    """Say the newest word again: an older one, late on its way, may have come after it.

    A withdrawal goes out anew, under an id of its own; what is still to be answered is asked as the next
    attempt, so that no attempt is heard twice.
    """
    draft = Draft(view, now, actor="rollcall:pinger", timers=timers)
    row = draft.assignment(assignment_id)
    if row.restate_at is None:
        return draft.changes()
    after = structs.replace(row, restate_at=None)
    if not unanswered(row):
        draft.put(after)
        task = draft.task(row.task_id)
        draft.withdraw(after, task.agent if row.ended_at is not None else None)
    else:
        asks = row.pings_enabled and not row.quarantined  # else whoever puts the row back asks anew
        draft.put(structs.replace(after, ping_at=now) if asks else after)
        draft.wake("pinger")
    return draft.changes()


def _accept_by(row: Assignment, now: int, timers: Timers) -> int | None:
    """Return the clock of the offer: nobody is judged on a promise before it was asked for."""
    if row.accept_by is None or not never_asked(row):
        return row.accept_by
    whole = now + row.accept_us
    return whole if whole - row.accept_by > timers.recheck_us else row.accept_by


def _next(row: Assignment, attempt: int, now: int, timers: Timers) -> int | None:
    if row.repeats or row.exhausted:
        return None  # the escalator's repeats set the pace
    if row.status == "pending" and attempt == 1:
        return now + min(timers.ping_first_us, row.ping_interval_us)
    return now + row.ping_interval_us
