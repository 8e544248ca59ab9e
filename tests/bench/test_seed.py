"""What the bench puts into a store is what the store itself would hold."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bench.seed import NEVER_US, due, leases, now_us, pinged
from contracts.records import Agent
from store import sql


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "rollcall.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql.open_hints(sql.schema(), "sqlite"))
    return path


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_every_task_is_held_under_the_assignment_of_its_number(store: Path) -> None:
    leases(store, 12, agents=4)
    held = "SELECT count(*) FROM tasks t JOIN assignments a ON a.task_id = t.id AND t.assignment_id = a.id"
    assert ask(store, f"{held} WHERE a.agent = t.agent AND t.id = a.id") == [(12,)]
    assert ask(store, "SELECT leases, capacity, count(*) FROM agents GROUP BY 1, 2") == [(3, 3, 4)]
    assert ask(store, "PRAGMA foreign_key_check") == []


def test_nothing_is_due_until_it_is_said(store: Path) -> None:
    now = now_us()
    leases(store, 3)
    assert ask(store, f"SELECT count(*) FROM assignments WHERE ping_at < {now + NEVER_US}") == [(0,)]
    assert ask(store, f"SELECT count(*) FROM assignments WHERE deadline_at < {now + NEVER_US}") == [(0,)]
    due(store, first_us=now, step_us=2.5)
    assert ask(store, "SELECT ping_at FROM assignments ORDER BY id") == [(now,), (now + 2,), (now + 5,)]


def test_a_pinged_assignment_had_one_attempt(store: Path) -> None:
    leases(store, 2)
    pinged(store)
    assert ask(store, "SELECT attempt, last_ping_at = assigned_at FROM assignments") == [(1, 1), (1, 1)]


def test_a_row_has_the_columns_of_its_record(store: Path) -> None:
    leases(store, 1)
    columns = {str(column[1]) for column in ask(store, "PRAGMA table_info(agents)")}
    assert columns == {*msgspec.structs.asdict(_nobody()), "name_key"}


def _nobody() -> Agent:
    return Agent(id=1, name="a", timeout_us=1, created_at=1, status_since=1)
