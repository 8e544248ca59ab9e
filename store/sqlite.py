"""The SQLite engine of `Ledger`: one writing connection with one owner, one that only reads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio

from contracts.errors import UnavailableError
from contracts.messages import DeadLetter
from contracts.records import Alarm, Doubt, Hold
from contracts.work import Claim, Committed, Failed, Post, Stamp, StoreFaultError, Unit
from store import alarms, batch, doubts, upkeep
from store.connection import Link, Owner
from store.driver import commit_together, look_together
from store.sql import queries
from store.statements import Course, Fetch, bound
from store.view import Rng

T = TypeVar("T")
Outcome = Committed | Failed


class SqliteStore:
    """The store of one file; several processes may each have one."""

    def __init__(self, path: Path, *, writing: Link, reading: Link, rng: Rng) -> None:
        """Take open connections; use `store.open.open_store`."""
        self.path = path
        self._writing = writing
        self._reading = reading
        self._owner = Owner(writing, commit_together)
        self._looks = Owner(reading, look_together)
        self._rng = rng
        self._queries = queries("sqlite")

    async def run(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        """Do the units in one transaction; those that only read: on the read connection, after it."""
        writing = [unit for unit in units if not unit.reads_only]
        reading = [unit for unit in units if unit.reads_only]
        written = await self._write(writing, now)
        try:
            looked = await self._read(reading, now)
        except StoreFaultError as error:
            if not writing:
                raise
            refused = UnavailableError(str(error)).problem()  # the others are durable and must hear so
            looked = [Committed(problem=refused) for _ in reading]
        outcomes = {True: iter(looked), False: iter(written)}
        return [next(outcomes[unit.reads_only]) for unit in units]

    async def claim(self, claim: Claim, now: int) -> list[Outcome]:
        """Do what is due in one transaction; fewer results than the limit: nothing more is due."""
        return await self._transact(lambda: batch.take(self._queries, claim, now, self._rng), claim.limit)

    async def confirm(self, posts: Sequence[Post], now: int) -> list[Post]:
        """Delete outbox rows that the bus has confirmed; return those that had a newer word meanwhile."""
        if not posts:
            return []
        return await self._transact(lambda: upkeep.confirm(self._queries, posts, now), len(posts))

    async def restate(self, posts: Sequence[Post], now: int) -> None:
        """Let the mailbox be told again what holds for the assignments of these posts."""
        await self._transact(lambda: upkeep.restate(self._queries, posts, now), len(posts))

    async def doubts(self, now: int, limit: int) -> list[Doubt]:
        """Return pings about which the mailbox is to be asked by now, longest due first."""
        return await self.rows("due_doubts", now=now, limit=limit)

    async def settle(self, answers: Sequence[tuple[Doubt, bool]], now: int) -> None:
        """Take whether each mailbox holds that ping: if so, the newest word is to be said again."""
        await self._transact(lambda: doubts.settle(self._queries, answers, now), len(answers))

    async def bury(self, post: Post, letter: DeadLetter | None, now: int) -> Committed:
        """Put a letter in the place of an outbox row that the bus refuses for good, and say so."""
        return await self._transact(lambda: upkeep.bury(self._queries, post, letter, now, self._rng))

    async def unsent(self, older_than: int, limit: int) -> list[Post]:
        """Return outbox rows created before `older_than`, oldest first."""
        return await self.rows("unsent", older_than=older_than, limit=limit)

    async def current(self, posts: Sequence[Post]) -> list[Post]:
        """Return those of the posts that still stand in the outbox at the same version."""
        return await self._look(lambda: upkeep.standing(self._queries, posts)) if posts else []

    async def due_at(self, query: str) -> int | None:
        """Return the earliest due instant by a named query."""
        rows = await self.rows(query)
        return rows[0][0] if rows else None

    async def quarantine(self, row: Failed, now: int) -> Committed:
        """Take a row whose decision throws out of the due columns, with reason, dead letter and event."""
        return await self._transact(lambda: upkeep.quarantine(self._queries, row, now, self._rng))

    async def release(self, table: str, row: int, now: int) -> Committed:
        """Put a quarantined row back to work."""
        if table not in upkeep.AGGREGATES:
            raise ValueError(f"no row of {table!r} is ever quarantined")
        return await self._transact(lambda: upkeep.release(self._queries, table, row, now, self._rng))

    async def begin_refill(self, born: str) -> None:
        """Note that the stream of events is another than before: the audit has to be published again."""
        await self._transact(lambda: upkeep.begin_refill(self._queries, born))

    async def refill_page(self, limit: int) -> tuple[list[Post], int] | None:
        """Return the next events to publish again and the number of the last; None when there are none."""
        page = await self._look(lambda: upkeep.refill_page(self._queries, limit))
        if page is not None and not page[0]:
            await self._transact(lambda: upkeep.end_refill(self._queries))
            return None
        return page

    async def refilled(self, until: int) -> None:
        """Say up to which number the events have been published again."""
        await self._transact(lambda: upkeep.note_refill(self._queries, until))

    async def stamp(self, stamp: Stamp) -> None:
        """Say that this process lives; a gap in which agents could perhaps not answer becomes a hold."""
        await self._transact(lambda: upkeep.stamp(self._queries, stamp))

    async def vitals(self, process: str, vitals: bytes, now: int) -> None:
        """Say how the services of a process are, and nothing of its bus."""
        await self._transact(lambda: upkeep.vitals(self._queries, process, vitals, now))

    async def alarm(self, standing: Sequence[Alarm], now: int) -> Committed:
        """Let exactly these alarms stand; each is announced once when it begins and once when it is over."""
        return await self._transact(lambda: alarms.alarm(self._queries, standing, now, self._rng))

    async def hold(self, hold: Hold) -> None:
        """Let a stretch of time count against nobody."""
        await self._transact(lambda: upkeep.hold(self._queries, hold))

    async def answered(self, until: int, stamp: Stamp) -> None:
        """Say up to when the answers on the bus have been handled; stamps first, in the same transaction."""
        await self._transact(lambda: upkeep.answered(self._queries, until, stamp))

    async def forget(self, table: str, before: int, limit: int) -> int:
        """Delete at most `limit` rows of `table` older than `before`; return how many went."""
        if table not in upkeep.FORGOTTEN:
            raise ValueError(f"{table!r} is kept for good")
        return await self._transact(lambda: upkeep.forget(self._queries, table, before, limit))

    async def checkpoint(self) -> None:
        """Fold the write-ahead log into the file, as far as no reader is in the way."""
        await self._writing.call(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        )

    async def rows(self, query: str, **params: object) -> list[Any]:
        """Return the rows of a named query from the read connection, as records where it declares them."""
        found = self._queries[query]

        def course() -> Course[list[Any]]:
            rows = yield Fetch(found, bound(found, params))
            return batch.records(found, rows)

        return await self._look(course)

    async def incarnation(self) -> str:
        """Return which life of the store this is."""
        found: str = (await self.rows("incarnation"))[0][0]
        return found

    async def close(self) -> None:
        """Finish what was handed over, and close; also when the caller is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._owner.close()
            await self._looks.close()
            await self._reading.close()
            await self._writing.close()  # last: whoever closes last folds the log into the file

    def abandon(self) -> None:
        """Drop everything as a crash would: what was not committed is gone."""
        self._reading.abandon()
        self._writing.abandon()

    async def _write(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        if not units:
            return []
        return await self._transact(lambda: batch.transact(self._queries, units, now, self._rng), len(units))

    async def _read(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        if not units:
            return []
        return await self._look(lambda: batch.look(self._queries, units, now, self._rng))

    async def _transact(self, course: Callable[[], Course[T]], rows: int = 1) -> T:
        return await self._owner.transact(course, rows)

    async def _look(self, course: Callable[[], Course[T]]) -> T:
        return await self._looks.transact(course)
