"""The fastest known way to write the same rows: plain sqlite3 on one thread, one function per transaction."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from bus.embedded import Durability

T = TypeVar("T")

CLAIM = """
    UPDATE assignments SET ping_at = :next, attempt = attempt + 1, last_ping_at = :now, version = version + 1
    WHERE id IN (SELECT id FROM assignments WHERE ping_at <= :now ORDER BY ping_at LIMIT :limit)
    RETURNING id, agent, attempt
"""
TASK_PINGED = "UPDATE tasks SET last_ping_at = ?, version = version + 1 WHERE id = ?"
PING = "INSERT INTO pings VALUES (?, ?, ?, ?, ?, ?, NULL)"
PINGED = "UPDATE pings SET published_at = ? WHERE assignment_id = ? AND attempt = ?"
ASSIGNMENT = """
    UPDATE assignments SET status = 'acknowledged', accepted_at = ?1, answered_attempt = 1, progress_by = ?2,
        accept_by = NULL, deadline_at = ?2, ping_at = ?2, version = version + 1 WHERE id = ?3
"""
AGENT = """
    UPDATE agents SET accepted = accepted + 1, status = 'working', status_since = ?1, last_ack_at = ?1,
        status_why = 'has accepted work', version = version + 1 WHERE name = ?2
"""
TASK = "UPDATE tasks SET last_ack_at = ?1, updated_at = ?1, version = version + 1 WHERE id = ?2"
COMMENT = "INSERT INTO comments (task_id, author, at, text) VALUES (?, 'rollcall', ?, ?)"
COMMAND = "INSERT INTO commands VALUES (?, ?, ?, ?, NULL, ?)"
AUDIT = "INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, 2, ?, ?, ?)"
POST = """
    INSERT INTO outbox (slot, stream, subject, message_id, body, headers, ttl_s, created_at, version,
        assignment_id, attempt)
    VALUES (?, ?, ?, ?, ?, '[]', NULL, ?, 1, ?, NULL)
"""
DAY_US = 86_400_000_000

Sent = Sequence[tuple[int, str, int]]  # assignment, agent, attempt


class Answered(Struct, frozen=True):
    """What an acknowledgement brings."""

    assignment: int
    agent: str
    command_id: str
    digest: bytes
    answer: bytes
    event: bytes
    withdrawn: bytes


class RawStore:
    """One connection on its own thread."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Keep them."""
        self._db = db
        self._thread = thread

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in one transaction: one hop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        found = work(self._db)
        self._db.execute("COMMIT")
        return found


@asynccontextmanager
async def raw_store(path: Path, durability: Durability) -> AsyncIterator[RawStore]:
    """Open the file with the same promises that the product makes."""
    thread = ThreadPoolExecutor(1)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    db.execute("PRAGMA foreign_keys = ON")
    try:
        yield RawStore(db, thread)
    finally:
        thread.shutdown()
        db.close()


def confirm(db: sqlite3.Connection, sent: Sent, now: int) -> None:
    """Note that the pings are on the bus: until then the history itself is the outbox."""
    db.executemany(PINGED, [(now, assignment, attempt) for assignment, _, attempt in sent])


def claim(db: sqlite3.Connection, now: int, incarnation: str, limit: int) -> Sent:
    """Take what is due and write the history."""
    found: Sent = db.execute(CLAIM, {"next": now + DAY_US, "now": now, "limit": limit}).fetchall()
    db.executemany(TASK_PINGED, [(now, assignment) for assignment, _, _ in found])
    db.executemany(PING, [(one, attempt, agent, incarnation, now, now) for one, agent, attempt in found])
    return found


def record(db: sqlite3.Connection, batch: Sequence[Answered], now: int, incarnation: str) -> None:
    """Write everything that an acknowledgement changes."""
    later = now + DAY_US
    db.executemany(ASSIGNMENT, [(now, later, one.assignment) for one in batch])
    db.executemany(AGENT, [(now, one.agent) for one in batch])
    db.executemany(TASK, [(now, one.assignment) for one in batch])
    db.executemany(COMMENT, [(one.assignment, now, f"acknowledged by {one.agent}") for one in batch])
    db.executemany(
        COMMAND, [(f"agent:{one.agent}", one.command_id, one.digest, one.answer, now) for one in batch]
    )
    facts = [fact for one in batch for fact in _facts(one)]
    db.executemany(
        AUDIT,
        [
            (now, actor, aggregate, identity, event, cause, incarnation, body)
            for actor, aggregate, identity, event, cause, body in facts
        ],
    )
    events: list[tuple[object, ...]] = [
        (None, "EVENTS", f"evt.{aggregate}.{identity}.{event}", f"{incarnation}:{number}", body, now, None)
        for number, (_, aggregate, identity, event, _, body) in enumerate(facts)
    ]
    taken_back: list[tuple[object, ...]] = [
        (
            f"ping:{one.assignment}",
            "PINGS",
            f"in.ping.{one.agent}.{one.assignment}",
            f"withdrawn:{incarnation}:{one.assignment}:2",
            one.withdrawn,
            now,
            one.assignment,
        )
        for one in batch
    ]
    db.executemany(POST, events + taken_back)


def _facts(one: Answered) -> list[tuple[str, str, str, str, str, bytes]]:
    actor, number = f"agent:{one.agent}", str(one.assignment)
    return [
        (actor, "assignment", number, "acknowledged", one.command_id, one.event),
        (actor, "agent", one.agent, "status_changed", one.command_id, one.event),
    ]
