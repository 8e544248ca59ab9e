"""What need not be written yet: the same word again from somebody whose last one was written lately.

A beat moves one instant in the store, a good while ahead of when anybody is judged by it. So the next ones
wait in memory: the first that comes when half of that while is over is written at once; if none comes, the
newest of those that wait is, when three quarters are. A crash loses only what nobody was to be judged by.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from bus.service import Delivery


class Sign(Struct, frozen=True, gc=False):
    """Whose word a message is, which of theirs, and for how long the next like it may wait (microseconds)."""

    who: str
    which: str = ""
    rests_us: int = 0  # 0: each is written


class _Written(Struct, gc=False):
    """The last word of somebody that was written, and when the one that waits has to be."""

    which: str
    at_us: int
    rests_us: int
    due_us: int = 0


class Resting:
    """The words that wait, one of each sender at most."""

    def __init__(self) -> None:
        """Begin with nothing written and nothing waiting."""
        self._written: dict[str, _Written] = {}
        self._waiting: dict[str, Delivery] = {}
        self._queue: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """Return how many words wait."""
        return len(self._waiting)

    def takes(self, sign: Sign, delivery: Delivery) -> bool:
        """Keep a word that need not be written yet; else say so, and forget an older one that waited."""
        last = self._written.get(sign.who)
        if last is None or last.which != sign.which or last.rests_us != sign.rests_us:
            return False
        if not 0 <= delivery.at_us - last.at_us < sign.rests_us:
            self._waiting.pop(sign.who, None)
            return False
        if sign.who not in self._waiting:
            last.due_us = last.at_us + sign.rests_us * 3 // 2
            heappush(self._queue, (last.due_us, sign.who))
        self._waiting[sign.who] = delivery
        return True

    def written(self, sign: Sign, at_us: int) -> None:
        """Note that a word of somebody counts now."""
        self._written[sign.who] = _Written(sign.which, at_us, sign.rests_us)

    def forget(self, who: str) -> Delivery | None:
        """Forget what was written of somebody; return the word that waited, for it has to be looked at."""
        self._written.pop(who, None)
        return self._waiting.pop(who, None)

    def overdue(self, now: int) -> int | None:
        """Return since when a word waits that should be written (microseconds), if one does."""
        while self._queue and not self._stands(*self._queue[0]):
            heappop(self._queue)
        return self._queue[0][0] if self._queue and self._queue[0][0] <= now else None

    def due(self, now: int) -> list[Delivery]:
        """Take the words that may wait no longer."""
        found: list[Delivery] = []
        while self.overdue(now) is not None:
            found.append(self._waiting.pop(heappop(self._queue)[1]))
        return found

    def all(self) -> list[Delivery]:
        """Take every word that waits."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found

    def _stands(self, due_us: int, who: str) -> bool:
        last = self._written.get(who)
        return who in self._waiting and last is not None and last.due_us == due_us
