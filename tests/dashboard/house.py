"""The real `rollcall up` with a fleet in every state that an operator may meet, and a browser before it.

`python -m tests.dashboard.house` starts it and prints a link; it runs until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from contracts import tokens
from contracts.tokens import Role
from tests.support.nats import until
from tests.support.processes import up

TOKEN: Final = "sesame-open-sesame"
API: Final = "/api/v1"
ROOT: Final = Path(__file__).parents[2]
LONG: Final = "worker-of-the-night-shift-with-a-name-that-never-seems-to-stop1"
MINUTE: Final = 60_000_000
OLD: Final = {
    "Migrate the audit table without a lock": 95,
    "Rotate the signing keys": 400,
    "Nightly build is red on arm64": 15,
}
"""How many minutes ago some tasks were given."""


class House:
    """A running Rollcall, asked over HTTP."""

    def __init__(self, url: str, folder: Path, client: httpx.AsyncClient) -> None:
        self.url = url
        self.folder = folder
        self.client = client
        self._known = folder / "tokens.json"  # who may speak in a house that is opened again
        self._tokens: dict[str, str] = json.loads(self._known.read_bytes()) if self._known.exists() else {}

    async def ask(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        answer = await self.client.request(method, self.url + API + path, json=body, headers=headers)
        assert answer.status_code < 300, (method, path, answer.text)
        return answer.json()

    async def link(self, scope: str = "admin") -> str:
        """Return a link into the dashboard, as `rollcall dashboard` prints it."""
        code = tokens.token("link", secrets.token_bytes(32))
        said = {"scope": scope, "prefix": tokens.prefix(code), "digest": tokens.digest(code)}
        if "olga" not in self._tokens:
            await self._token("olga", "admin")
        await self.ask("POST", "/logins", said, self._tokens["olga"])
        return tokens.link(self.url, code)

    async def agent(self, name: str, *, join: bool = True, **more: Any) -> None:
        """Register an agent and let it join; its beats are an hour apart, so it stays as it is."""
        await self.ask("POST", "/agents", {"name": name, **more})
        await self._token(name, "agent", agent=name)
        if join and more.get("beats") != "none":
            await self.say(name, "join", session=secrets.token_hex(4), interval_s=3600)

    async def _token(self, name: str, scope: Role, **more: Any) -> None:
        drawn = tokens.token(scope, secrets.token_bytes(32))
        words = {"prefix": tokens.prefix(drawn), "digest": tokens.digest(drawn)}
        await self.ask("POST", "/tokens", {"name": name, "scope": scope} | words | more)
        self._tokens[name] = drawn
        self._known.write_text(json.dumps(self._tokens))

    async def say(self, name: str, verb: str, **words: Any) -> Any:
        """Let an agent speak."""
        return await self.ask("POST", f"/agent/{verb}", words, self._tokens[name])

    async def task(self, title: str, agent: str | None = None, **more: Any) -> tuple[int, int]:
        """Create a task, held by an agent; return its number and the assignment's (0: nobody has it)."""
        task = (await self.ask("POST", "/tasks", {"title": title, **more}))["task"]
        given = {} if agent is None else await self.ask("POST", f"/tasks/{task}/assign", {"agent": agent})
        return task, given.get("assignment", 0)

    def sql(self, text: str, *values: Any) -> list[Any]:
        """Change the store behind the back of the house, to show what would take hours."""
        with sqlite3.connect(self.folder / "rollcall.db", timeout=10) as connection:
            return connection.execute(text, values).fetchall()

    def change(self, rows: str, **columns: Any) -> None:
        """Change columns of some rows: `agents WHERE name = 'x'`."""
        table, _, condition = rows.partition(" WHERE ")
        named = ", ".join(f"{name} = ?" for name in columns)
        self.sql(f"UPDATE {table} SET {named} WHERE {condition}", *columns.values())


@asynccontextmanager
async def open_house(folder: Path, settings: dict[str, object] | None = None) -> AsyncIterator[House]:
    """Run a house with nobody in it."""
    wanted = {"http.token": TOKEN, "http.per_minute": 100_000, "durability": "relaxed"} | (settings or {})
    async with up(folder, wanted) as program, httpx.AsyncClient(timeout=30) as client:
        await until(lambda: any(line.startswith("http: ") for line in program.said))
        said = [line for line in program.said if line.startswith("http: ")]
        yield House(said[0].removeprefix("http: ").strip(), folder, client)


async def populate(house: House) -> None:
    """Fill it with a fleet in odd states, and the work of three real plans."""
    await _machine(house)
    await _agents(house)
    await _work(house)
    await _plan(house)
    now = time.time_ns() // 1000
    _back(house)
    _age(house)
    _escalate(house, now)
    _dead_letter(house, now)


async def _agents(house: House) -> None:
    able = ["python", "backend", "database", "cli", "release"]
    await asyncio.gather(
        house.agent("builder-1", capabilities=["python", "backend"], capacity=3),
        house.agent("builder-2", capabilities=able, capacity=2),
        house.agent("painter", capabilities=["frontend", "design"], capacity=2),
        house.agent("reviewer", capabilities=["review"], capacity=4),
        house.agent("scribe", capabilities=["docs"], capacity=2),
        house.agent("tester", capabilities=["python", "tests"], capacity=2),
        house.agent("night-owl", capabilities=["backend"]),
        house.agent("courier", beats="none", capabilities=["deploy"], timeout_minutes=60),
        house.agent("legal", join=False, capabilities=["contracts"]),
        house.agent("scout", capabilities=["research"]),
        house.agent("crashed-1", capabilities=["backend"]),
        house.agent("crashed-2", capabilities=["frontend"]),
        house.agent(LONG, capabilities=["kubernetes-and-all-of-its-operators", "terraform"]),
    )
    await house.ask("POST", "/agents/scout/pause", {"reason": "its budget is used up until Monday"})
    await house.ask("POST", "/agents/tester/drain", {"reason": "moves to another machine"})


async def _machine(house: House) -> None:
    now = time.time_ns() // 1000
    house.sql(
        "INSERT INTO machines (name, session, joined_at, beat_at, beat_interval_us, connected, release,"
        " version, name_key) VALUES ('host-1', 's', ?, ?, 3600000000, 1, '0.1.0', 1, 'host-1')",
        now - 300 * MINUTE,
        now,
    )


async def _work(house: House) -> None:
    done = await house.task("Longer heartbeat limits", "builder-1", priority="P1")
    await house.say("builder-1", "complete", assignment=done[1], result="limits are 90 and 120 seconds")
    _, row = await house.task(
        "Let a daemon's heartbeat restore its connected flag",
        "builder-1",
        priority="P0",
        description="After a clean-up pass marked the machine as gone, its next heartbeat must bring it"
        " back.\nOne line in the machines module, and the test that was missing.",
    )
    await house.say("builder-1", "ack", assignment=row)
    await house.say("builder-1", "progress", assignment=row, note="the test fails as it should")
    _, row = await house.task("Which licence may the vendored icons have?", "painter", priority="P1")
    await house.say("painter", "ack", assignment=row)
    why = "May I use icons under CC-BY 4.0? They need a line of attribution in the about page."
    await house.say("painter", "wait", assignment=row, on="human", who="olga", reason=why)
    _, row = await house.task("Approve the release of 2.4", "builder-2", priority="P0")
    await house.say("builder-2", "ack", assignment=row)
    await house.say("builder-2", "wait", assignment=row, on="human", reason="All gates are green. Ship it?")
    await house.task("Tell an agent to join again when its record is gone", "reviewer", priority="P0")
    await house.task("Migrate the audit table without a lock", "night-owl", priority="P1")
    await house.task("Rotate the signing keys", "Ruto", priority="P0")
    _, row = await house.task("Draw the state machine", "scribe")
    await house.say("scribe", "ack", assignment=row)
    _, row = await house.task("Write the page on back-pressure", "scribe")
    await house.say("scribe", "snooze", assignment=row, minutes=45)
    await house.task("Nightly build is red on arm64", LONG, priority="P1")
    _, row = await house.task("Ship the nightly", "courier", key="nightly")
    await house.say("courier", "ack", assignment=row)
    failed, row = await house.task("Reproduce the flicker on Safari", "painter")
    await house.say("painter", "fail", assignment=row, reason="no such machine here", final=True)
    gone, _ = await house.task("Support Internet Explorer")
    await house.ask("POST", f"/tasks/{gone}/cancel", {"reason": "nobody has it any more"})
    await house.ask("POST", f"/tasks/{failed}/comments", {"text": "We get a Mac next week: reopen it then."})
    agreement = "Negotiate the data processing agreement"
    await house.task(agreement, capabilities=["law"], priority="P1", depends_on=["nightly"])
    lines = (ROOT / "examples" / "backlog.jsonl").read_text("utf-8").splitlines()
    specs = [json.loads(line) for line in lines]
    for spec in specs:
        spec["capabilities"] = ["nobody-has-this-yet"]
    await house.ask("POST", "/tasks/import", {"tasks": specs})
    policies = {
        "default": [{"kind": "main"}],
        "on-call": [
            {"kind": "retry"},
            {"kind": "peer", "capability": "backend"},
            {"kind": "notify", "who": "olga"},
            {"kind": "main"},
        ],
    }
    for name, steps in policies.items():
        known = {one["name"]: one["version"] for one in (await house.ask("GET", "/policies"))["items"]}
        said = {"steps": steps, "expected_version": known.get(name, 0)}
        await house.ask("PUT", f"/policies/{name}", said)


async def _plan(house: House) -> None:
    """Give a task phases, todos and a reminder."""
    (task,) = house.sql("SELECT id FROM tasks WHERE title LIKE 'Which licence%'")[0]
    path = f"/tasks/{task}"
    for name in ("Choose the icons", "Vendor them"):
        await house.ask("POST", f"{path}/phases", {"name": name})
    (first, second) = [one["id"] for one in (await house.ask("GET", f"{path}/phases"))["items"]]
    await house.ask("PATCH", f"{path}/phases/{first}", {"status": "done"})
    await house.ask("PATCH", f"{path}/phases/{second}", {"status": "in_progress"})
    todos = (
        {"text": "A licence that allows it", "phase": second, "required": True},
        {"text": "A line of attribution", "phase": second},
        {"text": "Tell the designers"},
    )
    for todo in todos:
        await house.ask("POST", f"{path}/todos", todo)
    number = (await house.ask("GET", f"{path}/todos"))["items"][0]["id"]
    await house.ask("PATCH", f"{path}/todos/{number}", {"done": True})
    await house.ask("POST", "/reminders", {"text": "Ask how far it is", "task": task, "in_minutes": 90})


def _escalate(house: House, now: int) -> None:
    """Let one be at its third step: the first was taken, the second found nobody."""
    row, task, round_ = house.sql(
        f"SELECT id, task_id, round FROM {lease('Migrate the audit table without a lock')}"
    )[0]
    steps = [{"kind": "retry"}, {"kind": "peer", "capability": "backend"}, {"kind": "main"}]
    house.sql(
        "INSERT INTO escalations (task_id, round, policy, steps, position, taken, started_at, version)"
        " VALUES (?, ?, 'on-call', ?, 2, 1, ?, 1)",
        *(task, round_, json.dumps(steps), now - 64 * MINUTE),
    )
    number = house.sql("SELECT max(id) FROM escalations")[0][0]
    house.change(f"assignments WHERE id = {row}", escalation_id=number)
    told = (
        (1, "retry", "taken", "night-owl", "no ack within 30 min", 64),
        (2, "peer", "skipped", None, "nobody eligible: builder-1 is full, builder-2 is full", 34),
    )
    for step, kind, outcome, target, reason, minutes in told:
        house.sql(
            "INSERT INTO escalation_steps (assignment_id, step, kind, outcome, target, reason, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(row, step, kind, outcome, target, reason, now - minutes * MINUTE),
        )
    _ended(house, now)


def _ended(house: House, now: int) -> None:
    """Let another have been answered by the main agent."""
    row, task = house.sql(
        "SELECT a.id, t.id FROM assignments a JOIN tasks t ON t.id = a.task_id"
        " WHERE t.title = 'Longer heartbeat limits'"
    )[0]
    house.sql(
        "INSERT INTO escalations (task_id, round, policy, steps, position, taken, started_at, ended_at,"
        " end_reason, version) VALUES (?, 1, 'default', ?, 1, 1, ?, ?, 'completed', 2)",
        *(task, json.dumps([{"kind": "main"}]), now - 31 * MINUTE, now - 12 * MINUTE),
    )
    house.sql(
        "INSERT INTO escalation_steps (assignment_id, step, kind, outcome, target, reason, at)"
        " VALUES (?, 1, 'main', 'taken', 'Ruto', 'no ack within 30 min', ?)",
        *(row, now - 31 * MINUTE),
    )


def _back(house: House) -> None:
    """Let every task be as old as its number says: what is written of it too."""
    tasks = house.sql("SELECT id, title FROM tasks ORDER BY id DESC")
    for place, (task, title) in enumerate(tasks):
        shift = OLD.get(title, 4 + 3 * place) * MINUTE
        leases = f"(SELECT id FROM assignments WHERE task_id = {task})"
        house.sql("UPDATE comments SET at = at - ? WHERE task_id = ?", shift, task)
        house.sql(
            "UPDATE tasks SET created_at = created_at - ?1, updated_at = updated_at - ?1 WHERE id = ?2",
            shift,
            task,
        )
        house.sql(
            "UPDATE pings SET due_at = due_at - ?1, sent_at = sent_at - ?1, published_at ="
            f" published_at - ?1 WHERE assignment_id IN {leases}",
            shift,
        )
        house.sql(
            "UPDATE audit SET at = at - ? WHERE (aggregate = 'task' AND aggregate_id = ?) OR (aggregate ="
            f" 'assignment' AND CAST(aggregate_id AS INTEGER) IN {leases})",
            shift,
            str(task),
        )


def _dead_letter(house: House, now: int) -> None:
    """Let a row be one that nothing could be done with, as its dead letter says."""
    row, version = house.sql(f"SELECT id, version FROM {lease('Nightly build is red on arm64')}")[0]
    letter = {
        "source": "row",
        "stream": "assignments",
        "consumer": "",
        "subject": f"assignments.{row}",
        "reason": "TypeError: unsupported operand type(s) for -: 'NoneType' and 'int'",
        "tries": 5,
        "at": datetime.fromtimestamp(now / 1e6 - 900, UTC).isoformat(),
        "row": row,
    }
    house.sql(
        "INSERT INTO outbox (stream, subject, message_id, body, headers, created_at, version)"
        " VALUES ('DLQ', 'dlq.rows.assignments', 'dlq:row', ?, '[]', ?, ?)",
        *(json.dumps(letter).encode(), now - 15 * MINUTE, version),
    )


def _age(house: House) -> None:
    """Let hours have passed for some."""
    now = time.time_ns() // 1000
    silent = {"attempt": 4, "assigned_at": now - 95 * MINUTE, "last_ping_at": now - 4 * MINUTE}
    house.change(lease("Migrate the audit table without a lock"), **silent)
    vain = {"attempt": 7, "assigned_at": now - 400 * MINUTE, "exhausted": 1, "repeats": 4, "level": 1}
    house.change(lease("Rotate the signing keys"), **vain, original_agent="crashed-1")
    house.change("tasks WHERE title = 'Rotate the signing keys'", status_why="escalated from crashed-1")
    house.change(lease("Draw the state machine"), stalled=1)
    why = "has accepted work and reports no progress"
    house.change("agents WHERE name = 'scribe'", stalled=1, status="stalled", status_why=why)
    why = "TypeError: unsupported operand type(s) for -: 'NoneType' and 'int'"
    house.change(lease("Nightly build is red on arm64"), quarantined=why, ping_at=None, deadline_at=None)
    none = {"alarmed": 1, "unassigned_since": now - 50 * MINUTE, "status_why": "nobody has law"}
    house.change("tasks WHERE title LIKE 'Negotiate%'", blockers=0, assign_at=None, **none)
    _end(house, "crashed-1", now - 42 * MINUTE, "dead_failed_revive", "failed", "3 exits in 5 min")
    _end(house, "crashed-2", now - 6 * MINUTE, "dead", "gone", "missed its beats for 150 s")
    beats = {"silent_at": None, "beat_at": now - 131_000_000, "beat_interval_us": 30_000_000}
    since = {"status_since": now - 41_000_000, "suspect_at": now - 41_000_000}
    house.change(
        "agents WHERE name = 'night-owl'", status="suspect", status_why="missed its beats", **beats, **since
    )
    runs = {"machine": "host-1", "process": "running", "pid": 4711, "process_at": now - 240 * MINUTE}
    house.change("agents WHERE name LIKE 'builder%'", **runs)
    for minutes, agent in ((3, "builder-1"), (9, "builder-2"), (18, "painter"), (61, "reviewer")):
        house.change(f"agents WHERE name = '{agent}'", status_since=now - minutes * MINUTE)


def lease(title: str) -> str:
    """Return which row is the open assignment of a task."""
    return f"assignments WHERE ended_at IS NULL AND task_id = (SELECT id FROM tasks WHERE title = '{title}')"


def _end(house: House, agent: str, at: int, status: str, process: str, why: str) -> None:
    house.change(
        f"agents WHERE name = '{agent}'",
        status=status,
        status_since=at,
        status_why=why,
        dead_at=at,
        dead_why=why,
        machine="host-1",
        process=process,
        silent_at=None,
        beat_at=at - MINUTE,
    )


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rollcall-dashboard-") as folder:
        async with open_house(Path(folder), {"http.port": 7466}) as house:
            await populate(house)
            print(await house.link(), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print()
