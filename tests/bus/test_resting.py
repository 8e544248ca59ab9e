"""Which words wait in memory, until when, and when they do not."""

import pytest

from bus.resting import Resting, Sign
from bus.service import Delivery

BEAT = Sign("a1", "s1", 10)


def said(at: int) -> Delivery:
    return Delivery(("hb", "a1"), b"{}", at)


@pytest.fixture
def resting() -> Resting:
    found = Resting()
    found.written(BEAT, 100)
    return found


def test_words_wait_until_half_is_over_and_the_next_is_written(resting: Resting) -> None:
    assert resting.takes(BEAT, said(101))
    assert resting.takes(BEAT, said(109))
    assert len(resting) == 1
    assert not resting.takes(BEAT, said(110))
    assert len(resting) == 0
    assert resting.overdue(1_000) is None


def test_the_newest_that_waits_is_written_when_three_quarters_are_over(resting: Resting) -> None:
    resting.takes(BEAT, said(101))
    resting.takes(BEAT, said(109))
    assert (resting.overdue(114), resting.due(114)) == (None, [])
    assert resting.overdue(120) == 115
    assert [word.at_us for word in resting.due(120)] == [109]
    assert resting.overdue(1_000) is None


@pytest.mark.parametrize("sign", [Sign("a1", "s2", 10), Sign("a1", "s1", 20), Sign("a2", "s1", 10)])
def test_a_new_word_does_not_wait(resting: Resting, sign: Sign) -> None:
    assert not resting.takes(sign, said(101))


def test_a_clock_that_stepped_back_lets_nothing_wait(resting: Resting) -> None:
    assert not resting.takes(BEAT, said(99))


def test_whoever_changed_is_written_next(resting: Resting) -> None:
    assert resting.forget("a1") is None
    assert not resting.takes(BEAT, said(101))
    resting.written(BEAT, 101)
    waits = said(105)
    resting.takes(BEAT, waits)
    assert resting.forget("a1") is waits
    assert resting.overdue(1_000) is None


def test_a_word_that_was_written_meanwhile_is_due_by_its_own_time(resting: Resting) -> None:
    resting.takes(BEAT, said(101))
    resting.takes(BEAT, said(112))
    resting.written(BEAT, 112)
    resting.takes(BEAT, said(113))
    assert resting.overdue(126) is None
    assert resting.overdue(127) == 127


def test_all_are_taken_at_the_end(resting: Resting) -> None:
    resting.takes(BEAT, said(101))
    assert len(resting.all()) == 1
    assert not resting
