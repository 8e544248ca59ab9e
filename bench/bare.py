"""The fastest known way to read over HTTP: Litestar handlers on aiosqlite, with the same SQL, nothing around.

No token, no limit on how often, no check of who asks from where, no version of what is shown.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import aiosqlite
import anyio
import msgspec
import uvicorn
from litestar import Litestar, Response, get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from contracts import views
from contracts.codec import instant
from store.connection import STATEMENTS_KEPT
from store.file import tune_reader
from store.sql import Query, queries

T = TypeVar("T")

PARTS: dict[str, type[Struct]] = {
    "task_assignments": views.AssignmentView,
    "task_comments": views.CommentView,
    "task_steps": views.EscalationStepView,
    "task_pings": views.PingView,
    "task_phases": views.PhaseView,
    "task_todos": views.TodoView,
    "task_reminders": views.ReminderView,
}
Shown = dict[str, Any]
Shape = Callable[[Sequence[Any]], Shown]


def shape(query: Query, kind: type[Struct]) -> Shape:
    """Return what makes of a row what is shown of it: places and conversions are known beforehand."""
    assert query.record is not None  # noqa: S101 - for the type checkers
    columns = query.record.__struct_fields__
    hints = get_type_hints(kind)
    taken = [(name, columns.index(name), _conversion(hints[name])) for name in kind.__struct_fields__]

    def shaped(row: Sequence[Any]) -> Shown:
        return {name: row[place] if to is None else to(row[place]) for name, place, to in taken}

    return shaped


def _conversion(hint: Any) -> Callable[[Any], Any] | None:
    """Return how a column becomes what is shown; None where it is that."""
    text = str(hint)
    if "datetime" in text:
        return _instant
    if "tuple" in text:
        return _raw
    return bool if bool in (hint, *get_args(hint)) else None


def _instant(at: int | None) -> datetime | None:
    return None if at is None else instant(at)


def _raw(listed: str) -> msgspec.Raw:
    return msgspec.Raw(listed.encode())


class Rooms:
    """What the handlers know: the connection, the SQL and the shapes."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        """Keep them."""
        known = queries("sqlite")
        self._db = db
        self._one, self._listed = known["load_tasks"].text, known["list_tasks"]
        self._waits = known["task_dependencies"].text
        self._task = shape(known["load_tasks"], views.TaskView)
        self._parts = [(known[name].text, shape(known[name], kind)) for name, kind in PARTS.items()]

    async def listed(self, limit: int) -> Shown:
        """Return a page of tasks: one query, one hop to the connection's thread."""
        given = {"status": None, "agent": None, "after": 0, "limit": limit}
        values = [given[name] for name in self._listed.params]
        rows = list(await self._db.execute_fetchall(self._listed.text, values))
        return {
            "items": [self._task(row) for row in rows],
            "next": rows[-1][0] if len(rows) >= limit else None,
        }

    async def one(self, task: int) -> Shown:
        """Return a task with all that belongs to it: several queries, and one hop all the same."""
        return await on_thread(self._db, partial(self._at_once, task))

    def _at_once(self, task: int, db: sqlite3.Connection) -> Shown:
        """Read it on one state of the file, as the operation promises; it is also faster than without."""
        db.execute("BEGIN")
        try:
            return self._read(db, task)
        finally:
            db.execute("ROLLBACK")

    def _read(self, db: sqlite3.Connection, task: int) -> Shown:
        (row,) = db.execute(self._one, (f"[{task}]",)).fetchall()
        parts = [
            [shaped(one) for one in db.execute(text, (task,)).fetchall()] for text, shaped in self._parts
        ]
        assignments, comments, steps, pings, phases, todos, reminders = parts
        return {
            "task": self._task(row),
            "depends_on": [one for (one,) in db.execute(self._waits, (task,)).fetchall()],
            "assignments": assignments,
            "comments": comments,
            "steps": steps,
            "pings": pings,
            "phases": phases,
            "todos": todos,
            "reminders": reminders,
        }


async def on_thread(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run a function on the connection's thread."""
    db: Any = connection
    found: T = await db._execute(work, db._conn)  # noqa: SLF001 - it has no public door
    return found


def app(rooms: Rooms) -> Litestar:
    """Return the app of two handlers."""

    @get("/api/v1/tasks/{task:int}")
    async def one(task: FromPath[int]) -> Response[bytes]:
        return Response(msgspec.json.encode(await rooms.one(task)), media_type="application/json")

    @get("/api/v1/tasks")
    async def listed(limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50) -> Response[bytes]:
        return Response(msgspec.json.encode(await rooms.listed(limit)), media_type="application/json")

    return Litestar([one, listed], openapi_config=None, logging_config=None)


class Server(uvicorn.Server):
    """Stops when it is told to: signals are the bench's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[str]:
    """Serve a store's file, and yield the address."""
    async with aiosqlite.connect(path, isolation_level=None, cached_statements=STATEMENTS_KEPT) as db:
        await on_thread(db, tune_reader)
        server = Server(
            uvicorn.Config(app(Rooms(db)), port=0, log_config=None, access_log=False, lifespan="off")
        )
        serving = asyncio.create_task(server.serve())
        with anyio.fail_after(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await serving
