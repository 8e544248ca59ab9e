"""Looking for what holds, and for what is to be told, keeps nobody from writing while nothing changes."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bus.service import Context
from contracts.notifying import Answer, Job, Receivers
from contracts.work import Unit
from services.notifier import Notifier, look
from store.open import open_store
from store.sqlite import SqliteStore
from tests.support.store import NOW


class Watched:
    """A store of which is noted who asked to write."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.wrote: list[str] = []

    async def run(self, units: Sequence[Unit], now: int) -> list[Any]:
        self.wrote += [unit.key for unit in units if not unit.reads_only]
        return await self.store.run(units, now)


async def answered(_job: Job) -> Answer:
    return Answer(ok=True, text="taken")


@pytest.mark.parametrize("wrong", [False, True])
async def test_it_writes_only_where_something_began(tmp_path: Path, *, wrong: bool) -> None:
    store = await open_store(tmp_path / "r.db", now=NOW)
    watched = Watched(store)
    nowhere = SimpleNamespace(put=lambda _posts: None)
    clock = SimpleNamespace(now=lambda: NOW)
    context = cast("Context", SimpleNamespace(ledger=watched, outbox=nowhere, clock=clock))
    notifier: Any = Notifier(receivers=Receivers())
    alarm = f"INSERT INTO alarms (name, since, detail, fix) VALUES ('bus', {NOW}, 'away', 'start it')"
    try:
        if wrong:
            await store._writing.call(lambda connection: connection.execute(alarm))
        for _ in range(3):
            await look(context, NOW)
            await notifier.turn("log", answered, context)
    finally:
        await store.close()
    assert watched.wrote == (["notifier.look", "notifier.log", "notifier.log"] if wrong else [])
