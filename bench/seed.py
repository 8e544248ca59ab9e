"""Rows by the thousand, put straight into the store's file: a template, and what differs by row."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from contracts.records import Agent, Assignment, Task

HOUR_US = 3_600_000_000
NEVER_US = 1_000_000 * HOUR_US  # more than a century ahead
SERIES = "WITH RECURSIVE series (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < :count)"


def now_us() -> int:
    """Return the wall clock, which all processes of this machine share."""
    return time.time_ns() // 1_000


def leases(path: Path, count: int, *, agents: int | None = None) -> None:
    """Insert tasks 1 to `count`, each held under the assignment of its number; nothing is due."""
    agents, now = agents or count, now_us()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -200000")
        fleet(db, agents, leases=count // agents, now=now)
        holder = f"'agent-' || ((i - 1) % {agents} + 1)"
        task = Task(
            id=0,
            title="Reconcile the ledgers of March",
            status="in_progress",
            ping_interval_us=HOUR_US // 2,
            epoch=1,
            created_at=now,
            updated_at=now,
        )
        multiply(db, "tasks", row(task), {"id": "i", "assignment_id": "i", "agent": holder}, count)
        lease = Assignment(
            id=0,
            task_id=0,
            agent="",
            epoch=1,
            round=1,
            assigned_at=now,
            accept_us=HOUR_US,
            warn_us=HOUR_US,
            act_us=HOUR_US,
            accept_by=now + NEVER_US,
            deadline_at=now + NEVER_US,
            ping_interval_us=HOUR_US // 2,
            ping_at=now + NEVER_US,
            original_agent="",
        )
        each = {"id": "i", "task_id": "i", "agent": holder, "original_agent": holder}
        multiply(db, "assignments", row(lease), each, count)


def fleet(db: sqlite3.Connection, count: int, *, leases: int, now: int) -> None:
    """Insert agents who beat, with as many leases as they can hold."""
    agent = Agent(
        id=0,
        name="",
        capacity=leases,
        leases=leases,
        timeout_us=HOUR_US,
        beats="required",
        created_at=now,
        session="bench",
        joined_at=now,
        beat_at=now,
        silent_at=now + NEVER_US,
        status="busy",
        status_since=now,
    )
    each = {"id": "1000 + i", "name": "'agent-' || i", "name_key": "'agent-' || i"}
    multiply(db, "agents", row(agent), each, count)


def due(path: Path, *, first_us: int, step_us: float = 0.0) -> None:
    """Make every assignment due at `first_us`, or one each `step_us` from then on."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE assignments SET ping_at = CAST(? + (id - 1) * ? AS INTEGER)", (first_us, step_us))


def pinged(path: Path) -> None:
    """Make every assignment one that was pinged once and not answered yet."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE assignments SET attempt = 1, last_ping_at = assigned_at")


def todo(path: Path, count: int, *, agents: int) -> None:
    """Insert tasks 1 to `count` that wait for `agents` agents with just enough room; nothing is due."""
    now = now_us()
    with closing(sqlite3.connect(path)) as db, db:
        fleet(db, agents, leases=count // agents, now=now)
        db.execute("UPDATE agents SET leases = 0, status = 'ready' WHERE kind = 'sub_agent'")
        task = Task(
            id=0,
            title="Reconcile the ledgers of March",
            status="todo",
            ping_interval_us=HOUR_US // 2,
            assign_at=now + NEVER_US,
            created_at=now,
            updated_at=now,
        )
        multiply(db, "tasks", row(task), {"id": "i"}, count)


def missed(
    path: Path, count: int, *, first_us: int, step_us: float = 0.0, pinged_at: int | None = None
) -> None:
    """Let the first `count` offers, each pinged once, run out from `first_us` on, and main be there."""
    deadline = "CAST(:first + (id - 1) * :step AS INTEGER)"
    values = {"first": first_us, "step": step_us, "count": count, "ping_at": pinged_at}
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            f"UPDATE assignments SET attempt = 1, last_ping_at = assigned_at, accept_by = {deadline}, "  # noqa: S608
            f"deadline_at = {deadline}, ping_at = coalesce(:ping_at, ping_at) WHERE id <= :count",
            values,
        )
    main_present(path)


def main_present(path: Path) -> None:
    """Let the main agent be there for good, so that steps reach it."""
    now = now_us()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE agents SET session = 'bench', joined_at = :now, beat_at = :now, silent_at = :never, "
            "status = 'ready', status_why = 'present' WHERE kind = 'main_agent'",
            {"now": now, "never": now + NEVER_US},
        )


def row(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record's columns: lists are JSON, and what was never written has version 1."""
    values = structs.asdict(record) | {"version": 1}
    return {
        name: msgspec.json.encode(value).decode() if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def multiply(
    db: sqlite3.Connection, table: str, template: dict[str, Any], each: dict[str, str], count: int
) -> None:
    """Insert `count` rows; `each` holds SQL over `i`, which runs from 1."""
    fixed = {name: f":{name}" for name in template}
    columns = fixed | each
    names, expressions = ", ".join(columns), ", ".join(columns.values())
    statement = f"INSERT INTO {table} ({names}) {SERIES} SELECT {expressions} FROM series"  # noqa: S608 - ours
    db.execute(statement, template | {"count": count})
