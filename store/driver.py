"""Doing on a sqlite3 connection what a course asks for, and telling whom an error blames."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar, cast

from contracts.work import StoreFaultError
from store.errors import StatementError
from store.statements import Course, Fetch, Mark, Write

T = TypeVar("T")

# What a statement can be blamed for; everything else SQLite says is about the file, the disk or the lock.
_BLAMED = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
)
_PRIMARY_CODE = 0xFF
ROWS_TOGETHER = 50  # of an insert, in one statement; more gain nothing
_PLAIN_INSERT = re.compile(r"(INSERT INTO .*? VALUES )(\(.*\))", re.DOTALL)
_NUMBERED = re.compile(r"\?(\d+)")
_MARKS = {"set": "SAVEPOINT", "release": "RELEASE", "back": "ROLLBACK TO"}


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


def look_together(courses: Sequence[Callable[[], Course[Any]]], connection: sqlite3.Connection) -> list[Any]:
    """Run courses that only read, on one state of the file; return what each returned or raised."""
    outcomes: list[Any] = []
    _execute(connection, "BEGIN DEFERRED")  # this connection cannot write, so nothing is ever upgraded
    try:
        for course in courses:
            try:
                outcomes.append(drive(connection, course()))
            except Exception as error:  # noqa: BLE001 - a mistake of one caller is not its neighbours'
                outcomes.append(error)
        return outcomes
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


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
                return _write(connection, query.text, rows)
            case Mark(act, name):
                return connection.execute(f"{_MARKS[act]} {name}")
    except (sqlite3.Error, OverflowError, UnicodeEncodeError, MemoryError) as error:
        raise judged(error) from error


def _write(connection: sqlite3.Connection, text: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement for each row of parameters; of a plain insert, many rows at a time."""
    touched, done = 0, 0
    if len(rows) >= ROWS_TOGETHER and (many := _for_many(text)) is not None:
        done = len(rows) - len(rows) % ROWS_TOGETHER
        for first in range(0, done, ROWS_TOGETHER):
            values = tuple(chain.from_iterable(rows[first : first + ROWS_TOGETHER]))
            touched += connection.execute(many, values).rowcount
    if done < len(rows):
        touched += connection.executemany(text, rows[done:]).rowcount
    return touched


@cache
def _for_many(text: str) -> str | None:
    """Return a plain insert as one of many rows: Python's lock is let go once, and not for each."""
    found = _PLAIN_INSERT.fullmatch(text)
    if found is None or "ON CONFLICT" in text:
        return None
    head, one = found.groups()
    count = len(set(_NUMBERED.findall(one)))
    return head + ", ".join([_shifted(one, place * count) for place in range(ROWS_TOGETHER)])


def _shifted(values: str, by: int) -> str:
    return _NUMBERED.sub(lambda number: f"?{int(number[1]) + by}", values)


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
