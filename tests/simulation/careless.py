"""A store that is careless about its transactions: it awaits inside them, or tells before it writes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import store.driver
from contracts.work import Claim, Committed, Failed, StoreFaultError, Unit
from store import batch
from store.sqlite import SqliteStore

BETWEEN_S: Final = 0.2  # how long a careless await inside a transaction leaves the door open
_LATER: list[asyncio.Task[None]] = []
_CLAIM = SqliteStore.claim
_WRITE = SqliteStore._write


async def claim_kept(self: SqliteStore, claim: Claim, now: int) -> list[Committed | Failed]:
    """Take the rows off the due columns first, and decide about them in a transaction of its own."""
    column = {"claim_pings": "ping_at", "claim_deadlines": "deadline_at", "claim_assignable": "assign_at"}
    if claim.query not in column:
        return await _CLAIM(self, claim, now)
    table, due = claim.rows, column[claim.query]
    taken: list[tuple[int, int]] = await self._writing.call(
        lambda connection: connection.execute(
            f"UPDATE {table} SET {due} = {due} + 3600000000, version = version + 1 "
            f"WHERE id IN (SELECT id FROM {table} WHERE {due} <= ? LIMIT ?) RETURNING id, {due}",
            (now, claim.limit),
        ).fetchall()
    )
    await asyncio.sleep(BETWEEN_S)
    await self._writing.call(
        lambda connection: connection.executemany(
            f"UPDATE {table} SET {due} = ? - 3600000000 WHERE id = ? AND {due} = ?",
            [(at, row, at) for row, at in taken],
        )
    )
    return await self.run([claim.unit(row) for row, _ in taken], now)


async def claim_read_first(self: SqliteStore, claim: Claim, now: int) -> list[Committed | Failed]:
    """Read what is due, and write what was decided later, whatever was written meanwhile."""
    saved: list[Any] = []

    def decide(connection: sqlite3.Connection) -> list[Any]:
        outcomes = store.driver.commit_together(
            [lambda: batch.take(self._queries, claim, now, self._rng)],
            _Recording(connection, saved),  # type: ignore[arg-type] # a connection that only notes what is written
        )
        return list(outcomes[0])

    outcomes = await self._reading.call(decide)
    await asyncio.sleep(BETWEEN_S)
    await self._writing.call(lambda connection: _replay(connection, saved))
    return outcomes


class _Recording:
    """Reads from a connection; what would be written is done in a transaction that is given up."""

    def __init__(self, connection: sqlite3.Connection, saved: list[Any]) -> None:
        self._connection = connection
        self._saved = saved
        connection.execute("PRAGMA query_only = OFF")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, text: str, params: Any = ()) -> Any:
        if text == "COMMIT":
            text = "ROLLBACK"
        elif text.startswith("UPDATE") and params:
            self._saved.append((text, [params]))
        return self._connection.execute(text, params)

    def executemany(self, text: str, rows: Any) -> Any:
        self._saved.append((text, rows))
        return self._connection.executemany(text, rows)


def _replay(connection: sqlite3.Connection, saved: Sequence[tuple[str, Any]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for text, rows in saved:
        blind = text.partition(" AND version = ")[0] if text.startswith("UPDATE") else text
        if blind != text:
            blind = f"{blind} AND ? > 0"
        connection.executemany(
            blind.replace("INSERT INTO", "INSERT OR IGNORE INTO", 1).partition("RETURNING")[0], rows
        )
    connection.execute("COMMIT")


async def written_later(self: SqliteStore, units: Sequence[Unit], now: int) -> list[Committed | Failed]:
    """Decide, tell the outcome, and commit only later, if the process still lives then."""
    if not units:
        return []

    def decide(connection: sqlite3.Connection) -> list[Any]:
        given_up: Any = _Recording(connection, [])
        return store.driver.commit_together(
            [lambda: batch.transact(self._queries, units, now, self._rng)], given_up
        )

    outcomes: list[Committed | Failed] = (await self._writing.call(decide))[0]

    async def later() -> None:
        await asyncio.sleep(BETWEEN_S)
        with suppress(StoreFaultError):
            await _WRITE(self, units, now)

    _LATER.append(asyncio.get_running_loop().create_task(later()))
    return outcomes
