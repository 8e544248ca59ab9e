"""What is wrong with the house is written once, and once more when it is over; and how processes are."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.records import Alarm
from store import backups
from store.errors import StoreError
from store.sqlite import SqliteStore
from tests.support.store import NOW, sql, stamp

SECOND = 1_000_000


def alarm(name: str, since: int = NOW, detail: str = "not running") -> Alarm:
    return Alarm(name=name, since=since, detail=detail, fix=f"rollcall run {name}")


def said(store: SqliteStore) -> list[Any]:
    facts = "SELECT aggregate_id, event, at, data FROM audit WHERE aggregate = 'system' ORDER BY seq"
    rows = sql(store.path, facts)
    return [(name, event, (at - NOW) // SECOND, msgspec.json.decode(data)) for name, event, at, data in rows]


async def test_an_alarm_is_announced_when_it_begins_and_when_it_is_over(store: SqliteStore) -> None:
    raised = await store.alarm([alarm("pinger")], NOW)
    assert [post.subject for post in raised.posts] == ["evt.system.pinger.alarm_raised"]
    again = await store.alarm([alarm("pinger", NOW + SECOND, "since 9 s")], NOW + SECOND)
    assert again.posts == ()
    both = await store.alarm([alarm("pinger"), alarm("relay", NOW + 2 * SECOND)], NOW + 2 * SECOND)
    assert [post.subject for post in both.posts] == ["evt.system.relay.alarm_raised"]
    rows = await store.rows("list_alarms")
    assert [(row.name, row.since - NOW, row.detail) for row in rows] == [
        ("pinger", 0, "not running"),
        ("relay", 2 * SECOND, "not running"),
    ]
    over = await store.alarm([alarm("relay")], NOW + 7 * SECOND)
    assert [post.subject for post in over.posts] == ["evt.system.pinger.alarm_over"]
    assert [row.name for row in await store.rows("list_alarms")] == ["relay"]
    assert said(store) == [
        ("pinger", "alarm_raised", 0, {"detail": "not running", "fix": "rollcall run pinger"}),
        ("relay", "alarm_raised", 2, {"detail": "not running", "fix": "rollcall run relay"}),
        ("pinger", "alarm_over", 7, {"lasted_s": "7"}),
    ]


async def test_two_watchers_that_see_the_same_say_it_once(store: SqliteStore) -> None:
    seen = [alarm("pinger")]
    first, second = await store.alarm(seen, NOW), await store.alarm(seen, NOW)
    assert (len(first.posts), len(second.posts)) == (1, 0)
    assert len(said(store)) == 1


async def test_vitals_go_with_the_stamp_and_alone_say_nothing_of_the_bus(store: SqliteStore) -> None:
    await store.vitals("p1", b"[]", NOW)  # never stamped: it says nothing
    assert await store.rows("list_processes") == []
    await store.stamp(stamp(NOW, vitals=b"[1]"))
    await store.stamp(stamp(NOW + SECOND))  # the pinger's, which has none
    (row,) = await store.rows("list_processes")
    assert (row.vitals, row.vitals_at, row.alive_at) == (b"[1]", NOW, NOW + SECOND)
    await store.vitals("p1", b"[2]", NOW + 3 * SECOND)
    (row,) = await store.rows("list_processes")
    assert (row.vitals, row.vitals_at) == (b"[2]", NOW + 3 * SECOND)
    assert (row.alive_at, row.bus_ok_at) == (NOW + SECOND, NOW + SECOND)


async def test_a_store_is_looked_at_without_opening_it(store: SqliteStore, tmp_path: Path) -> None:
    await store.stamp(stamp(NOW, vitals=b"[]"))
    found = backups.look(store.path, ["list_processes", "due"])
    assert [row.id for row in found["list_processes"]] == ["p1"]
    assert found["due"][0].ping_at is None
    with pytest.raises(StoreError, match="there is no store"):
        backups.look(tmp_path / "none.db", ["due"])
    sql(store.path, "DROP TABLE alarms")
    with pytest.raises(StoreError, match="alarms"):
        backups.look(store.path, ["list_alarms"])
    sql(store.path, "PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="of an older version"):
        backups.look(store.path, ["due"])
