"""Every length of time and count that the machines follow."""

from msgspec import Struct, structs

from contracts.limits import FAILURES_MAX, SNOOZES_MAX

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DOUBLINGS_MAX = 20


class Timers(Struct, frozen=True, kw_only=True):
    """The house's clocks; a task or an agent may have its own."""

    minute_us: int = MINUTE_US  # the unit of what people give in minutes
    ping_first_us: int = 5 * MINUTE_US
    ping_interval_us: int = 30 * MINUTE_US
    accept_sub_us: int = 30 * MINUTE_US
    accept_main_us: int = 60 * MINUTE_US
    warn_us: int = 10 * MINUTE_US
    act_us: int = 30 * MINUTE_US
    defer_us: int = 15 * MINUTE_US
    wait_limit_us: int = 240 * MINUTE_US
    wait_grace_us: int = MINUTE_US
    backoff_us: int = MINUTE_US
    backoff_max_us: int = 30 * MINUTE_US
    jitter_max_us: int = 30 * SECOND_US
    resume_min_us: int = 5 * MINUTE_US
    repeats_us: tuple[int, ...] = (30 * MINUTE_US, 60 * MINUTE_US, 120 * MINUTE_US)
    unassigned_alarm_us: int = 30 * MINUTE_US
    assign_retry_us: int = 30 * SECOND_US
    recheck_us: int = SECOND_US  # a tick: how soon a clock is looked at again that may not be judged yet
    beat_misses: int = 3
    machine_misses: int = 4
    grace_us: int = 60 * SECOND_US  # from suspect to dead
    release_us: int = 60 * SECOND_US  # from dead to the release of what it held
    hide_us: int = 24 * 60 * MINUTE_US  # from the release to the tombstone
    brake_window_us: int = 60 * SECOND_US  # who falls silent so near to each other may be one mishap
    brake_us: int = 30 * MINUTE_US  # how long a brake holds at most
    brake_pace_us: int = 10 * SECOND_US  # between two deaths when it lets go
    snoozes_max: int = SNOOZES_MAX
    failures_max: int = FAILURES_MAX
    wait_notices_max: int = 3

    def scaled(self, factor: float) -> "Timers":
        """Return the same clocks, all of them faster or slower; beats and ticks keep their own."""
        lengths = {name: _scaled(getattr(self, name), factor) for name in SCALED}
        repeats = tuple(_scaled(length, factor) for length in self.repeats_us)
        return structs.replace(self, repeats_us=repeats, **lengths)

    def repeat_us(self, number: int) -> int:
        """Return how long the numbered repeat waits, counted from 1; the last length goes on for ever."""
        lengths = self.repeats_us or (self.ping_interval_us,)
        return lengths[min(number, len(lengths)) - 1]

    def wait_backoff_us(self, number: int) -> int:
        """Return how long the numbered wait for a rate limit is that names no end, counted from 1."""
        return min(self.backoff_us << min(number - 1, DOUBLINGS_MAX), self.backoff_max_us)


OWN = frozenset(
    {
        "repeats_us",
        "recheck_us",
        "grace_us",
        "release_us",
        "hide_us",
        "brake_window_us",
        "brake_us",
        "brake_pace_us",
    }
)
"""What is no clock of a promise, or is scaled by itself."""
SCALED = tuple(name for name in Timers.__struct_fields__ if name.endswith("_us") and name not in OWN)


def _scaled(length: int, factor: float) -> int:
    return max(1, round(length * factor))
