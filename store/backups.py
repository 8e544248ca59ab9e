"""Backup and restore; plain functions, for they are also needed where nothing runs."""

import os
import random
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from contracts.work import StoreFaultError
from store import upkeep
from store.batch import records
from store.driver import commit_together, look_once
from store.errors import StatementError, StoreError, StoreRefusedError
from store.file import (
    APPLICATION_ID,
    BUSY_MS,
    refusal,
    refuse_damaged,
    refuse_foreign,
    tune,
    user_version,
    versions,
)
from store.sql import migrations, queries
from store.statements import Course, Fetch
from store.view import Rng


def backup(path: Path, target: Path) -> None:
    """Copy the store, while it works, to `target`: whole or not at all."""
    if target.exists() and target.samefile(path):
        raise StoreError(f"{target} is the store itself: name another file for the backup")
    with _connected(path) as connection, _replacing(target) as part:
        connection.execute("VACUUM INTO ?", (str(part),))


def restore(source: Path, path: Path, *, now: int, rng: Rng | None = None) -> None:
    """Put a backup where the store was not; it begins a new life, and says nothing under old ids."""
    for other in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if other.exists():
            raise StoreRefusedError(f"{other} is in the way: stop Rollcall and move it away first")
    with _connected(source) as connection, _replacing(path) as part:
        connection.execute("VACUUM INTO ?", (str(part),))
        restore_in_place(part, now=now, rng=rng)


def restore_in_place(path: Path, *, now: int, rng: Rng | None = None) -> None:
    """Begin a new life of a store whose file was copied here by hand, while nothing runs on it."""
    with _connected(path) as connection:
        refuse_damaged(connection, path)
        tune(connection)
        dice = random.SystemRandom() if rng is None else rng
        try:
            commit_together([partial(upkeep.renew, queries("sqlite"), now, dice)], connection)
        except StoreFaultError as error:
            raise StoreError(f"{path} was left as it was: {error}") from error


def examine(path: Path) -> str:
    """Return what there is to say about a store; raises StoreError when it may not be used."""
    with _connected(path) as connection:
        refuse_damaged(connection, path)
        meta = versions(connection)
        tasks = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        wal = path.with_name(path.name + "-wal")
        log_mib = (wal.stat().st_size if wal.exists() else 0) / 2**20
        return (
            f"schema {user_version(connection)}, incarnation {meta.get('incarnation')}, {tasks} tasks, "
            f"{path.stat().st_size / 2**20:.1f} MiB and {log_mib:.1f} MiB of log"
        )


def look(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the rows of named queries as of one moment; raises StoreError when they cannot be asked."""
    with _connected(path) as connection:
        if user_version(connection) < migrations()[-1].number:
            raise StoreError(f"{path} is of an older version: it moves on when Rollcall starts")
        try:
            return look_once(partial(_rows, names), connection)
        except (StoreFaultError, StatementError) as error:
            raise StoreError(f"{path}: {error}") from error


def _rows(names: Sequence[str]) -> Course[dict[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for name in names:
        query = queries("sqlite")[name]
        found[name] = records(query, (yield Fetch(query)))
    return found


@contextmanager
def _connected(path: Path) -> Generator[sqlite3.Connection]:
    """Yield a connection to a store that is there already."""
    if not path.is_file():
        raise StoreRefusedError(f"there is no store at {path}")
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)) as connection:
            refuse_foreign(connection, path)
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreRefusedError(f"{path} is empty: it is no store")
            yield connection
    except sqlite3.Error as error:
        raise refusal(path, error) from error


@contextmanager
def _replacing(target: Path) -> Generator[Path]:
    """Yield a name beside `target`; what stands there at the end takes its place, on the disk for certain."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error.strerror}): name another place") from error
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
