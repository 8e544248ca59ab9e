"""Places for what stays open: so many in all, and so many for one caller."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from contracts.errors import OverloadedError


class Places:
    """Counts who stays; nobody can take them all."""

    def __init__(self, what: str, *, total: int, each: int) -> None:
        """Keep what they are called, and how many there are."""
        self._what = what
        self._total = total
        self._each = each
        self._taken: Counter[str] = Counter()

    def check(self, who: str) -> None:
        """Raise OverloadedError where there is no place for one more of this caller."""
        if self._taken[who] >= self._each:
            raise OverloadedError(f"{self._each} {self._what} of {who} are open")
        if self._taken.total() >= self._total:
            raise OverloadedError(f"{self._total} {self._what} are open")

    @contextmanager
    def taken(self, who: str) -> Generator[None]:
        """Take a place for as long as this lasts."""
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]  # a name that is gone takes no memory
