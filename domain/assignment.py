"""What each event does to an assignment: its status, its clocks, its pings. Pure rows, no effects."""

from typing import Any, assert_never

from msgspec import structs

from contracts.errors import NotAllowedNowError, SnoozeLimitError
from contracts.messages import (
    Ack,
    Answer,
    Complete,
    Decline,
    Fail,
    Progress,
    Release,
    Resume,
    Snooze,
    Unsnooze,
    Wait,
)
from contracts.records import Assignment, EndReason
from domain import waits
from domain.matrix import END_REASONS, TABLE, Said, Word, target
from domain.timers import Timers

__all__ = [
    "TABLE",
    "Event",
    "acked_for",
    "answered_for",
    "apply",
    "extended",
    "given_up",
    "kind",
    "repeated",
    "settle",
    "snoozed_for",
]

Event = Answer | Word


def kind(event: Event) -> Said | Word:
    """Return the event's name in the table."""
    found: Any = event if isinstance(event, str) else type(event).__struct_config__.tag
    name: Said | Word = found
    return name


def apply(row: Assignment, event: Event, at: int, timers: Timers) -> Assignment:
    """Return the row after the event, or raise why it may not be; an unchanged row is returned as it is."""
    after = _applied(row, event, at, timers)
    if after is row and row.exhausted:  # it says nothing new, but somebody is there
        return settle(_found_again(row, at, timers))
    return after


def _applied(row: Assignment, event: Event, at: int, timers: Timers) -> Assignment:
    leads = target(row, kind(event))
    if isinstance(event, Ack) and row.status == "acknowledged":
        return _still_here(row, event, at, timers)
    if leads == "already":
        return row
    if isinstance(event, str):
        return _happened(row, event, at, timers)
    return _answered(row, event, at, timers)


def _answered(row: Assignment, event: Answer, at: int, timers: Timers) -> Assignment:
    match event:
        case Ack():
            return settle(_accepted(_heard(row), at, timers))
        case Progress():
            return _progressed(row, event, at, timers)
        case Wait():
            heard = _heard(row)
            taken = heard if row.status == "acknowledged" else _accepted(heard, at, timers)
            return settle(waits.begun(taken, event, at, timers))
        case Snooze():
            return settle(_snoozed(_heard(row), event, at, timers))
        case Resume():
            return settle(_running(_heard(row), at, timers))
        case Unsnooze():
            return settle(_restored(_heard(row), at, timers))
        case Decline():
            return _ended(_heard(row), at, "declined")
        case Complete() | Fail() | Release():
            taken = row if row.accepted_at is not None else structs.replace(row, accepted_at=at)
            return _ended(_heard(taken), at, END_REASONS[kind(event)])
        case _:
            assert_never(event)


def _happened(row: Assignment, event: Word, at: int, timers: Timers) -> Assignment:
    match event:
        case (
            "handoff"
            | "cancel"
            | "reassign"
            | "accept_by_missed"
            | "progress_by_missed"
            | "unreachable"
            | "lost"
        ):
            return _ended(row, at, END_REASONS[event])
        case "wait_over":
            return settle(structs.replace(_running(row, at, timers), ping_at=at))
        case "snooze_over":
            return settle(structs.replace(_restored(row, at, timers), ping_at=at))
        case "wait_limit_missed":
            return settle(waits.too_long(row, at, timers))
        case "due_missed":
            return settle(structs.replace(row, due_at=None))
        case "warn_missed":
            return settle(structs.replace(row, warn_by=None, stalled=True))
        case "repeat_due":
            return repeated(row, at, timers)
        case _:
            assert_never(event)


def settle(row: Assignment) -> Assignment:
    """Return the row with the two due columns that follow from its clocks, and out of quarantine."""
    clocks = (
        row.accept_by,
        row.progress_by,
        row.warn_by,
        row.wait_until,
        row.snooze_until,
        row.due_at,
        row.unreachable_at,
    )
    pinged = row.pings_enabled and row.status in ("pending", "acknowledged")
    return structs.replace(
        row,
        deadline_at=min((clock for clock in clocks if clock is not None), default=None),
        ping_at=row.ping_at if pinged else None,
        quarantined=None,
    )


def extended(row: Assignment, at: int) -> Assignment:
    """Return the row with a fresh clock: somebody was told, and its holder gets as long again."""
    return settle(_clocked(row, at + (row.accept_us if row.status == "pending" else row.act_us)))


def acked_for(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return the row when an operator says that somebody has it in hand: heard, on a fresh clock."""
    if row.status == "snoozed":
        raise NotAllowedNowError(f"assignment {row.id} is snoozed: nobody is asked now", status=row.status)
    warn_by = at + row.warn_us if row.status == "acknowledged" else None
    return settle(structs.replace(_found_again(row, at, timers), stalled=False, warn_by=warn_by))


def snoozed_for(row: Assignment, minutes: int, at: int, timers: Timers) -> Assignment:
    """Return the row when an operator lets its holder be asked again later: its own snoozes stay its own."""
    target(row, "snooze")
    rested = _snoozed(structs.replace(_heard(row), snoozes=0), Snooze(minutes=minutes), at, timers)
    return settle(structs.replace(rested, snoozes=row.snoozes, snooze_reason=None))


def answered_for(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return the row when an operator has said what its holder waits for."""
    if target(row, "resume") == "already":
        raise NotAllowedNowError(
            f"assignment {row.id} is {row.status}: nobody waits for an answer", status=row.status
        )
    return settle(_running(_heard(row), at, timers))


def repeated(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return the row when repeats begin or one is due: pinged when due, exhausted after the last."""
    number = row.repeats + 1
    after = structs.replace(
        _clocked(row, at + timers.repeat_us(number)),
        repeats=min(number, len(timers.repeats_us) + 1),
        exhausted=row.exhausted or number > len(timers.repeats_us),
    )
    begins = row.repeats == 0 and not after.exhausted
    return settle(structs.replace(after, ping_at=None if begins else at))


def given_up(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return the row flagged at once: nobody is left to turn to, its holder is pinged at the slowest pace."""
    last = len(timers.repeats_us) + 1
    fresh = row.last_ping_at is not None and at - row.last_ping_at < timers.ping_first_us
    flagged = structs.replace(row, exhausted=True, repeats=last, ping_at=None if fresh else at)
    return settle(_clocked(flagged, at + timers.repeat_us(last)))


def _clocked(row: Assignment, by: int) -> Assignment:
    if row.status == "pending":
        return structs.replace(row, accept_by=by, unreachable_at=None)
    return structs.replace(row, progress_by=by, unreachable_at=None)


def _heard(row: Assignment) -> Assignment:
    """Return the row with every ping so far answered, and nobody given up on."""
    return structs.replace(
        row,
        answered_attempt=row.attempt,
        repeats=0,
        exhausted=False,
        wait_notices=0,
        unreachable_at=None,
    )


def _found_again(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return an exhausted row whose holder was heard: no longer flagged, on the usual clock of its status."""
    heard = _heard(row)
    if row.status == "waiting":
        return structs.replace(heard, wait_until=at + timers.wait_limit_us)
    asks_us = row.ping_interval_us if row.status == "pending" else row.warn_us
    whole_us = row.accept_us if row.status == "pending" else row.act_us
    return structs.replace(_clocked(heard, at + whole_us), ping_at=at + asks_us, deferred=False)


def _still_here(row: Assignment, event: Ack, at: int, timers: Timers) -> Assignment:
    """Return the row after an ack of an accepted assignment: a newer ping's answer moves the act once."""
    if row.exhausted or min(event.attempt or 0, row.attempt) <= row.answered_attempt:
        return row
    by = row.progress_by
    if by is not None and not row.deferred:
        by += timers.defer_us
    ping_at = row.ping_at if row.ping_at is not None else at + row.ping_interval_us
    return settle(structs.replace(_heard(row), progress_by=by, deferred=True, ping_at=ping_at))


def _accepted(row: Assignment, at: int, timers: Timers) -> Assignment:
    if row.accepted_at is not None:
        return _running(row, at, timers)
    return structs.replace(
        row,
        status="acknowledged",
        accepted_at=at,
        accept_by=None,
        snooze_until=None,
        paused_us=None,
        progress_by=at + row.act_us,
        warn_by=at + row.warn_us,
        ping_at=at + row.warn_us,
    )


def _progressed(row: Assignment, event: Progress, at: int, timers: Timers) -> Assignment:
    note = event.note.strip()
    real = bool(note) and note != row.note
    if row.status == "acknowledged" and not real:
        return row  # the same words again are no progress
    after = _accepted(_heard(row), at, timers) if row.status == "pending" else _heard(row)
    if real:
        after = structs.replace(
            after,
            note=note,
            progressed_at=at,
            deferred=False,
            progress_by=at + row.act_us,
            warn_by=at + row.warn_us,
            stalled=False,
            backoffs=0,
            ping_at=at + row.warn_us,
        )
    return settle(after)


def _snoozed(row: Assignment, event: Snooze, at: int, timers: Timers) -> Assignment:
    if row.snoozes >= timers.snoozes_max:
        raise SnoozeLimitError(
            f"assignment {row.id} was snoozed {row.snoozes} times", status=row.status, snoozes=row.snoozes
        )
    return structs.replace(
        row,
        status="snoozed",
        paused_us=_left(row.accept_by if row.accepted_at is None else row.progress_by, at),
        accept_by=None,
        progress_by=None,
        warn_by=None,
        stalled=False,
        snooze_until=at + event.minutes * timers.minute_us,
        snoozes=row.snoozes + 1,
        snooze_reason=event.reason,
    )


def _restored(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return a snoozed row as it was before: accepted or not, what remained of its clock runs on."""
    if row.accepted_at is not None:
        return _running(row, at, timers)
    return structs.replace(
        row,
        status="pending",
        accept_by=at + max(row.paused_us or 0, timers.resume_min_us),
        snooze_until=None,
        paused_us=None,
        ping_at=at,
    )


def _running(row: Assignment, at: int, timers: Timers) -> Assignment:
    """Return an accepted row at work again, with what remained of its clock, at least a little."""
    by = at + max(row.paused_us or 0, timers.resume_min_us)
    return structs.replace(
        row,
        status="acknowledged",
        progress_by=by,
        warn_by=max(at, by - row.act_us + row.warn_us),
        ping_at=max(at, by - row.act_us + row.warn_us),
        paused_us=None,
        snooze_until=None,
        wait_until=None,
        wait_kind=None,
        wait_who=None,
        wait_reason=None,
        resume_at=None,
    )


def _ended(row: Assignment, at: int, reason: EndReason) -> Assignment:
    return settle(
        structs.replace(
            row,
            status="completed" if reason == "completed" else "failed",
            end_reason=reason,
            ended_at=at,
            accept_by=None,
            progress_by=None,
            warn_by=None,
            stalled=False,
            wait_until=None,
            snooze_until=None,
            due_at=None,
            paused_us=None,
            exhausted=False,
            unreachable_at=None,
        )
    )


def _left(clock: int | None, at: int) -> int:
    return max(0, (clock or at) - at)
