"""Pages: where the next one begins."""

from collections.abc import Sequence
from typing import Protocol


class Numbered(Protocol):
    """What is listed by its number."""

    @property
    def id(self) -> int:
        """Its number."""
        ...


def following(rows: Sequence[Numbered], limit: int) -> int | None:
    """Return the `next` of a page: a full one may have a next."""
    return rows[-1].id if len(rows) >= limit else None
