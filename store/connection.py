"""SQLite connections: a whole transaction is one function on the connection's thread, and commits are shared.

A caller that is cancelled learns nothing of the outcome, but tears nothing either: what was handed over is finished.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import aiosqlite

from contracts.work import StoreFaultError
from store.errors import StatementError
from store.statements import Course, Fetch, Mark, Write

T = TypeVar("T")
Setup = Callable[[sqlite3.Connection], None]

BUSY_S = 5.0
STATEMENTS_KEPT = 256
SHARED_MAX = 16  # transactions in one commit: more would keep other processes waiting for the file

# What a statement can be blamed for; everything else SQLite says is about the file, the disk or the lock.
_BLAMED = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
)
_PRIMARY_CODE = 0xFF
_MARKS = {"set": "SAVEPOINT", "release": "RELEASE", "back": "ROLLBACK TO"}


class Link(Protocol):
    """A connection and the place where its functions run."""

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function on the connection."""
        ...

    async def close(self) -> None:
        """Finish what was handed over, and close."""
        ...

    def abandon(self) -> None:
        """Close without waiting; an open transaction is rolled back."""
        ...


class ThreadLink:
    """A connection on a thread of its own."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        """Wrap an open connection; use `open`."""
        self._connection = connection

    @classmethod
    async def open(cls, path: Path, setup: Setup) -> "ThreadLink":
        """Open the file and make it ready."""
        connection = aiosqlite.connect(
            path, isolation_level=None, timeout=BUSY_S, cached_statements=STATEMENTS_KEPT
        )
        connection._thread.daemon = True  # noqa: SLF001 - else a crash before close() keeps the process alive
        await connection
        link = cls(connection)
        try:
            await link.call(setup)
        except BaseException:
            link.abandon()
            raise
        return link

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function on the connection's thread: one hop, that cancellation cannot tear."""
        connection = self._connection
        if connection._connection is None:  # noqa: SLF001 - as below
            raise StoreFaultError("the store is closed")
        execute = cast("Any", connection._execute)  # noqa: SLF001 - the one door to the thread for a function
        try:
            return cast("T", await execute(work, connection._connection))  # noqa: SLF001
        except ValueError as error:
            if str(error) == "Connection closed":
                raise StoreFaultError("the store is closed") from error
            raise

    async def close(self) -> None:
        """Finish what was handed over, and close."""
        await self._connection.close()

    def abandon(self) -> None:
        """Close without waiting; an open transaction is rolled back."""
        self._connection.stop()


class InlineLink:
    """A connection without a thread: for a simulator, where every step must be the loop's own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Wrap an open connection; use `open`."""
        self._connection = connection

    @classmethod
    async def open(cls, path: Path, setup: Setup) -> "InlineLink":
        """Open the file and make it ready."""
        # no waiting for a lock: whoever holds it could not run meanwhile
        connection = sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=STATEMENTS_KEPT)
        try:
            setup(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give way once, then run the function."""
        await asyncio.sleep(0)
        return work(self._connection)

    async def close(self) -> None:
        """Close."""
        self._connection.close()

    def abandon(self) -> None:
        """Close; an open transaction is rolled back."""
        self._connection.close()


class _Job:
    """A transaction that waits for its turn."""

    def __init__(self, course: Callable[[], Course[Any]]) -> None:
        self.course = course
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
    """Owns the writing connection: transactions that come while one runs share the next commit."""

    def __init__(self, link: Link) -> None:
        """Start with nothing to do."""
        self._link = link
        self._jobs: list[_Job] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def transact(self, course: Callable[[], Course[T]]) -> T:
        """Run a course in a transaction; returns after the commit."""
        if self._closed:
            raise StoreFaultError("the store is closed")
        job = _Job(course)
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
            jobs, self._jobs = self._jobs[:SHARED_MAX], self._jobs[SHARED_MAX:]
            try:
                outcomes = await self._link.call(partial(commit_together, [job.course for job in jobs]))
            except BaseException as error:
                for job in jobs:
                    job.resolve(_told(error))
                if not isinstance(error, Exception):
                    self._drop_all(error)
                    raise
            else:
                for job, outcome in zip(jobs, outcomes, strict=True):
                    job.resolve(outcome)

    def _drop_all(self, error: BaseException) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.resolve(_told(error))


def _told(error: BaseException) -> Exception:
    """Return what a caller is told of an error that ended its transaction."""
    return error if isinstance(error, Exception) else StoreFaultError("the store is being shut down")


def commit_together(
    courses: Sequence[Callable[[], Course[Any]]], connection: sqlite3.Connection
) -> list[Any]:
    """Run courses in one transaction, each in a savepoint; return what each returned or raised."""
    outcomes: list[Any] = []
    try:
        _execute(connection, "BEGIN IMMEDIATE")
        for course in courses:
            _execute(connection, "SAVEPOINT job")
            try:
                outcomes.append(drive(connection, course()))
            except StoreFaultError:
                raise
            except Exception as error:  # noqa: BLE001 - a mistake of one caller is not its neighbours'
                _execute(connection, "ROLLBACK TO job")
                outcomes.append(error)
            _execute(connection, "RELEASE job")
        _execute(connection, "COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def look_once(course: Callable[[], Course[T]], connection: sqlite3.Connection) -> T:
    """Run a course that only reads, on one state of the file."""
    _execute(connection, "BEGIN DEFERRED")  # this connection cannot write, so nothing is ever upgraded
    try:
        return drive(connection, course())
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def drive(connection: sqlite3.Connection, course: Course[T]) -> T:
    """Do what a course asks for until it returns; a fault of the store ends it at once."""
    try:
        request = next(course)
        while True:
            try:
                reply = perform(connection, request)
            except StatementError as error:
                request = course.throw(error)
            else:
                request = course.send(reply)
    except StopIteration as done:
        return cast("T", done.value)
    finally:
        course.close()


def perform(connection: sqlite3.Connection, request: Fetch | Write | Mark) -> Any:
    """Do one thing; raises StatementError or StoreFaultError."""
    try:
        match request:
            case Fetch(query, params):
                return connection.execute(query.text, params).fetchall()
            case Write(query, rows):
                return connection.executemany(query.text, rows).rowcount
            case Mark(act, name):
                return connection.execute(f"{_MARKS[act]} {name}")
    except (sqlite3.Error, OverflowError, UnicodeEncodeError, MemoryError) as error:
        raise judged(error) from error


def judged(error: Exception) -> StatementError | StoreFaultError:
    """Return whom an error blames: the statement, or the store."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, sqlite3.Error):
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None:  # said by the driver: a value that is none, or a closed connection
            return StoreFaultError("the store is closed") if "closed" in text else StatementError(text)
        return (
            StatementError(text) if code & _PRIMARY_CODE in _BLAMED else StoreFaultError(_remedy(error, code))
        )
    return StoreFaultError("no memory left") if isinstance(error, MemoryError) else StatementError(text)


def _remedy(error: sqlite3.Error, code: int) -> str:
    match code & _PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "the store is locked by another process for too long"
        case sqlite3.SQLITE_FULL:
            return "the disk is full: free some space; nothing half done was written"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"the store cannot be written: {error}"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"the store is damaged: {error}; restore a backup"
        case _:
            return f"the store failed: {error}"


def _execute(connection: sqlite3.Connection, text: str) -> None:
    try:
        connection.execute(text)
    except sqlite3.Error as error:
        found = judged(error)
        raise found if isinstance(found, StoreFaultError) else StoreFaultError(str(found)) from error
