"""When somebody who beats was last heard, and how often it said that it would be."""

from contracts.limits import BEAT_SECONDS_MAX
from domain.timers import SECOND_US


def interval_us(interval_s: int) -> int:
    """Return the interval that a beat names, as long as one may be: at least a second, at most an hour."""
    return min(max(1, interval_s), BEAT_SECONDS_MAX) * SECOND_US


def heard(before: int | None, at: int, now: int) -> int:
    """Return when somebody was last heard: never in the future, and not before what is on record."""
    return max(min(at, now), min(before or 0, now))
