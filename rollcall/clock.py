"""The real clock."""

import time


class SystemClock:
    """Wall and monotonic time of this machine."""

    def now(self) -> int:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Return seconds that never step."""
        return time.monotonic()
