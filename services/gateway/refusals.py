"""Refused requests, counted: who knocks in vain stands in the log at once, and then once in a window."""

from typing import Final

import structlog

from bus.api import Clock

log = structlog.get_logger(__name__)

WINDOW_S: Final = 60.0
KEPT_MAX: Final = 100  # statuses of addresses; who comes when all are taken is counted as one of the others
OTHERS: Final = "others"


class _Window:
    def __init__(self, begins: float) -> None:
        self.begins = begins
        self.count = 0  # of those not told yet


class Refusals:
    """How often each address was refused, and with which status; nothing else of a request is kept."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._windows: dict[tuple[int, str], _Window] = {}

    def __len__(self) -> int:
        """How many statuses of addresses are kept."""
        return len(self._windows)

    def note(self, status: int, address: str) -> None:
        """Count one, and say so if it is the first of its kind."""
        key = (status, address)
        if key not in self._windows and len(self._windows) >= KEPT_MAX:
            key = (status, OTHERS)
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(self._clock.monotonic())
            _say(*key, count=1, within_s=0)
        else:
            window.count += 1

    def tell(self, *, last: bool = False) -> None:
        """Say what was counted in the windows that are over, or in all; forget who came no more."""
        now = self._clock.monotonic()
        for key, window in list(self._windows.items()):
            within_s = now - window.begins
            if within_s < WINDOW_S and not last:
                continue
            if window.count:
                _say(*key, count=window.count, within_s=round(within_s))
                self._windows[key] = _Window(now)
            else:
                del self._windows[key]


def _say(status: int, address: str, *, count: int, within_s: int) -> None:
    log.warning("requests.refused", status=status, address=address, count=count, within_s=within_s)
