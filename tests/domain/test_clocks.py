"""What runs, what is paused, what is owed, and what a hold adds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contracts.codec import instant
from contracts.errors import InvalidError, SnoozeLimitError
from contracts.limits import WAIT_DAYS_MAX
from contracts.messages import Ack, Complete, Progress, Resume, Snooze, Unsnooze, Wait
from contracts.records import Assignment, Hold
from domain.assignment import Event, apply, extended, given_up, repeated
from domain.clocks import held_up, running
from domain.pinging import owed
from domain.timers import MINUTE_US, SECOND_US, Timers
from domain.wording import because, length
from tests.domain.test_matrix import NOW, T0, TIMERS, a_row
from tests.domain.world import World


def minutes(at: int | None) -> float | None:
    return None if at is None else (at - T0) / MINUTE_US


def test_an_offer_runs_accept_by_and_is_asked_about_at_once() -> None:
    row = a_row("pending")
    assert (minutes(row.accept_by), minutes(row.deadline_at), minutes(row.ping_at)) == (30, 30, 0)


def test_acceptance_runs_progress_by_and_asks_at_the_warning() -> None:
    row = apply(a_row("pending"), Ack(attempt=1), NOW, TIMERS)
    assert (row.accept_by, minutes(row.progress_by), minutes(row.ping_at)) == (None, 42, 22)


def test_the_due_date_is_a_deadline_too_until_it_was_noticed() -> None:
    row = structs.replace(a_row("pending"), due_at=T0 + 20 * MINUTE_US)
    row = apply(row, Ack(), T0, TIMERS)
    assert minutes(row.deadline_at) == 10
    row = apply(row, "warn_missed", NOW, TIMERS)
    assert minutes(row.deadline_at) == 20
    assert minutes(apply(row, "due_missed", NOW, TIMERS).deadline_at) == 30


def test_no_progress_until_the_warning_is_stalled_and_progress_wait_or_snooze_ends_that() -> None:
    row = apply(a_row("acknowledged"), "warn_missed", NOW, TIMERS)
    assert (row.stalled, row.warn_by, minutes(row.deadline_at), row.status) == (
        True,
        None,
        30,
        "acknowledged",
    )
    assert apply(row, Ack(attempt=0), NOW, TIMERS).stalled  # it is still there, and still does not get on
    assert apply(row, Progress(note=""), NOW, TIMERS).stalled
    for what in (Progress(note="on"), Wait(on="human"), Snooze(), Complete(), "cancel"):
        after = apply(row, what, NOW, TIMERS)
        assert not after.stalled
        assert (after.warn_by is not None) == (after.status == "acknowledged")
    back = apply(apply(row, Wait(on="human"), NOW, TIMERS), Resume(), NOW, TIMERS)
    assert (minutes(back.warn_by), back.stalled) == (12, False)


def test_only_a_new_note_is_progress() -> None:
    row = apply(a_row("acknowledged"), Progress(note="a"), NOW, TIMERS)
    assert (minutes(row.progress_by), minutes(row.ping_at), row.note) == (42, 22, "a")
    for note in ("a", " a ", "", "  "):
        assert apply(row, Progress(note=note), NOW + 5, TIMERS) is row
    assert apply(row, Progress(note="b"), NOW + 5, TIMERS).progress_by == NOW + 5 + TIMERS.act_us


def test_an_empty_note_accepts_and_notes_nothing() -> None:
    row = apply(a_row("pending"), Progress(note=" "), NOW, TIMERS)
    assert (row.status, row.note, row.progressed_at) == ("acknowledged", None, None)


def test_still_here_defers_once_until_there_is_progress() -> None:
    row = structs.replace(a_row("acknowledged"), attempt=2, answered_attempt=1)
    here = apply(row, Ack(attempt=2), NOW, TIMERS)
    assert (minutes(here.progress_by), here.deferred, here.answered_attempt) == (45, True, 2)
    again = apply(structs.replace(here, attempt=3), Ack(attempt=3), NOW, TIMERS)
    assert (minutes(again.progress_by), again.answered_attempt) == (45, 3)
    assert not apply(again, Progress(note="on"), NOW, TIMERS).deferred


@pytest.mark.parametrize("attempt", [None, 0, 1])
def test_an_ack_of_what_was_answered_says_nothing_new(attempt: int | None) -> None:
    row = structs.replace(a_row("acknowledged"), attempt=2, answered_attempt=1)
    assert apply(row, Ack(attempt=attempt), NOW, TIMERS) is row


def test_an_ack_cannot_answer_a_ping_that_was_never_sent() -> None:
    row = structs.replace(a_row("acknowledged"), attempt=1, answered_attempt=1)
    assert apply(row, Ack(attempt=99), NOW, TIMERS) is row


def test_still_here_in_a_repeat_brings_back_the_usual_pings() -> None:
    row = repeated(structs.replace(a_row("acknowledged"), attempt=2), NOW, TIMERS)
    assert row.ping_at is None
    here = apply(row, Ack(attempt=2), NOW, TIMERS)
    assert (here.repeats, here.ping_at) == (0, NOW + row.ping_interval_us)


def test_a_row_without_a_progress_clock_is_only_heard() -> None:
    row = structs.replace(a_row("acknowledged"), attempt=2, progress_by=None)
    assert apply(row, Ack(attempt=2), NOW, TIMERS).progress_by is None


@pytest.mark.parametrize(
    ("row", "what", "asks"),
    [
        (a_row("pending"), Unsnooze(), 30),
        (a_row("acknowledged"), Ack(), 10),
        (a_row("acknowledged"), Ack(attempt=2), 10),
        (a_row("acknowledged"), Resume(), 10),
        (a_row("acknowledged"), Progress(note="as before"), 10),
    ],
)
def test_any_answer_takes_the_flag_and_brings_the_usual_clock(
    row: Assignment, what: Event, asks: int
) -> None:
    usual = structs.replace(row, attempt=2, note="as before", deferred=True)
    if what != Ack(attempt=2):
        assert apply(usual, what, NOW, TIMERS) is usual
    after = apply(given_up(usual, NOW, TIMERS), what, NOW, TIMERS)
    assert (after.exhausted, after.repeats, after.answered_attempt) == (False, 0, 2)
    assert (after.accept_by or after.progress_by) == NOW + 30 * MINUTE_US
    assert (after.ping_at, after.status) == (NOW + asks * MINUTE_US, row.status)
    assert not after.deferred


def test_an_answer_to_a_flagged_wait_begins_its_notices_anew() -> None:
    row = a_row("waiting")
    for _ in range(4):
        row = apply(row, "wait_limit_missed", NOW, TIMERS)
    after = apply(row, Ack(), NOW + MINUTE_US, TIMERS)
    assert (after.status, after.exhausted, after.wait_notices) == ("waiting", False, 0)
    assert after.wait_until == NOW + MINUTE_US + TIMERS.wait_limit_us
    assert apply(after, Ack(), NOW + 2 * MINUTE_US, TIMERS) is after


@pytest.mark.parametrize("accepted", [False, True])
def test_a_snooze_pauses_and_what_is_left_runs_on(*, accepted: bool) -> None:
    row = a_row("acknowledged" if accepted else "pending")
    row = apply(row, Snooze(minutes=60, reason="lunch"), NOW, TIMERS)
    assert (minutes(row.snooze_until), row.ping_at, row.paused_us) == (72, None, 18 * MINUTE_US)
    assert (row.accept_by, row.progress_by, minutes(row.deadline_at)) == (None, None, 72)
    back = apply(row, "snooze_over", NOW + 60 * MINUTE_US, TIMERS)
    assert minutes(back.progress_by if accepted else back.accept_by) == 90
    assert minutes(back.ping_at) == 72
    assert minutes(back.deadline_at) == (72 if accepted else 90)  # the warning comes first


def test_at_least_a_little_is_left_after_a_snooze() -> None:
    row = apply(a_row("pending"), Snooze(minutes=10), T0 + 29 * MINUTE_US, TIMERS)
    assert minutes(apply(row, Unsnooze(), T0 + 39 * MINUTE_US, TIMERS).accept_by) == 44
    late = apply(a_row("pending"), Snooze(minutes=10), T0 + 31 * MINUTE_US, TIMERS)
    assert late.paused_us == 0


def test_an_ack_ends_a_snooze() -> None:
    fresh = apply(a_row("snoozed"), Ack(), NOW, TIMERS)
    assert (fresh.status, minutes(fresh.accepted_at), minutes(fresh.progress_by)) == ("acknowledged", 12, 42)
    again = apply(a_row("snoozed", accepted=True), Ack(), NOW, TIMERS)
    assert (minutes(again.accepted_at), minutes(again.progress_by), again.snooze_until) == (0, 42, None)


def test_three_snoozes_and_no_more() -> None:
    row = a_row("pending")
    for _ in range(3):
        row = apply(apply(row, Snooze(minutes=1), NOW, TIMERS), Unsnooze(), NOW, TIMERS)
    with pytest.raises(SnoozeLimitError) as refused:
        apply(row, Snooze(minutes=1), NOW, TIMERS)
    assert refused.value.state == {"status": "pending", "snoozes": 3}


def test_a_wait_pauses_and_has_a_limit() -> None:
    row = apply(a_row("acknowledged"), Wait(on="peer", who="a2", reason="review"), NOW, TIMERS)
    assert (minutes(row.wait_until), row.paused_us, row.ping_at) == (252, 18 * MINUTE_US, None)
    assert (row.wait_kind, row.wait_who, row.wait_reason) == ("peer", "a2", "review")
    back = apply(row, Resume(), T0 + 100 * MINUTE_US, TIMERS)
    assert (minutes(back.progress_by), minutes(back.ping_at)) == (118, 100)
    assert (back.wait_kind, back.wait_who, back.wait_reason, back.wait_until) == (None, None, None, None)


def test_a_wait_from_an_offer_leaves_a_whole_clock() -> None:
    row = apply(a_row("pending"), Wait(on="human"), NOW, TIMERS)
    assert (minutes(row.accepted_at), row.paused_us) == (12, TIMERS.act_us)
    back = apply(row, Resume(), NOW + MINUTE_US, TIMERS)
    assert (minutes(back.progress_by), minutes(back.ping_at)) == (43, 23)


def test_a_wait_for_the_past_is_over_after_the_grace() -> None:
    row = apply(a_row("pending"), Wait(on="external", resume_at=instant(T0)), NOW, TIMERS)
    assert (minutes(row.resume_at), minutes(row.wait_until)) == (12, 13)


def test_a_wait_does_not_end_in_another_age() -> None:
    last = NOW + WAIT_DAYS_MAX * 24 * 60 * MINUTE_US
    row = apply(a_row("pending"), Wait(on="human", resume_at=instant(last)), NOW, TIMERS)
    assert row.wait_until == last + TIMERS.wait_grace_us
    with pytest.raises(InvalidError) as refused:
        apply(a_row("pending"), Wait(on="human", resume_at=instant(last + 1)), NOW, TIMERS)
    assert refused.value.fields == {"resume_at": "more than 30 days ahead"}


def test_a_wait_is_told_three_times_and_then_flagged() -> None:
    row = a_row("waiting")
    for number in (1, 2, 3):
        row = apply(row, "wait_limit_missed", NOW, TIMERS)
        assert (row.wait_notices, row.exhausted) == (number, number == 3)
    row = apply(row, "wait_limit_missed", NOW, TIMERS)
    assert (row.status, row.wait_until, row.wait_notices) == ("waiting", NOW + TIMERS.wait_limit_us, 3)
    assert not apply(row, Resume(), NOW, TIMERS).exhausted


def test_repeats_wait_longer_each_time_and_then_flag() -> None:
    row = repeated(a_row("pending"), NOW, TIMERS)
    assert (minutes(row.accept_by), row.ping_at, row.exhausted) == (42, None, False)
    gaps = []
    for _ in range(5):
        row = apply(row, "repeat_due", NOW, TIMERS)
        assert row.ping_at == NOW
        gaps.append(((row.accept_by or 0) - NOW) // MINUTE_US)
    assert gaps == [60, 120, 120, 120, 120]
    assert (row.exhausted, row.repeats) == (True, 4)


def test_without_repeats_the_flag_stands_at_once() -> None:
    row = repeated(a_row("acknowledged"), NOW, Timers(repeats_us=()))
    assert (row.exhausted, row.ping_at, row.progress_by) == (True, NOW, NOW + 30 * MINUTE_US)


def test_giving_up_flags_at_once_and_pings_slowly() -> None:
    row = given_up(a_row("pending"), NOW, TIMERS)
    assert (row.exhausted, row.ping_at, row.accept_by) == (True, NOW, NOW + 120 * MINUTE_US)


def test_giving_up_does_not_ping_twice_at_once() -> None:
    row = structs.replace(a_row("pending"), last_ping_at=NOW - MINUTE_US)
    assert given_up(row, NOW, TIMERS).ping_at is None


def test_a_fresh_clock_is_as_long_as_the_first() -> None:
    assert minutes(extended(a_row("pending"), NOW).accept_by) == 42
    assert minutes(extended(a_row("acknowledged"), NOW).progress_by) == 42


def test_pings_that_are_switched_off_stay_off() -> None:
    row = structs.replace(a_row("pending"), pings_enabled=False)
    assert apply(row, Ack(), NOW, TIMERS).ping_at is None


def test_what_is_owed() -> None:
    assert owed(a_row("pending"), T0)
    row = a_row("acknowledged")
    assert not owed(row, T0)
    assert owed(row, T0 + TIMERS.warn_us)
    assert owed(structs.replace(row, attempt=1), T0)
    assert not owed(structs.replace(row, ping_at=None), NOW)
    for status in ("waiting", "snoozed", "completed", "failed"):
        assert not owed(a_row(status), NOW)


# --- holds ---


def hold(begin: float, end: float) -> Hold:
    return Hold(start_at=T0 + round(begin * MINUTE_US), end_at=T0 + round(end * MINUTE_US))


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([], 30),
        ([hold(10, 15)], 35),
        ([hold(-10, -5)], 30),
        ([hold(-5, 5)], 35),
        ([hold(40, 50)], 30),
        ([hold(29, 39)], 40),
        ([hold(31, 41), hold(25, 30)], 45),  # the first moves the clock into the second
        ([hold(10, 20), hold(15, 25)], 45),
        ([hold(10, 20), hold(12, 18)], 40),
        ([hold(30, 40)], 30),
    ],
)
def test_a_hold_counts_against_nobody(holds: list[Hold], expected: float) -> None:
    assert minutes(held_up(T0 + 30 * MINUTE_US, T0, holds)) == expected


@given(st.lists(st.tuples(st.integers(-50, 200), st.integers(1, 40)), max_size=6), st.integers(1, 100))
def test_outside_holds_the_clock_runs_its_whole_length(spans: list[tuple[int, int]], whole: int) -> None:
    holds = [Hold(start_at=start, end_at=start + size) for start, size in spans]
    end = held_up(whole, 0, holds)
    held = {at for one in holds for at in range(max(0, one.start_at), min(end, one.end_at))}
    assert end - len(held) == whole


def test_the_clock_of_each_status() -> None:
    world = World()
    rows = {
        "accept_by_missed": a_row("pending"),
        "progress_by_missed": a_row("acknowledged"),
        "wait_limit_missed": a_row("waiting"),
        "snooze_over": a_row("snoozed"),
        "repeat_due": repeated(a_row("pending"), NOW, TIMERS),
        "wait_over": apply(a_row("pending"), Wait(on="lock", resume_at=instant(NOW)), NOW, TIMERS),
    }
    for event, row in rows.items():
        found = running(row, world, NOW, TIMERS)
        assert found is not None
        assert found.event == event
    assert running(structs.replace(a_row("waiting"), wait_until=None), world, NOW, TIMERS) is None
    assert running(apply(a_row("pending"), Complete(), NOW, TIMERS), world, NOW, TIMERS) is None


def test_nothing_is_judged_while_answers_are_on_their_way() -> None:
    world = World()
    row, late = structs.replace(a_row("pending"), attempt=1), T0 + 31 * MINUTE_US
    world.handled = None
    found = running(row, world, late, TIMERS)
    assert found is not None
    assert (minutes(found.due_at), found.judged_at) == (30, late + TIMERS.recheck_us)
    world.handled = T0 + 30 * MINUTE_US - 1
    assert running(row, world, late, TIMERS) == found
    world.handled = T0 + 30 * MINUTE_US
    judged = running(row, world, late, TIMERS)
    assert judged is not None
    assert judged.judged_at == judged.due_at


def test_the_start_of_a_clock_is_never_taken_for_later_than_it_was() -> None:
    world = World()
    world.holds = [hold(0, 4)]
    for row, expected in (
        (a_row("pending"), 34),
        (a_row("acknowledged"), 34),
        (a_row("waiting"), 244),
        (structs.replace(repeated(a_row("pending"), T0, TIMERS)), 34),
        (structs.replace(a_row("acknowledged"), deferred=True, progress_by=T0 + 45 * MINUTE_US), 49),
    ):
        found = running(row, world, T0, TIMERS)
        assert found is not None
        assert minutes(found.due_at) == expected


# --- lengths ---


def test_a_factor_scales_promises_and_leaves_beats_and_ticks() -> None:
    fast = Timers().scaled(0.01)
    assert (fast.minute_us, fast.accept_sub_us, fast.assign_retry_us) == (600_000, 18_000_000, 300_000)
    assert fast.repeats_us == (18_000_000, 36_000_000, 72_000_000)
    assert (fast.recheck_us, fast.beat_misses, fast.snoozes_max) == (SECOND_US, 3, 3)
    assert Timers().scaled(1e-12).minute_us == 1
    assert Timers().scaled(1) == Timers()


def test_lengths_and_reasons_read_well() -> None:
    assert [length(m * MINUTE_US) for m in (1, 60, 90, 1440)] == ["1 min", "1 h", "1 h 30 min", "24 h"]
    assert (length(0), length(1_500_000)) == ("0 s", "1.5 s")
    assert (because("no", None), because("no", ""), because("no", "busy")) == ("no", "no", "no: busy")
