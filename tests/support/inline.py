"""A store's connection without a thread: every call is a step of the event loop, and a seed repeats it."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from store.connection import STATEMENTS_KEPT, Setup

T = TypeVar("T")


class InlineLink:
    """A connection on the thread of the loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Wrap an open connection; use `open`."""
        self.connection = connection

    @classmethod
    async def open(cls, path: Path, setup: Setup) -> "InlineLink":
        """Open the file and make it ready."""
        return cls(connected(path, setup))

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give way once, then run the function."""
        await asyncio.sleep(0)
        return work(self.connection)

    async def close(self) -> None:
        """Close."""
        self.connection.close()

    def abandon(self) -> None:
        """Close; an open transaction is rolled back."""
        self.connection.close()


def connected(path: Path, setup: Setup) -> sqlite3.Connection:
    """Return a connection made ready; it never waits for a lock: whoever has it could not run meanwhile."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=STATEMENTS_KEPT)
    try:
        setup(connection)
    except BaseException:
        connection.close()
        raise
    return connection
