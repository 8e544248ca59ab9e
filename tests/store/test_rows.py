"""Every record comes back from the store as it went in."""

import asyncio
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from contracts.records import (
    Agent,
    Assignment,
    AuditRow,
    Comment,
    Escalation,
    Hold,
    NoticeRow,
    PingRow,
    Policy,
    PolicyStep,
    StepRow,
    Task,
)
from contracts.work import Changes, Committed, Failed, Needs, Post
from store.driver import ROWS_TOGETHER, _for_many
from store.errors import StatementError
from store.open import open_store
from store.rows import CommandRow, binder, columns, reader
from store.sql import Query, narrowed, queries
from store.sqlite import SqliteStore
from tests.support.store import NOW, bump, do, ended, fill, get, get_lease, lease, task, unit

TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["null", "true", "0", "", "[]", "1e9"]
)
SIZED = st.integers(-(2**63), 2**63 - 1)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for an annotation of a record."""
    if hint is str:
        return TEXT
    if hint is int:
        return SIZED
    if hint in (bool, bytes, type(None)):
        return st.from_type(hint)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        return (
            st.lists(values(inner[0]), max_size=3).map(tuple)
            if inner[-1] is ...
            else st.tuples(*map(values, inner))
        )
    if isinstance(hint, type) and issubclass(hint, Struct):
        return st.builds(hint, **{name: values(found) for name, found in get_type_hints(hint).items()})
    inner = get_args(hint)
    if all(isinstance(found, str) for found in inner):
        return st.sampled_from(inner)  # a Literal
    return st.one_of(*map(values, inner))


KINDS: list[type[Struct]] = [
    *(Agent, Assignment, AuditRow, CommandRow, Comment, Escalation, Hold),
    *(NoticeRow, PingRow, Policy, Post, StepRow, Task),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """Return an SQLite without the rules of the schema, so that any value may be tried."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as found:
        for kind in KINDS:
            typed = ", ".join(f"{name} {affinity(hint)}" for name, hint in get_type_hints(kind).items())
            found.execute(f"CREATE TABLE {kind.__name__} ({typed})")
        yield found


def affinity(hint: Any) -> str:
    parts = {hint, *get_args(hint)}
    if int in parts:
        return "BIGINT"
    return "BOOLEAN" if bool in parts else "BLOB" if bytes in parts else "TEXT"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_survives_the_journey(
    connection: sqlite3.Connection, kind: type[Struct], data: st.DataObject
) -> None:
    record = data.draw(values(kind))
    names = columns(kind)
    row = binder(kind, names)(record)
    marks = ", ".join("?" * len(names))
    connection.execute(f"DELETE FROM {kind.__name__}")
    connection.execute(f"INSERT INTO {kind.__name__} VALUES ({marks})", row)
    back = reader(kind)(connection.execute(f"SELECT * FROM {kind.__name__}").fetchone())
    assert back == record
    assert [type(getattr(back, name)) for name in names] == [type(getattr(record, name)) for name in names]


async def test_every_field_of_a_record_is_written_by_insert_and_by_update(store: SqliteStore) -> None:
    fixed = {
        "assignment": {"id", "task_id", "agent"},
        "task": {"id", "key", "created_at"},
        "agent": {"id", "name", "created_at"},
        "escalation": {"id", "task_id"},
        "policy": {"name"},
    }
    catalogue = queries("sqlite")
    for one, kept in fixed.items():
        insert, update = catalogue[f"insert_{one}"], catalogue[f"update_{one}"]
        assert insert.source is not None
        assert set(insert.params) == set(columns(insert.source))
        names = set(columns(insert.source))
        assert written(update) == names - kept


async def test_an_update_writes_only_what_changed(store: SqliteStore) -> None:
    """So that an index is rewritten only where a column of it has another value."""
    await fill(store, 2)
    said: list[str] = []
    await store._writing.call(lambda connection: connection.set_trace_callback(said.append))
    await do(store, bump(1, note="a"), bump(2, note="b", attempt=1))
    await store._writing.call(lambda connection: connection.set_trace_callback(None))
    updates = [line for line in said if line.startswith("UPDATE")]
    assert updates == [
        "UPDATE assignments SET note = 'a', version = 2 WHERE id = 1 AND version = 1",
        "UPDATE assignments SET attempt = 1, note = 'b', version = 2 WHERE id = 2 AND version = 1",
    ]


@pytest.mark.parametrize("count", [1, ROWS_TOGETHER - 1, ROWS_TOGETHER, 3 * ROWS_TOGETHER + 7])
async def test_however_many_rows_are_added_each_is(store: SqliteStore, count: int) -> None:
    await fill(store, 1)
    remarks = tuple(Comment(task_id=1, author=f"a{n}", at=n, text=f"remark {n}") for n in range(count))
    await do(store, unit(Changes(comments=remarks)))
    assert await store.rows("task_comments", task_id=1) == list(remarks)


async def test_rows_that_are_added_together_are_refused_together(store: SqliteStore) -> None:
    remarks = [
        Comment(task_id=n // (ROWS_TOGETHER + 3), author="a", at=n, text="") for n in range(2 * ROWS_TOGETHER)
    ]
    await fill(store, 1)  # so there is no task 0
    found = await store.run(
        [unit(Changes(comments=tuple(remarks))), unit(Changes(comments=(remarks[-1],)))], NOW
    )
    assert [type(outcome) for outcome in found] == [Failed, Committed]
    assert await store.rows("task_comments", task_id=1) == remarks[-1:]


def test_only_plain_inserts_are_made_of_many_rows() -> None:
    catalogue = queries("sqlite")
    assert [_for_many(catalogue[name].text) for name in ("insert_hold", "update_task")] == [None, None]


def test_no_update_may_be_narrowed_to_what_it_never_writes() -> None:
    with pytest.raises(StatementError, match="update_assignment never changes task_id"):
        narrowed(queries("sqlite")["update_assignment"], ["note", "task_id"])
    assert narrowed(queries("pg")["update_policy"], ["steps"]).text == (
        "UPDATE policies SET steps = $1 WHERE name = $2 AND version = $3"
    )


def written(update: Query) -> set[str]:
    """Return the columns that a statement sets."""
    set_part = re.split(r"\sWHERE\s", update.text)[0]
    return set(re.findall(r"(\w+) = \?", set_part))


async def test_what_ends_is_written_whole(store: SqliteStore) -> None:
    await fill(store, 1)

    def end(view: Any, _now: int) -> Changes:
        row = ended(view.assignments[1], "lost")
        after = task(1, version=view.tasks[1].version, status="failed", priority=0, due_at=5, assign_at=6)
        return Changes(assignments=(row,), tasks=(after,))

    await do(store, unit(end, Needs(assignments=(1,))))
    row = await get_lease(store)
    assert (row.status, row.end_reason, row.ended_at) == ("failed", "lost", NOW)
    found = (await get(store, Needs(tasks=(1,)))).tasks[1]
    assert (found.status, found.priority, found.due_at, found.assign_at, found.agent) == (
        "failed",
        0,
        5,
        6,
        None,
    )


async def test_the_history_around_a_task_comes_back(store: SqliteStore) -> None:
    await fill(store, 1)
    step = StepRow(
        assignment_id=1,
        step=0,
        kind="main",
        outcome="skipped",
        target=None,
        reason="away",
        successor_id=None,
        at=NOW,
    )
    remark = Comment(task_id=1, author="me", at=NOW, text="hm")
    open_notice = NoticeRow(agent="a1", assignment_id=1, kind="due", text="late", at=NOW)
    old_notice = NoticeRow(agent="a1", assignment_id=2, kind="due", text="of an ended lease", at=NOW)
    await do(store, unit(Changes(steps=(step,), comments=(remark,), notices=(open_notice, old_notice))))
    assert await store.rows("task_steps", task_id=1) == [step]
    assert await store.rows("task_comments", task_id=1) == [remark]
    assert await store.rows("agent_notices", agent="A1") == [open_notice]
    assert [row.id for row in await store.rows("task_assignments", task_id=1)] == [1]
    policy = Policy(name="p", steps=(PolicyStep(kind="peer", capability="x"),), updated_at=NOW)
    await do(store, unit(Changes(policies=(policy,))))
    stored = (await get(store, Needs(policies=("p",)))).policies["p"]
    assert stored.steps == policy.steps
    await do(store, unit(lambda _view, _now: Changes(policies=(stored,)), Needs(policies=("p",))))
    assert [row.version for row in await store.rows("list_policies")] == [1, 2]


def test_a_store_reads_what_another_seed_wrote(tmp_path: Path) -> None:
    async def write_and_read() -> list[int]:
        first = await open_store(tmp_path / "a.db", now=NOW, rng=random.Random(5))
        await fill(first, 2)
        await first.close()
        second = await open_store(tmp_path / "a.db", now=NOW)
        found = [row.id for row in await second.rows("open_assignments", after=0, limit=9)]
        await second.close()
        return found

    assert asyncio.run(write_and_read()) == [lease(1, 1, "x").id, 2]
