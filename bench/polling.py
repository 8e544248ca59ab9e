"""The usual first design, as Rollcall's own forerunner had it: a poll of all tasks, one post after another.

Every 30 s its worker reads all open tasks, one after another, and for each the newest open assignment and its
agent; posts `{endpoint}/ping` on a new connection, waits at most 10 s, and commits before it goes on. It
stood on an object mapper and `requests`; here are plain `sqlite3` and `http.client`, which are faster.
Everything else is SQLite's default: a rollback journal, `synchronous = FULL`.
"""

import http.client
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

POLL_S = 30.0
TIMEOUT_S = 10.0
SCHEMA = """
    CREATE TABLE agents (id INTEGER PRIMARY KEY, name TEXT UNIQUE, status TEXT, endpoint_url TEXT,
        timeout_minutes INTEGER, last_acknowledgment TEXT);
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, name TEXT, status TEXT, is_ping_enabled INTEGER,
        ping_interval_minutes INTEGER, last_ping TEXT);
    CREATE TABLE task_assignments (id INTEGER PRIMARY KEY, task_id INTEGER, agent_id INTEGER,
        assigned_at TEXT, status TEXT, last_ping_sent TEXT);
    CREATE INDEX assignments_task ON task_assignments (task_id);
    CREATE INDEX assignments_agent ON task_assignments (agent_id);
"""
TASKS = "SELECT * FROM tasks WHERE is_ping_enabled AND status IN ('todo', 'in_progress')"
NEWEST = """
    SELECT * FROM task_assignments WHERE task_id = ? AND status IN ('pending', 'acknowledged', 'snoozed')
    ORDER BY assigned_at DESC LIMIT 1
"""


def create(path: Path, count: int, endpoint: str) -> None:
    """Make a store in which `count` assignments were just made: each is to be pinged at once."""
    now = datetime.now(UTC).isoformat()
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCHEMA)
        numbers = range(1, count + 1)
        db.executemany(
            "INSERT INTO agents VALUES (?, ?, 'busy', ?, 30, NULL)",
            [(number, f"agent-{number}", endpoint) for number in numbers],
        )
        db.executemany(
            "INSERT INTO tasks VALUES (?, 'Reconcile the ledgers of March', 'in_progress', 1, 30, NULL)",
            [(number,) for number in numbers],
        )
        db.executemany(
            "INSERT INTO task_assignments VALUES (?, ?, ?, ?, 'pending', NULL)",
            [(number, number, number, now) for number in numbers],
        )


def poll(path: Path) -> int:
    """Do what the worker does each time it wakes; return how many pings arrived."""
    sent = 0
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        for task in db.execute(TASKS).fetchall():
            held = db.execute(NEWEST, (task["id"],)).fetchone()
            agent = db.execute("SELECT * FROM agents WHERE id = ?", (held["agent_id"],)).fetchone()
            now = datetime.now(UTC)
            if held["status"] != "pending" or not is_due(task, held, now) or not post(task, agent, now):
                continue
            db.execute(
                "UPDATE task_assignments SET last_ping_sent = ? WHERE id = ?", (now.isoformat(), held["id"])
            )
            db.execute("UPDATE tasks SET last_ping = ? WHERE id = ?", (now.isoformat(), task["id"]))
            db.commit()
            sent += 1
    return sent


def is_due(task: sqlite3.Row, held: sqlite3.Row, now: datetime) -> bool:
    """Tell whether a pending assignment is to be pinged: at once, then every interval."""
    last = held["last_ping_sent"]
    interval = timedelta(minutes=task["ping_interval_minutes"])
    return last is None or now >= datetime.fromisoformat(last) + interval


def post(task: sqlite3.Row, agent: sqlite3.Row, now: datetime) -> bool:
    """Ping one agent and wait for its answer."""
    body = json.dumps(
        {
            "task_id": task["id"],
            "task_name": task["name"],
            "ping_time": now.isoformat(),
            "timeout_minutes": agent["timeout_minutes"],
        }
    )
    connection = http.client.HTTPConnection(agent["endpoint_url"], timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/ping", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        return reply.status == http.client.OK
    finally:
        connection.close()
