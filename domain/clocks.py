"""Which clock of an assignment has run out, holds and answers on their way taken into account."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from contracts.records import Assignment, Hold
from contracts.work import View
from domain.timers import MINUTE_US, Timers
from domain.waits import ends_by_itself

Clock = Literal[
    "accept_by_missed", "progress_by_missed", "repeat_due", "wait_over", "wait_limit_missed", "snooze_over"
]


class Running(Struct, frozen=True):
    """The one clock that an open assignment's status runs, and when it is really due."""

    event: Clock
    due_at: int
    judged_at: int  # later than due while answers are on their way, or the offer on its own


def running(row: Assignment, view: View, now: int, timers: Timers) -> Running | None:
    """Return the running clock, or None for a row that is flagged and runs none."""
    if row.snooze_until is not None:
        return Running("snooze_over", row.snooze_until, row.snooze_until)
    if row.wait_until is not None:
        if ends_by_itself(row):
            return Running("wait_over", row.wait_until, row.wait_until)
        due = held_up(row.wait_until, row.wait_until - timers.wait_limit_us, view.holds)
        return Running("wait_limit_missed", due, _judged_at(due, view, now, timers))
    clock = row.accept_by or row.progress_by
    if clock is None:
        return None
    due = held_up(clock, clock - _length(row, timers), view.holds)
    return Running(_missed(row), due, _judged_at(due, view, now, timers, asked=not never_asked(row)))


def warning(row: Assignment, view: View, now: int, timers: Timers) -> int | None:
    """Return when an acknowledged lease may be found stalled; None when it is, or works on no clock."""
    if row.warn_by is None:
        return None
    due = held_up(row.warn_by, row.warn_by - row.warn_us, view.holds)
    return _judged_at(due, view, now, timers)


def unreachable(row: Assignment, view: View, now: int, timers: Timers) -> int | None:
    """Return when the holder may be found unreachable: it may have answered; None while it can be told."""
    return None if row.unreachable_at is None else _judged_at(row.unreachable_at, view, now, timers)


def _judged_at(due: int, view: View, now: int, timers: Timers, *, asked: bool = True) -> int:
    """Return when a promise may be found missed: an answer, or word of an outage, may be on its way."""
    if view.answers_until is not None and due <= view.answers_until and asked:
        return due
    # whoever is not asked for long, because no ping may reach it, is looked at less and less often
    pause_us = timers.recheck_us if asked else max(timers.recheck_us, min(now - due, MINUTE_US))
    return max(due, now + pause_us)


def never_asked(row: Assignment) -> bool:
    """Tell whether an offer's first ping is still to be sent; its clock begins anew with it."""
    return row.status == "pending" and row.pings_enabled and row.attempt == 0 and not row.repeats


def held_up(clock: int, start: int, holds: Sequence[Hold]) -> int:
    """Return the clock moved by the time in which the bus was down while it ran."""
    for hold in sorted(holds, key=lambda hold: hold.start_at):
        begins = max(hold.start_at, start)
        if begins < clock and hold.end_at > begins:
            clock += hold.end_at - begins
            start = hold.end_at
    return clock


def _missed(row: Assignment) -> Clock:
    if row.repeats or row.exhausted:
        return "repeat_due"
    return "accept_by_missed" if row.status == "pending" else "progress_by_missed"


def _length(row: Assignment, timers: Timers) -> int:
    """Return how long the running clock runs at most: its start may be taken for too early, not too late."""
    if row.repeats:
        return timers.repeat_us(row.repeats)
    whole = row.accept_us if row.status == "pending" else row.act_us + timers.defer_us * row.deferred
    return max(whole, timers.resume_min_us)
