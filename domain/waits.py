"""Waits: when each is over or has been too long, which is told whom, and how a rate limit is waited for."""

from msgspec import structs

from contracts.codec import micros
from contracts.errors import InvalidError
from contracts.limits import WAIT_DAYS_MAX
from contracts.messages import Wait
from contracts.records import Assignment
from domain.timers import MINUTE_US, Timers

WAIT_US_MAX = WAIT_DAYS_MAX * 24 * 60 * MINUTE_US
BACKOFFS_MAX = 1_000
JITTER_SHARE = 10  # at most a tenth of the wait


def begun(row: Assignment, event: Wait, at: int, timers: Timers) -> Assignment:
    """Return an accepted row that waits: its progress clock stands still, and the clock of the wait runs."""
    resume_at = None if event.resume_at is None else max(micros(event.resume_at), at)
    if resume_at is not None and resume_at - at > WAIT_US_MAX:
        raise InvalidError(
            f"a wait ends within {WAIT_DAYS_MAX} days",
            fields={"resume_at": f"more than {WAIT_DAYS_MAX} days ahead"},
        )
    limited = event.on == "rate_limit"
    backoffs = min(row.backoffs + 1, BACKOFFS_MAX) if limited and resume_at is None else 0
    if backoffs:
        until = at + timers.wait_backoff_us(backoffs)  # a pause, and no promise: nobody stated an end
    elif resume_at is None:
        until = at + timers.wait_limit_us
    else:
        until = resume_at if limited else resume_at + timers.wait_grace_us
    return structs.replace(
        row,
        status="waiting",
        paused_us=max(0, (row.progress_by or at) - at),
        progress_by=None,
        warn_by=None,
        stalled=False,
        wait_kind=event.on,
        wait_who=event.who,
        wait_reason=event.reason,
        resume_at=resume_at,
        wait_until=until,
        backoffs=backoffs,
    )


def ends_by_itself(row: Assignment) -> bool:
    """Tell whether a wait is over when its clock has run out; else somebody is told that it goes on."""
    return row.resume_at is not None or row.backoffs > 0


def spread(row: Assignment, at: int, lot: float, timers: Timers) -> Assignment:
    """Return a row that waits a little longer, by lot: a whole fleet shall not try again at one instant."""
    if row.wait_until is None:
        return row
    most = min((row.wait_until - at) // JITTER_SHARE, timers.jitter_max_us)
    return structs.replace(row, wait_until=row.wait_until + int(lot * most))


def too_long(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return a row whose wait was found too long: once more told, and flagged when that was the last time."""
    notices = min(row.wait_notices + 1, timers.wait_notices_max)
    return structs.replace(
        row,
        wait_notices=notices,
        wait_until=at + timers.wait_limit_us,
        exhausted=notices == timers.wait_notices_max,
    )


def limits_passed(row: Assignment, timers: Timers) -> int:
    """Return which wait-limit the pauses of a row came to with the last one, counted from 1; 0: to none."""
    waited_us = sum(timers.wait_backoff_us(number) for number in range(1, row.backoffs + 1))
    before_us = waited_us - timers.wait_backoff_us(row.backoffs) if row.backoffs else 0
    passed = waited_us // timers.wait_limit_us
    return passed if passed > before_us // timers.wait_limit_us else 0
