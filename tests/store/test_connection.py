"""What a transaction survives: cancelled callers, killed processes, a full disk, a lock, a closed store."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from contracts.work import Changes, Committed, Failed, Needs, StoreFaultError, View
from store.connection import Owner, ThreadLink, Together
from store.driver import commit_together, judged, look_together
from store.errors import StatementError
from store.open import open_store
from store.sqlite import SqliteStore
from store.statements import Course, Fetch, Mark
from tests.support.inline import InlineLink
from tests.support.store import NOW, bump, do, fill, get, get_lease, remark, sql, task, unit

ROOT = Path(__file__).parents[2]


async def test_a_cancelled_caller_tears_nothing(store: SqliteStore) -> None:
    await fill(store, 1)
    inside, go_on = threading.Event(), threading.Event()

    def decide(view: View, now: int) -> Changes:
        inside.set()
        assert go_on.wait(10)
        return bump(note="done all the same").decide(view, now)

    running = asyncio.create_task(store.run([unit(decide, Needs(assignments=(1,)))], NOW))
    await asyncio.to_thread(inside.wait, 10)
    waiting = asyncio.create_task(store.run([bump(snoozes=1)], NOW))
    await asyncio.sleep(0)
    for call in (running, waiting):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    go_on.set()
    await do(store, bump(repeats=1))
    row = await get_lease(store)
    assert (row.note, row.snoozes, row.repeats, row.version) == ("done all the same", 1, 1, 4)


async def test_closing_finishes_what_was_handed_over(path: Path) -> None:
    store = await open_store(path, now=NOW)
    call = asyncio.create_task(store.run([unit(Changes(tasks=(task(1),)))], NOW))
    await asyncio.sleep(0)
    await store.close()
    assert isinstance((await call)[0], Committed)
    assert sql(path, "SELECT count(*) FROM tasks") == [(1,)]


async def test_a_store_is_closed_also_while_everything_is_being_cancelled(path: Path) -> None:
    store = await open_store(path, now=NOW)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.close()
    left = await asyncio.to_thread(lambda: sorted(found.name for found in path.parent.iterdir()))
    assert left == [path.name]  # who closes last folds the log into the file and removes it


CRASHED = """
import asyncio, sys
from pathlib import Path
from store.open import open_store

async def main():
    store = await open_store(Path(sys.argv[1]), now=0)
    asyncio.get_running_loop().kept = store
    raise SystemExit(7)

asyncio.run(main())
"""


async def test_a_process_that_fails_without_closing_still_ends(path: Path) -> None:
    command = [sys.executable, "-c", CRASHED, str(path)]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False, timeout=20)
    assert ended.returncode == 7


async def test_a_closed_store_says_so(path: Path) -> None:
    store = await open_store(path, now=NOW)
    await store.close()
    with pytest.raises(StoreFaultError, match="closed"):
        await store.run([unit(Changes())], NOW)
    with pytest.raises(StoreFaultError, match="closed"):
        await store.due_at("next_ping_at")
    await store.close()


async def test_a_store_closed_under_its_readers_tells_the_writers_the_truth(store: SqliteStore) -> None:
    await fill(store, 1)
    await store._reading.close()
    reader = unit(Changes(), reads_only=True)
    looked, written = await store.run([reader, bump(note="x")], NOW)
    assert isinstance(looked, Committed)
    assert looked.problem is not None
    assert (looked.problem.code, looked.problem.retryable) == ("unavailable", True)
    assert isinstance(written, Committed)
    assert written.problem is None
    with pytest.raises(StoreFaultError):
        await store.run([reader], NOW)
    assert sql(store.path, "SELECT note FROM assignments") == [("x",)]


async def test_a_lock_held_by_another_process_is_a_fault_and_passes(store: SqliteStore, path: Path) -> None:
    await fill(store, 1)
    await store._writing.call(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFaultError, match="locked"):
            await store.run([bump(note="x")], NOW)
        assert (await get_lease(store)).note is None  # readers never wait
    await do(store, bump(note="x"))
    assert (await get_lease(store)).version == 2


async def test_a_full_disk_is_a_fault_blamed_on_nobody_and_passes(store: SqliteStore) -> None:
    await fill(store, 1)
    large = unit(remark("x" * 1_000_000), key="large")

    def limit(pages: str) -> None:
        connection = store._writing._connection._connection  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    pages = (await store._writing.call(lambda found: found.execute("PRAGMA page_count").fetchone()))[0]
    await store._writing.call(lambda _: limit(pages + 2))
    with pytest.raises(StoreFaultError, match="disk is full"):
        await store.run([bump(note="x"), large], NOW)
    row = await get_lease(store)
    assert (row.note, row.version) == (None, 1)
    assert await store.rows("task_comments", task_id=1) == []
    await store._writing.call(lambda _: limit("100000"))
    assert all(isinstance(found, Committed) for found in await store.run([bump(note="x"), large], NOW))


async def test_a_damaged_table_is_a_fault_of_the_store(store: SqliteStore, path: Path) -> None:
    await fill(store, 1)
    sql(path, "DROP TABLE comments")
    with pytest.raises(StoreFaultError, match="failed"):
        await store.run([unit(remark("x"))], NOW)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from contracts.work import Changes
from store import driver
from store.open import open_store
from tests.support.store import NOW, bump, fill, unit

perform = driver.perform

def perform_until(connection, request):
    reply = perform(connection, request)
    if getattr(getattr(request, "query", None), "name", "") == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return reply

async def main():
    store = await open_store(Path(sys.argv[1]), now=NOW)
    driver.perform = perform_until
    await store.run([bump(1, note="half"), bump(2, note="half")], NOW)

asyncio.run(main())
"""


@pytest.mark.parametrize("query", ["update_assignment", "insert_audit", "insert_post"])
async def test_a_process_killed_inside_a_transaction_leaves_nothing_half_done(
    store: SqliteStore, path: Path, query: str
) -> None:
    await fill(store, 2)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, str(path), query], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    rows = (await get(store, Needs(assignments=(1, 2)))).assignments
    assert [(row.note, row.version) for row in rows.values()] == [(None, 1), (None, 1)]
    await do(store, bump(1, note="whole"), bump(2, note="whole"))
    assert sql(path, "PRAGMA quick_check") == [("ok",)]
    seqs = [row.seq for row in await store.rows("audit_page", after=0, limit=99)]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.fixture
async def inline(path: Path) -> AsyncIterator[SqliteStore]:
    found = await open_store(path, now=NOW, rng=random.Random(1), open_link=InlineLink.open)
    yield found
    await found.close()


async def test_a_store_without_threads_does_the_same(inline: SqliteStore) -> None:
    threads = threading.active_count()
    await fill(inline, 2)
    await asyncio.gather(do(inline, bump(1, note="a")), do(inline, bump(2, note="b")))
    assert [(await get_lease(inline, number)).note for number in (1, 2)] == ["a", "b"]
    assert threading.active_count() == threads
    await inline.checkpoint()


@pytest.mark.parametrize("kind", [InlineLink, ThreadLink])
async def test_an_abandoned_store_leaves_what_was_committed(
    path: Path, *, kind: type[InlineLink | ThreadLink]
) -> None:
    store = await open_store(path, now=NOW, open_link=kind.open)
    await fill(store, 1)
    lock = await store._writing.call(lambda connection: connection.execute("BEGIN IMMEDIATE"))
    assert lock is not None
    del lock
    store.abandon()
    again = await open_store(path, now=NOW)
    await do(again, bump(note="x"))
    assert (await get_lease(again)).version == 2
    await again.close()


async def test_what_runs_when_the_loop_ends_is_told(store: SqliteStore) -> None:
    held = asyncio.Event()

    class Stuck:
        async def call(self, work: object) -> object:
            await held.wait()
            return work

    owner = Owner(Stuck(), commit_together)  # type: ignore[arg-type]
    calls = [asyncio.create_task(owner.transact(_nothing, rows)) for rows in (400, 400)]
    await asyncio.sleep(0)
    assert owner._task is not None
    await asyncio.sleep(0)
    owner._task.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(found) for found in outcomes] == ["the store is being shut down"] * 2


def _nothing() -> Course[int]:
    yield Fetch(None)  # type: ignore[arg-type]
    return 1


async def test_small_transactions_share_a_commit_and_large_ones_do_not(store: SqliteStore) -> None:
    taken: list[int] = []

    class Counting:
        async def call(self, work: object) -> list[int]:
            courses = work.args[0]  # type: ignore[attr-defined]
            taken.append(len(courses))
            return [0] * len(courses)

    owner = Owner(Counting(), commit_together)  # type: ignore[arg-type]
    await asyncio.gather(*(owner.transact(_nothing, rows) for rows in (1, 1, 498, 1, 900, 900)))
    assert taken == [3, 1, 1, 1]


@pytest.mark.parametrize("together", [commit_together, look_together])
def test_one_caller_s_mistake_is_not_its_neighbours(together: Together) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:

        def good() -> Course[int]:
            yield Mark("set", "mine")
            yield Mark("release", "mine")
            return 1

        def bad() -> Course[int]:
            yield from good()
            raise KeyError("bad")

        outcomes = together([good, bad, good], connection)
        assert outcomes[0] == outcomes[2] == 1
        assert isinstance(outcomes[1], KeyError)
        assert not connection.in_transaction


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (sqlite3.SQLITE_READONLY, "cannot be written"),
        (sqlite3.SQLITE_CORRUPT, "restore a backup"),
        (sqlite3.SQLITE_IOERR, "failed"),
    ],
)
def test_a_fault_says_what_to_do(code: int, word: str) -> None:
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = code
    found = judged(error)
    assert isinstance(found, StoreFaultError)
    assert word in str(found)


def test_who_is_to_blame() -> None:
    assert isinstance(judged(MemoryError()), StoreFaultError)
    assert isinstance(judged(OverflowError("too large")), StatementError)
    assert isinstance(
        judged(sqlite3.ProgrammingError("Cannot operate on a closed database.")), StoreFaultError
    )
    assert isinstance(judged(sqlite3.ProgrammingError("type 'object' is not supported")), StatementError)


async def test_a_commit_that_fails_leaves_nothing(store: SqliteStore) -> None:
    await fill(store, 1)

    def decide(view: View, now: int) -> Changes:
        connection = store._writing._connection._connection  # type: ignore[attr-defined]
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO comments (task_id, author, at, text) VALUES (99, '', 0, '')")
        return bump(note="x").decide(view, now)

    with pytest.raises(StoreFaultError):
        await store.run([unit(decide, Needs(assignments=(1,)))], NOW)
    assert (await get_lease(store)).version == 1
    assert not isinstance((await store.run([bump(note="y")], NOW))[0], Failed)
