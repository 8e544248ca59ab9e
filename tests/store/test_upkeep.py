"""Stamps and holds, forgetting, checkpoints, and the backups of a store."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from contracts.events import event_id
from contracts.records import Hold, NoticeRow, PingRow
from contracts.work import Changes, Needs, Unit, View
from store import backups
from store.errors import StoreError, StoreRefusedError
from store.open import open_store
from store.sqlite import SqliteStore
from tests.support.store import (
    NOW,
    bump,
    command,
    do,
    ended,
    fill,
    get,
    get_lease,
    ping_post,
    sql,
    stamp,
    unit,
)

SECOND = 1_000_000


async def holds(store: SqliteStore) -> list[tuple[int, int]]:
    """Return the stretches that count against nobody, in seconds after the first stamp."""
    rows = await store.rows("list_holds")
    return [((row.start_at - NOW) // SECOND, (row.end_at - NOW) // SECOND) for row in rows]


async def test_a_gap_in_everybody_s_stamps_is_a_hold(store: SqliteStore) -> None:
    await store.stamp(stamp(NOW))
    await store.stamp(stamp(NOW + 4 * SECOND, "p2", service="monitor"))
    await store.stamp(stamp(NOW + 8 * SECOND, server="s2"))  # p2 filled its gap
    assert await holds(store) == []
    await store.stamp(stamp(NOW + 14 * SECOND, "p2", server="s3", service="monitor"))
    assert await holds(store) == [(8, 14)]
    processes = [
        (row.id, row.service, row.started_at, row.bus_ok_at, row.server)
        for row in await store.rows("list_processes")
    ]
    assert processes == [
        ("p1", "pinger", NOW, NOW + 8 * SECOND, "s2"),
        ("p2", "monitor", NOW + 4 * SECOND, NOW + 14 * SECOND, "s3"),
    ]
    await store.answered(NOW + 3, stamp(NOW + 14 * SECOND, server="s3"))
    clocks = await get(store, Needs(clocks=True))
    assert (len(clocks.holds), clocks.answers_until) == (1, NOW + 3)
    assert (await get(store, Needs())).holds == ()


async def test_a_gap_of_the_services_alone_is_none(store: SqliteStore) -> None:
    """The bus that is here now was here before, and nobody missed it meanwhile: it took every answer."""
    await store.stamp(stamp(NOW))
    await store.stamp(stamp(NOW + 9 * SECOND, "p2"))
    assert await holds(store) == []


@pytest.mark.parametrize("server", ["s2", ""])
async def test_a_bus_that_was_started_anew_may_have_been_away(store: SqliteStore, server: str) -> None:
    """So may one whose name is not known."""
    await store.stamp(stamp(NOW, server="" if not server else "s1"))
    await store.stamp(stamp(NOW + 9 * SECOND, "p2", server=server))
    assert await holds(store) == [(0, 9)]


async def test_whoever_lived_without_a_bus_makes_the_gap_a_hold(store: SqliteStore) -> None:
    await store.stamp(stamp(NOW))
    await store.stamp(stamp(NOW + 3 * SECOND, "p2", server=None))
    await store.stamp(stamp(NOW + 9 * SECOND))
    assert await holds(store) == [(0, 9)]
    ((alive_at, bus_ok_at, server),) = sql(
        store.path, "SELECT alive_at, bus_ok_at, server FROM processes WHERE id = 'p2'"
    )
    assert (alive_at, bus_ok_at, server) == (NOW + 3 * SECOND, None, None)
    await store.stamp(stamp(NOW + 10 * SECOND, server=None))
    ((bus_ok_at, server),) = sql(store.path, "SELECT bus_ok_at, server FROM processes WHERE id = 'p1'")
    assert (bus_ok_at, server) == (NOW + 9 * SECOND, "s1")


async def test_whoever_could_not_write_that_the_bus_was_away_says_so_later(store: SqliteStore) -> None:
    await store.stamp(stamp(NOW))
    await store.stamp(stamp(NOW + 9 * SECOND, away=True))
    assert await holds(store) == [(0, 9)]


async def test_whoever_says_that_answers_are_handled_closes_the_gap_first(store: SqliteStore) -> None:
    await store.stamp(stamp(NOW))
    await store.answered(NOW + 9 * SECOND, stamp(NOW + 9 * SECOND, server="s2"))
    assert await holds(store) == [(0, 9)]


async def test_a_clock_that_went_back_makes_no_hold_and_hides_none(store: SqliteStore) -> None:
    await store.stamp(stamp(NOW + 60 * SECOND))
    await store.stamp(stamp(NOW + 60 * SECOND, "p2", server=None))
    await store.stamp(stamp(NOW, server="s2"))
    assert await holds(store) == []
    await store.stamp(stamp(NOW + 9 * SECOND, server="s3"))
    assert await holds(store) == [(0, 9)]


async def test_of_two_holds_that_begin_together_the_longer_one_stands(store: SqliteStore) -> None:
    for seconds in (3, 5, 4):
        await store.hold(Hold(start_at=NOW, end_at=NOW + seconds * SECOND))
    assert await holds(store) == [(0, 5)]


async def test_a_restored_store_holds_for_the_time_that_it_does_not_know(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.stamp(stamp(NOW))
    backup, place = tmp_path / "backup.db", tmp_path / "restored.db"
    backups.backup(store.path, backup)
    backups.restore(backup, place, now=NOW + 7, rng=random.Random(3))
    restored = await open_store(place, now=NOW)
    await restored.stamp(stamp(NOW + 9 * SECOND))
    assert await holds(restored) == [(0, 9)]
    await restored.close()


async def test_nobody_has_said_anything_about_answers_at_first(store: SqliteStore) -> None:
    assert (await get(store, Needs())).answers_until is None


def told(assignment: int, number: int) -> Changes:
    """Return a ping and a notice about an assignment, both as old as their number."""
    names: dict[str, Any] = {"agent": f"a{assignment}", "assignment_id": assignment}
    return Changes(
        pings=(PingRow(attempt=number, incarnation="x", due_at=0, sent_at=number, **names),),
        notices=(NoticeRow(kind="k", text="t", at=number, **names),),
    )


def end(assignment: int) -> Unit:
    def decide(view: View, _now: int) -> Changes:
        return Changes(assignments=(ended(view.assignments[assignment]),))

    return unit(decide, Needs(assignments=(assignment,)))


async def test_what_is_open_is_never_forgotten(store: SqliteStore, path: Path) -> None:
    """However old, and also when more of it stands in front of what may go than one piece looks at."""
    await fill(store, 2)
    for number in (1, 2, 3):
        await do(store, unit(told(1, number)))
    for number in (4, 5, 6):
        await do(store, unit(told(2, number)))
    await do(store, end(2))
    for table in ("pings", "notices"):
        assert await store.forget(table, 6, 1) == 1
        assert await store.forget(table, 6, 9) == 1
        assert await store.forget(table, 99, 9) == 1
        assert await store.forget(table, 99, 9) == 0
        assert sql(path, f"SELECT DISTINCT assignment_id, count(*) FROM {table}") == [(1, 3)]
    await do(store, end(1))
    assert [await store.forget(table, 99, 9) for table in ("pings", "notices")] == [3, 3]


async def test_what_is_old_is_forgotten_in_pieces(store: SqliteStore, path: Path) -> None:
    await fill(store, 1)
    for number in (1, 2, 3):
        await do(store, unit(told(1, number), command=command(f"c{number}")), now=number)
        await store.stamp(stamp(number * SECOND, f"p{number}", server=f"s{number}", gap_us=SECOND // 2))
    await do(store, end(1))
    for table in ("pings", "notices", "commands"):
        assert await store.forget(table, 3, 1) == 1
        assert await store.forget(table, 3, 9) == 1
        assert await store.forget(table, 3, 9) == 0
        assert sql(path, f"SELECT count(*) FROM {table}") == [(1,)]
    assert await store.forget("holds", 3 * SECOND, 9) == 1
    await store.stamp(stamp(4 * SECOND, "p4", server=None))
    assert await store.forget("processes", 99 * SECOND, 9) == 3  # the newest stamp of a live bus stays
    assert [row.id for row in await store.rows("list_processes")] == ["p3"]
    assert await store.forget("audit", NOW, 1) == 0
    assert await store.forget("audit", NOW + 1, 1) == 1
    assert [row.seq for row in await store.rows("audit_page", after=0, limit=9)] == [2]
    with pytest.raises(ValueError, match="tasks"):
        await store.forget("tasks", 1, 1)


async def test_forgotten_numbers_are_never_drawn_again(store: SqliteStore) -> None:
    await store.forget("audit", NOW + 1, 9)
    await fill(store, 1)
    await do(store, bump(note="x"))
    assert [row.seq for row in await store.rows("audit_page", after=0, limit=9)] == [3]


async def test_a_lost_stream_is_filled_from_the_audit_page_by_page(store: SqliteStore) -> None:
    await fill(store, 1)
    await do(store, bump(note="x"))
    assert await store.refill_page(2) is None
    await store.begin_refill("one")
    before = [post.message_id for post in await store.unsent(NOW + 1, 99)]
    await do(store, bump(note="published in its usual way"))
    filled: list[str] = []
    while (page := await store.refill_page(2)) is not None:
        filled += [post.message_id for post in page[0]]
        assert await store.refill_page(2) == page  # until it is said to be published
        await store.refilled(page[1])
    assert filled == before
    assert len(filled) == 3
    await store.refilled(3)  # said late, by one who filled beside us
    assert await store.refill_page(2) is None
    await store.begin_refill("one")  # which is known, and full
    assert await store.refill_page(2) is None


async def test_a_refill_that_begins_while_another_ends_is_not_forgotten(store: SqliteStore) -> None:
    await store.begin_refill("one")
    await store.refilled(2)
    page = store._look

    async def look_late(course: Any) -> Any:
        found = await page(course)
        await store.begin_refill("another")
        return found

    store._look = look_late  # type: ignore[method-assign]
    assert await store.refill_page(9) is None
    store._look = page  # type: ignore[method-assign]
    again = await store.refill_page(9)
    assert again is not None
    assert len(again[0]) == 2


async def test_there_is_nothing_to_fill_a_stream_with_when_the_audit_is_empty(store: SqliteStore) -> None:
    await store.forget("audit", NOW + 1, 9)
    await store.begin_refill("one")
    assert await store.refill_page(9) is None


def size(path: Path) -> int:
    return path.stat().st_size


async def test_a_checkpoint_folds_the_log_into_the_file(store: SqliteStore, path: Path) -> None:
    await fill(store, 200)
    before = size(path)
    await store.checkpoint()
    assert size(path) > before


async def test_a_backup_is_made_under_writes_and_is_a_whole_store(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    await fill(store, 50)
    target = tmp_path / "backup.db"
    stop = asyncio.Event()

    async def write() -> int:
        count = 0
        while not stop.is_set():
            count += 1
            await do(store, *(bump(number, note=str(count)) for number in (1, 2, 3)))
        return count

    writing = asyncio.create_task(write())
    for _ in range(5):
        await asyncio.to_thread(backups.backup, path, target)
        notes = sql(target, "SELECT DISTINCT note FROM assignments WHERE id <= 3")
        assert len(notes) == 1  # one state, not two halves
    stop.set()
    assert await writing > 5
    assert "50 tasks" in backups.examine(target)
    assert sql(target, "PRAGMA application_id") == sql(path, "PRAGMA application_id")
    assert names(tmp_path) == {"backup.db", "rollcall.db", "rollcall.db-shm", "rollcall.db-wal"}


async def test_a_backup_is_on_the_disk_before_it_takes_its_name(
    store: SqliteStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda _: there.append("backup.db" in names(tmp_path)))
    backups.backup(path, tmp_path / "backup.db")
    assert there == [False, True]  # first what it holds, then its name


def names(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()}


async def test_a_restored_store_begins_a_new_life(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    await fill(store, 3)
    await do(
        store,
        bump(2, status="waiting"),
        unit(Changes(posts=(ping_post(1, 1), ping_post(2, 1), ping_post(3, None)))),
    )
    await store.answered(NOW, stamp())
    before = await store.incarnation()
    backup, place = tmp_path / "backup.db", tmp_path / "restored.db"
    backups.backup(path, backup)
    backups.restore(backup, place, now=NOW + 7, rng=random.Random(3))
    restored = await open_store(place, now=NOW)
    incarnation = await restored.incarnation()
    assert incarnation != before
    assert [(await get_lease(restored, n)).ping_at for n in (1, 2, 3)] == [NOW + 7, None, None]
    assert {post.stream for post in await restored.unsent(NOW + 9, 99)} == {"EVENTS"}
    assert (await get(restored, Needs())).answers_until is None
    row = (await restored.rows("audit_page", after=0, limit=99))[-1]
    assert (row.event, row.incarnation, row.at) == ("restored", incarnation, NOW + 7)
    assert event_id(row) in {post.message_id for post in await restored.unsent(NOW + 9, 99)}
    older = (await restored.rows("audit_page", after=0, limit=1))[0]
    assert older.incarnation == before  # what was written keeps the id it has
    await restored.close()
    assert {"restored.db", "backup.db"} <= names(tmp_path)
    assert not [name for name in names(tmp_path) if name.endswith(".part")]


async def test_a_live_store_sees_its_new_life_at_once(store: SqliteStore, path: Path) -> None:
    before = await store.incarnation()
    backups.restore_in_place(path, now=NOW)
    assert (await get(store, Needs())).incarnation != before


async def test_what_stands_in_the_way_of_a_restore_is_named(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    backups.backup(path, backup)
    with pytest.raises(StoreRefusedError, match="in the way"):
        backups.restore(backup, path, now=NOW)
    leave(tmp_path / "new.db-wal")
    with pytest.raises(StoreRefusedError, match=r"new\.db-wal is in the way"):
        backups.restore(backup, tmp_path / "new.db", now=NOW)


def leave(path: Path) -> None:
    path.write_bytes(b"old")


async def test_what_cannot_be_copied_is_refused(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the store itself"):
        backups.backup(path, path)
    with pytest.raises(StoreError, match="cannot be written"):
        backups.backup(path, tmp_path / "no" / "backup.db")
    with pytest.raises(StoreRefusedError, match="no store at"):
        backups.backup(tmp_path / "nothing.db", tmp_path / "b.db")
    leave(tmp_path / "text.db")
    with pytest.raises(StoreRefusedError, match="no SQLite file"):
        backups.restore(tmp_path / "text.db", tmp_path / "b.db", now=NOW)
    sql(tmp_path / "empty.db", "PRAGMA user_version")
    leave_empty(tmp_path / "empty.db")
    with pytest.raises(StoreRefusedError, match="is empty"):
        backups.examine(tmp_path / "empty.db")
    assert not (names(tmp_path) & {"b.db", "backup.db"})


def leave_empty(path: Path) -> None:
    path.write_bytes(b"")


async def test_a_restore_that_fails_leaves_nothing_behind(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    backups.backup(path, backup)
    sql(backup, "DROP TABLE outbox")
    with pytest.raises(StoreError, match="left as it was"):
        backups.restore(backup, tmp_path / "new.db", now=NOW)
    assert not (names(tmp_path) & {"new.db", "new.db-wal"})
    assert not [name for name in names(tmp_path) if ".part" in name]
