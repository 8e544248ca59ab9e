"""The store's file: whether it is ours, whether it is whole, and how a connection to it is set up."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from store.errors import StoreRefusedError
from store.sql import Migration, migrations, open_hints
from store.upkeep import draw_incarnation
from store.view import Rng

Durability = Literal["full", "relaxed"]

log = structlog.get_logger(__name__)

APPLICATION_ID: Final = 0x526F6C6C  # "Roll"
# A safety net far above what the cleanup service leaves: 8 192 pages are 32 MiB of log.
WAL_PAGES: Final = 8_192
WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
CACHE_KIB: Final = 32 * 1024
BUSY_MS: Final = 5_000
BUSY_AGAIN_S: Final = 0.01
CHECKED_BYTES_MAX: Final = 64 * 1024 * 1024  # a larger file is checked by doctor, not at every start
_NETWORK: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs"}
)
_MOUNTS: Final = Path("/proc/self/mounts")


def place(path: Path, *, mounts: Path = _MOUNTS) -> None:
    """Make sure that a store can live at `path`, and create an empty private file where there is none."""
    try:
        _refuse_place(path, mounts)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreRefusedError(f"{path} cannot be written ({error.strerror}): {_READ_ONLY}") from error
    if not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise StoreRefusedError(f"{path.parent} cannot be written: {_READ_ONLY}")


def _refuse_place(path: Path, mounts: Path) -> None:
    if not path.parent.is_dir():
        raise StoreRefusedError(f"{path.parent} is no folder: create it, or name another place for the store")
    if path.exists() and not path.is_file():
        raise StoreRefusedError(f"{path} is no file: name another place for the store")
    kind = file_system(path, mounts)
    if kind in _NETWORK:
        raise StoreRefusedError(
            f"{path} lies on a network file system ({kind}), where several processes cannot share a SQLite "
            "store safely: put it on a local disk"
        )


_READ_ONLY: Final = "the store needs a folder that this user may write, for the file and its log"


def file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of file system that `path` lies on, as far as this machine says so."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    found, deepest = "", -1
    where = path.resolve()
    for line in lines:
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        point = point.replace("\\040", " ")
        if point and where.is_relative_to(point) and len(point) >= deepest:
            found, deepest = kind, len(point)
    return found


def tune(connection: sqlite3.Connection, durability: Durability = "full") -> None:
    """Set what a writing connection needs."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")


def tune_reader(connection: sqlite3.Connection) -> None:
    """Set what a connection needs that never writes."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")


def prepare(connection: sqlite3.Connection, path: Path, *, durability: Durability, rng: Rng) -> None:
    """Refuse a file that is not ours, bring ours up to date, and tune the connection."""
    try:
        begin_log(connection, path)
        tune(connection, durability)
        migrate(connection, path, rng)
        _check(connection, path)
    except sqlite3.Error as error:
        raise refusal(path, error) from error


def begin_log(connection: sqlite3.Connection, path: Path) -> None:
    """Turn the write-ahead log on, in a file that is ours.

    While another process does so to a new file, SQLite says at once that it is busy, whatever its timeout.
    """
    give_up = time.monotonic() + BUSY_MS / 1_000
    while True:
        try:
            refuse_foreign(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(BUSY_AGAIN_S)
        else:
            return


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreRefusedError when the file belongs to another program, or to a newer version of this one."""
    # in this order: another process may be making the store, tables and number in one commit
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    number = connection.execute("PRAGMA application_id").fetchone()[0]
    if number != APPLICATION_ID and (number or tables):
        raise StoreRefusedError(f"{path} belongs to another program: name another file for the store")
    if user_version(connection) > migrations()[-1].number:
        raise StoreRefusedError(
            f"{path} was written by a newer version of Rollcall: install that one, or restore an older backup"
        )


def user_version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration that the file has seen."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def migrate(
    connection: sqlite3.Connection, path: Path, rng: Rng, steps: tuple[Migration, ...] | None = None
) -> None:
    """Take the steps that the file has not seen, each in a transaction; refuse one with another past."""
    for step in migrations() if steps is None else steps:
        connection.execute("BEGIN IMMEDIATE")  # whoever else opens the file now waits here
        try:
            if user_version(connection) >= step.number:
                _same_past(connection, path, step)
            else:
                _take_step(connection, step, rng)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _take_step(connection: sqlite3.Connection, step: Migration, rng: Rng) -> None:
    first = user_version(connection) == 0
    for statement in statements(open_hints(step.text, "sqlite")):
        connection.execute(statement)
    if first:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('incarnation', ?)", (draw_incarnation(rng),)
        )
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)", (f"migration:{step.name}", step.checksum)
    )
    connection.execute(f"PRAGMA user_version = {step.number}")


def _same_past(connection: sqlite3.Connection, path: Path, step: Migration) -> None:
    key = f"migration:{step.name}"
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None or found[0] != step.checksum:
        raise StoreRefusedError(
            f"{path} was made by another form of step {step.name}: use the version of Rollcall that made it, "
            "or restore a backup"
        )


def statements(text: str) -> list[str]:
    """Split a script into its statements."""
    found: list[str] = []
    part = ""
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("--"):
            continue  # a comment may hold a semicolon
        part += line
        if sqlite3.complete_statement(part):
            found.append(part.strip())
            part = ""
    return found


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_BYTES_MAX:
        log.info("store.check_skipped", path=str(path), hint="rollcall doctor checks the whole file")
        return
    refuse_damaged(connection, path)


def refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreRefusedError when the file is damaged."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreRefusedError(f"{path} is damaged ({found}): {_RESTORE}")


_RESTORE: Final = "move it away and restore a backup (rollcall restore FILE)"


def refusal(path: Path, error: sqlite3.Error) -> StoreRefusedError:
    """Return what SQLite said about a file as a clear word."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return StoreRefusedError(f"{path} is no SQLite file: name another file for the store")
        case sqlite3.SQLITE_CORRUPT:
            return StoreRefusedError(f"{path} is damaged ({error}): {_RESTORE}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StoreRefusedError(f"{path} cannot be written ({error}): {_READ_ONLY}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreRefusedError(f"{path} is held by another process: try again when it is done")
        case sqlite3.SQLITE_FULL:
            return StoreRefusedError(f"there is no room on the disk of {path}: free some space")
        case _:
            return StoreRefusedError(f"{path} cannot be used: {error}")


def versions(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what a file says about itself."""
    return dict(
        msgspec.convert(connection.execute("SELECT key, value FROM meta").fetchall(), list[tuple[str, str]])
    )
