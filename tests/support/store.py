"""Records and units for tests of the store, whose decisions are written where they are needed."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import structs

from contracts.records import Agent, Assignment, AssignmentStatus, Comment, EndReason, Task
from contracts.work import Changes, CommandKey, Committed, Fact, Failed, Needs, Post, Stamp, Unit, View
from store.sqlite import SqliteStore

NOW = 1_800_000_000_000_000
MINUTE = 60_000_000
Decide = Callable[[View, int], Changes]


def agent(id_: int, name: str, **fields: Any) -> Agent:
    given: dict[str, Any] = {
        "id": id_,
        "name": name,
        "timeout_us": 30 * MINUTE,
        "created_at": NOW,
        "status_since": NOW,
    }
    return Agent(**given | fields)


def task(id_: int, **fields: Any) -> Task:
    given: dict[str, Any] = {
        "id": id_,
        "title": f"task {id_}",
        "ping_interval_us": 30 * MINUTE,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Task(**given | fields)


def lease(id_: int, task_id: int, holder: str, **fields: Any) -> Assignment:
    given: dict[str, Any] = {
        "id": id_,
        "task_id": task_id,
        "agent": holder,
        "original_agent": holder,
        "epoch": 1,
        "round": 1,
        "assigned_at": NOW,
        "accept_us": 30 * MINUTE,
        "warn_us": 10 * MINUTE,
        "act_us": 30 * MINUTE,
        "ping_interval_us": 30 * MINUTE,
    }
    return Assignment(**given | fields)


def ended(row: Assignment, why: EndReason = "completed") -> Assignment:
    status: AssignmentStatus = "completed" if why == "completed" else "failed"
    return structs.replace(row, status=status, end_reason=why, ended_at=NOW, ping_at=None, deadline_at=None)


def unit(decide: Decide | Changes, needs: Needs | None = None, **fields: Any) -> Unit:
    """Return a unit of a decision, or of changes that need none."""
    found = decide if callable(decide) else lambda _view, _now: decide
    given: dict[str, Any] = {"key": "k", "needs": needs or Needs(), "decide": found}
    return Unit(**given | fields)


def command(name: str, digest: bytes = b"d", actor: str = "agent:a1") -> CommandKey:
    return CommandKey(actor, name, digest)


def fact(event: str, id_: object = 1, aggregate: str = "assignment", **fields: Any) -> Fact:
    given: dict[str, Any] = {"version": 1, "actor": "agent:a1"}
    return Fact(aggregate=aggregate, id=str(id_), event=event, **given | fields)


def ping_post(assignment: int, attempt: int | None, body: bytes = b"{}") -> Post:
    return Post(
        slot=f"ping:{assignment}",
        stream="PINGS",
        subject=f"in.ping.a1.{assignment}",
        message_id=f"ping:x:{assignment}:{attempt}",
        body=body,
        created_at=NOW,
        assignment_id=assignment,
        attempt=attempt,
    )


def remark(text: str, task_id: int = 1) -> Changes:
    return Changes(comments=(Comment(task_id=task_id, author="me", at=NOW, text=text),))


def bump(assignment_id: int = 1, **fields: Any) -> Unit:
    """Return a unit that changes an assignment and says so."""

    def decide(view: View, _now: int) -> Changes:
        row = view.assignments[assignment_id]
        said = fact("changed", assignment_id, version=row.version + 1)
        return Changes(assignments=(structs.replace(row, **fields),), facts=(said,))

    return unit(decide, Needs(assignments=(assignment_id,)), key=f"bump {assignment_id}")


def stamp(at: int = NOW, process: str = "p1", **fields: Any) -> Stamp:
    """Return the stamp of a process with a live bus, which may make a hold of a gap over five seconds."""
    given: dict[str, Any] = {"server": "s1", "service": "pinger", "gap_us": 5_000_000}
    return Stamp(process=process, now=at, **given | fields)


async def do(store: SqliteStore, *units: Unit, now: int = NOW) -> list[Committed]:
    """Run units that must all be committed."""
    done: list[Committed] = []
    for outcome in await store.run(units, now):
        if isinstance(outcome, Failed):
            raise outcome.error
        done.append(outcome)
    return done


async def fill(store: SqliteStore, count: int, **fields: Any) -> None:
    """Make agents a1, a2, a3 …, each with a task and its open lease of the same number."""

    def decide(view: View, _now: int) -> Changes:
        agents, tasks, leases = [], [], []
        for number in range(1, count + 1):
            name = f"a{number}"
            agents.append(agent(view.new_id("agents"), name, leases=1))
            task_id, lease_id = view.new_id("tasks"), view.new_id("assignments")
            tasks.append(task(task_id, status="in_progress", assignment_id=lease_id, agent=name))
            leases.append(lease(lease_id, task_id, name, **fields))
        return Changes(agents=tuple(agents), tasks=tuple(tasks), assignments=tuple(leases))

    await do(store, unit(decide))


async def get(store: SqliteStore, needs: Needs) -> View:
    """Return what a unit with these needs sees."""
    seen: list[View] = []

    def decide(view: View, _now: int) -> Changes:
        seen.append(view)
        return Changes()

    await do(store, unit(decide, needs, reads_only=True))
    return seen[0]


async def get_lease(store: SqliteStore, id_: int = 1) -> Assignment:
    return (await get(store, Needs(assignments=(id_,)))).assignments[id_]


def sql(path: Path, text: str, params: Sequence[object] = ()) -> list[Any]:
    """Run a statement beside the store, on a connection of its own."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        return connection.execute(text, params).fetchall()
