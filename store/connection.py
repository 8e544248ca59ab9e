"""SQLite connections: a whole transaction is one function on the connection's thread, and commits are shared.

A caller that is cancelled learns nothing of the outcome, but tears nothing either: what was handed over is
finished.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import aiosqlite
import anyio

from contracts.work import StoreFaultError
from store.statements import Course

T = TypeVar("T")
Setup = Callable[[sqlite3.Connection], None]
Together = Callable[[Sequence[Callable[[], Course[Any]]], sqlite3.Connection], list[Any]]

BUSY_S = 5.0
STATEMENTS_KEPT = 256
SHARED_ROWS_MAX = 500  # in one commit: more would keep other processes waiting for the file


class Link(Protocol):
    """A connection and the place where its functions run."""

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function on the connection."""
        ...

    async def close(self) -> None:
        """Finish what was handed over, and close."""
        ...

    def abandon(self) -> None:
        """Close at once; an open transaction is rolled back."""
        ...


class ThreadLink:
    """A connection on a thread of its own."""

    def __init__(self, connection: Any) -> None:
        """Wrap an open aiosqlite connection; use `open`."""
        # Any: aiosqlite has no public door to its thread for a function, and its types stop there too
        self._connection = connection

    @classmethod
    async def open(cls, path: Path, setup: Setup) -> "ThreadLink":
        """Open the file and make it ready."""
        connection: Any = aiosqlite.connect(
            path, isolation_level=None, timeout=BUSY_S, cached_statements=STATEMENTS_KEPT
        )
        connection._thread.daemon = True  # noqa: SLF001 - else a crash before close() keeps the process alive
        await connection
        link = cls(connection)
        try:
            await link.call(setup)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await link.close()
            raise
        return link

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function on the connection's thread: one hop, that cancellation cannot tear."""
        raw = self._connection._connection  # noqa: SLF001 - see __init__
        if raw is None or not self._connection._running:  # noqa: SLF001
            raise StoreFaultError("the store is closed")
        return cast("T", await self._connection._execute(work, raw))  # noqa: SLF001

    async def close(self) -> None:
        """Finish what was handed over, and close."""
        await self._connection.close()

    def abandon(self) -> None:
        """Close at once; an open transaction is rolled back."""
        # from a thread without a loop: nobody may be there any more to be told of the end
        stop = threading.Thread(target=self._connection.stop)
        stop.start()
        stop.join()
        self._connection._thread.join()  # noqa: SLF001 - as above


class _Job:
    """A transaction that waits for its turn."""

    def __init__(self, course: Callable[[], Course[Any]], rows: int) -> None:
        self.course = course
        self.rows = rows
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, outcome: object) -> None:
        """Tell the caller, if it still listens."""
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Owner:
    """Owns a connection: transactions that come while one runs share the next one and its hop."""

    def __init__(self, link: Link, together: Together) -> None:
        """Start with nothing to do; `together` runs what shares a transaction."""
        self._link = link
        self._together = together
        self._jobs: list[_Job] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def transact(self, course: Callable[[], Course[T]], rows: int = 1) -> T:
        """Run a course on about so many rows in a transaction; returns after the commit."""
        if self._closed:
            raise StoreFaultError("the store is closed")
        job = _Job(course, rows)
        self._jobs.append(job)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
        return cast("T", await job.outcome)

    async def close(self) -> None:
        """Finish what waits, then take nothing more."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while self._jobs:
            jobs = self._take()
            try:
                outcomes = await self._link.call(partial(self._together, [job.course for job in jobs]))
            except BaseException as error:
                for job in jobs:
                    job.resolve(_told(error))
                if not isinstance(error, Exception):
                    self._drop_all(error)
                    raise
            else:
                for job, outcome in zip(jobs, outcomes, strict=True):
                    job.resolve(outcome)

    def _take(self) -> list[_Job]:
        """Take the first that waits, and what may share its commit."""
        rows = taken = 0
        for job in self._jobs:
            rows += job.rows
            if taken and rows > SHARED_ROWS_MAX:
                break
            taken += 1
        jobs, self._jobs = self._jobs[:taken], self._jobs[taken:]
        return jobs

    def _drop_all(self, error: BaseException) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.resolve(_told(error))


def _told(error: BaseException) -> Exception:
    """Return what a caller is told of an error that ended its transaction."""
    return error if isinstance(error, Exception) else StoreFaultError("the store is being shut down")
