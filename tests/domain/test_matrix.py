"""Every event in every status, as one table."""

import pytest
from msgspec import structs

from contracts import messages
from contracts.codec import instant
from contracts.errors import AlreadyFinalError, NotAllowedNowError
from contracts.records import Assignment, AssignmentStatus
from domain.assignment import Event, apply, kind, settle
from domain.matrix import EVENTS, STATUSES, TABLE, Target, target
from domain.timers import MINUTE_US, Timers

TIMERS = Timers()
T0 = 1_800_000_000_000_000
NOW = T0 + 12 * MINUTE_US

# A dot is a refusal. `back` returns to pending or acknowledged, `~` stays, `=` stays and changes nothing.
MATRIX = """
                    pending       acknowledged  waiting       snoozed       completed  failed
ack                 acknowledged  =             =             acknowledged  .          .
progress            acknowledged  ~             .             .             .          .
wait                waiting       waiting       .             .             .          .
resume              .             =             acknowledged  .             .          .
snooze              snoozed       snoozed       .             .             .          .
unsnooze            =             =             .             back          .          .
decline             declined      .             .             declined      .          .
complete            completed     completed     completed     completed     .          .
fail                failed        failed        failed        failed        .          .
release             released      released      released      released      .          .
handoff             superseded    superseded    superseded    superseded    .          .
cancel              cancelled     cancelled     cancelled     cancelled     .          .
reassign            superseded    superseded    superseded    superseded    .          .
accept_by_missed    timed_out     .             .             .             .          .
progress_by_missed  .             timed_out     .             .             .          .
unreachable         unreachable   unreachable   .             .             .          .
warn_missed         .             ~             .             .             .          .
wait_over           .             .             acknowledged  .             .          .
wait_limit_missed   .             .             ~             .             .          .
snooze_over         .             .             .             back          .          .
due_missed          ~             ~             ~             ~             .          .
repeat_due          ~             ~             .             .             .          .
lost                lost          lost          lost          lost          .          .
"""
SAID: dict[str, messages.Answer] = {
    "ack": messages.Ack(),
    "progress": messages.Progress(note="half done"),
    "wait": messages.Wait(on="human"),
    "resume": messages.Resume(),
    "snooze": messages.Snooze(minutes=10),
    "unsnooze": messages.Unsnooze(),
    "decline": messages.Decline(),
    "complete": messages.Complete(),
    "fail": messages.Fail(),
    "release": messages.Release(),
}


def cells() -> list[tuple[str, AssignmentStatus, str]]:
    head, *lines = MATRIX.strip().splitlines()
    assert tuple(head.split()) == STATUSES
    return [
        (event, status, cell)
        for event, *found in (line.split() for line in lines)
        for status, cell in zip(STATUSES, found, strict=True)
    ]


def a_row(status: AssignmentStatus, *, accepted: bool | None = None) -> Assignment:
    """Return a row as it would stand in this status twelve minutes after it was made."""
    row = Assignment(
        id=7,
        task_id=3,
        agent="a1",
        epoch=1,
        round=1,
        assigned_at=T0,
        accept_us=TIMERS.accept_sub_us,
        warn_us=TIMERS.warn_us,
        act_us=TIMERS.act_us,
        accept_by=T0 + TIMERS.accept_sub_us,
        due_at=T0 + 100 * MINUTE_US,
        ping_interval_us=TIMERS.ping_interval_us,
        ping_at=T0,
        original_agent="a1",
    )
    row = settle(row)
    if accepted if accepted is not None else status in ("acknowledged", "waiting"):
        row = apply(row, messages.Ack(), T0, TIMERS)
    then: dict[AssignmentStatus, Event] = {
        "waiting": messages.Wait(on="lock"),
        "snoozed": messages.Snooze(),
        "completed": messages.Complete(),
        "failed": messages.Fail(),
    }
    return apply(row, then[status], T0, TIMERS) if status in then else row


def event_of(name: str) -> Event:
    found: Event = SAID.get(name, name)  # type: ignore[arg-type]
    return found


def test_the_table_has_every_event_and_status() -> None:
    assert {(event, status) for event, status, _ in cells()} == {(e, s) for e in EVENTS for s in STATUSES}
    assert set(TABLE) == set(EVENTS)
    assert {kind(event_of(name)) for name in EVENTS} == set(EVENTS)


@pytest.mark.parametrize(("event", "status", "cell"), cells())
def test_cell(event: str, status: AssignmentStatus, cell: str) -> None:
    row = a_row(status)
    if cell == ".":
        with pytest.raises((NotAllowedNowError, AlreadyFinalError)) as refused:
            apply(row, event_of(event), NOW, TIMERS)
        assert refused.value.status == 409
        assert refused.value.state["status"] == status
        if status in ("completed", "failed"):
            assert refused.value.code == "already_final"
            assert refused.value.state["end_reason"] == row.end_reason
        else:
            assert refused.value.code == "not_allowed_now"
            may = [said for said in SAID if status in TABLE[kind(SAID[said])]]
            assert refused.value.state["allowed"] == may
        return
    after = apply(row, event_of(event), NOW, TIMERS)
    match cell:
        case "=":
            assert after is row
        case "~":
            assert after != row
            assert after.status == status
        case "back":
            assert after.status == "pending"
            assert apply(a_row(status, accepted=True), event_of(event), NOW, TIMERS).status == "acknowledged"
        case "acknowledged" | "waiting" | "snoozed":
            assert after.status == cell
        case _:
            assert after.end_reason == cell
            assert after.status == ("completed" if cell == "completed" else "failed")
            assert (after.ended_at, after.deadline_at, after.ping_at) == (NOW, None, None)


@pytest.mark.parametrize(("event", "status", "cell"), cells())
def test_what_the_table_says_is_what_happens(event: str, status: AssignmentStatus, cell: str) -> None:
    if cell == ".":
        return
    leads: Target = target(a_row(status), kind(event_of(event)))
    expected = {
        "=": {"already"},
        "~": {"same"},
        "back": {"restored"},
        "timed_out": {"policy"},
        "unreachable": {"policy"},
    }
    assert leads in expected.get(cell, {cell, "failed"})


@pytest.mark.parametrize("what", ["progress", "wait", "complete", "fail", "release"])
def test_these_imply_acceptance(what: str) -> None:
    assert apply(a_row("pending"), SAID[what], NOW, TIMERS).accepted_at == NOW


@pytest.mark.parametrize("what", ["complete", "fail", "release"])
def test_an_end_keeps_the_time_of_acceptance(what: str) -> None:
    assert apply(a_row("acknowledged"), SAID[what], NOW, TIMERS).accepted_at == T0


def test_decline_and_cancel_imply_none() -> None:
    assert apply(a_row("pending"), messages.Decline(), NOW, TIMERS).accepted_at is None
    assert apply(a_row("pending"), "cancel", NOW, TIMERS).accepted_at is None


def test_any_change_ends_a_quarantine_and_sets_the_clocks() -> None:
    row = structs.replace(a_row("pending"), quarantined="it threw", deadline_at=None, ping_at=None)
    after = apply(row, messages.Ack(), NOW, TIMERS)
    assert after.quarantined is None
    assert (after.deadline_at, after.progress_by) == (NOW + TIMERS.warn_us, NOW + TIMERS.act_us)


def test_a_wait_may_name_its_end() -> None:
    at = NOW + 90 * MINUTE_US
    after = apply(a_row("pending"), messages.Wait(on="lock", resume_at=instant(at)), NOW, TIMERS)
    assert (after.resume_at, after.wait_until) == (at, at + TIMERS.wait_grace_us)
