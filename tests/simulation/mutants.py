"""Planted faults: mistakes that a careless change could make, patched in from here and never in the product.

A simulator that finds none of these would prove nothing by finding nothing else. The first nine are the ones
that `docs/guarantees.md` names as classic; the others are our own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import anyio
from msgspec import Struct, structs

import domain.answers
import domain.assignment
import domain.clocks
import domain.leases
import domain.pinging
import services.relay
import store.driver
from bus.actor import Runtime
from bus.inboxes import InboxLoop
from bus.outbox import Outbox
from contracts.codec import encode
from contracts.records import Assignment
from contracts.work import Claim, Committed, Failed, Post, StoreFaultError, Unit
from domain.draft import Draft
from domain.matrix import target
from domain.projection import put_agent
from store import batch
from store.sqlite import SqliteStore
from store.statements import Fetch, Mark, Write

if TYPE_CHECKING:
    from bus.inboxes import Ready

Request = Fetch | Write | Mark
Perform = Callable[[sqlite3.Connection, Request], Any]
NEVER_US: Final = 2**62
LEFT_IN_PEACE: Final = " AND agent NOT IN (SELECT name FROM agents WHERE asking > 0 OR paused)"
BETWEEN_S: Final = 0.2  # how long a careless await inside a transaction leaves the door open


class Mutant(Struct, frozen=True):
    """A planted fault."""

    name: str
    told: str
    patches: tuple[Any, ...]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Run with the fault in place."""
        for patch in self.patches:
            patch.start()
        try:
            yield
        finally:
            for patch in self.patches:
                patch.stop()


def _statements(change: Callable[[Perform, sqlite3.Connection, Request], Any]) -> Any:
    """Return a patch of what the store does for one request of a transaction."""
    return mock.patch.object(store.driver, "perform", partial(change, store.driver.perform))


def _no_outbox(perform: Perform, connection: sqlite3.Connection, request: Request) -> Any:
    if isinstance(request, Write) and request.query.name == "insert_post":
        return len(request.rows)
    return perform(connection, request)


def _no_memory(perform: Perform, connection: sqlite3.Connection, request: Request) -> Any:
    """Forget which commands were answered."""
    if isinstance(request, Fetch) and request.query.name == "load_commands":
        return []
    if isinstance(request, Write) and request.query.name == "insert_command":
        text = request.query.text.replace("INSERT", "INSERT OR REPLACE", 1)
        request = Write(structs.replace(request.query, text=text), request.rows)
    return perform(connection, request)


def _any_version(perform: Perform, connection: sqlite3.Connection, request: Request) -> Any:
    """Write what was decided on whatever stands there by now."""
    if isinstance(request, Write) and request.query.name.startswith("update_"):
        before, _, _ = request.query.text.partition(" AND version = ")
        if before != request.query.text:
            connection.executemany(f"{before} AND ? > 0", request.rows)
            return len(request.rows)
    return perform(connection, request)


def _pinged_at_prompts(perform: Perform, connection: sqlite3.Connection, request: Request) -> Any:
    """Ping whoever waits for a human as if it were anybody."""
    if isinstance(request, Fetch) and request.query.name in ("claim_pings", "next_ping_at"):
        text = request.query.text.replace(LEFT_IN_PEACE, "")
        request = Fetch(structs.replace(request.query, text=text), request.params)
    return perform(connection, request)


def _confirm_all(perform: Perform, connection: sqlite3.Connection, request: Request) -> Any:
    """Take a newer ping off the outbox with the confirmation of an older one."""
    if isinstance(request, Write) and request.query.name == "delete_post":
        return connection.executemany("DELETE FROM outbox WHERE id = ? AND ? > 0", request.rows).rowcount
    return perform(connection, request)


async def _confirm_first(self: Outbox, batch: list[tuple[Post, str]]) -> None:
    await self._ledger.confirm([post for post, _ in batch], self._clock.now())
    for post, trace in batch:
        await self._bus.publish_batch([self.outgoing(post, trace)], stream=self._stream_name(post.stream))


async def _claim_kept(self: SqliteStore, claim: Claim, now: int) -> list[Committed | Failed]:
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


async def _claim_read_first(self: SqliteStore, claim: Claim, now: int) -> list[Committed | Failed]:
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


async def _written_later(self: SqliteStore, units: Sequence[Unit], now: int) -> list[Committed | Failed]:
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


_LATER: list[asyncio.Task[None]] = []
_CLAIM = SqliteStore.claim
_WRITE = SqliteStore._write
_WORK = InboxLoop._work


async def _acked_first(self: InboxLoop, ready: Sequence[Ready], turn: anyio.Semaphore) -> None:
    for message, _, _ in ready:
        message.ack()
    await _WORK(self, ready, turn)


async def _acked_though_ill(self: InboxLoop, ready: Sequence[Ready], turn: anyio.Semaphore) -> None:
    unsettled = [
        (structs.replace(message, settler=None), delivery, unit) for message, delivery, unit in ready
    ]
    await _WORK(self, unsettled, turn)
    for message, _, _ in ready:
        message.ack()


def _ended_may_speak(row: Assignment, event: Any) -> str:
    if row.ended_at is None:
        return _TARGET(row, event)
    return "acknowledged"


_TARGET = target
_LIFE = batch.load_life
_PUT = put_agent


def _all_handled(*given: Any) -> Any:
    """Believe that no answer waits on the bus."""
    life = yield from _LIFE(*given)
    life.answers_until = NEVER_US
    return life


def _catching_up(row: Assignment, attempt: int, now: int, timers: Any) -> int | None:
    if row.repeats or row.exhausted:
        return None
    pause_us: int = min(timers.ping_first_us, row.ping_interval_us)
    return (row.ping_at or now) + pause_us


def _one_id(self: Draft, row: Assignment, task: Any) -> None:
    message_id = f"ping:{self.view.incarnation}:{row.id}"
    self._post(row, message_id, encode(self.ping_message(row, task)), 60, row.attempt)


async def _all_true(_self: Outbox, batch: list[tuple[Post, str]]) -> list[tuple[Post, str]]:
    return batch


async def _ensure_only(self: Runtime) -> None:
    await self.ports.ensure()  # and nobody asks whether the stream is a new one


async def _nothing(*_: Any) -> None:
    """Do nothing."""


def _lease_kept(draft: Draft, agent: Any) -> Any:
    """Forget to count a lease that ended."""
    known = draft.agent(agent.name)
    return _PUT(draft, structs.replace(agent, leases=max(agent.leases, known.leases)))


def _patch(target: Any, name: str, new: Any) -> Any:
    return mock.patch.object(target, name, new)


MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "no_outbox", "effects are published after the commit, from memory alone", (_statements(_no_outbox),)
    ),
    Mutant(
        "mark_first", "a post is confirmed before it is published", (_patch(Outbox, "_send", _confirm_first),)
    ),
    Mutant(
        "stuck_claim",
        "a claim is a commit of its own, and is lost with its process",
        (_patch(SqliteStore, "claim", _claim_kept),),
    ),
    Mutant(
        "burst",
        "pings that were due while nobody lived are all sent",
        (_patch(domain.pinging, "_next", _catching_up),),
    ),
    Mutant(
        "no_state_check",
        "an answer counts whatever became of its assignment",
        (
            _patch(domain.assignment, "target", _ended_may_speak),
            _patch(domain.answers, "refuse_ended", lambda *_: None),
        ),
    ),
    Mutant("no_idempotency", "a repeated command is done again", (_statements(_no_memory),)),
    Mutant(
        "read_then_write",
        "what is due is read in one transaction and written in another",
        (_patch(SqliteStore, "claim", _claim_read_first),),
    ),
    Mutant(
        "reply_before_commit",
        "the answer goes out before the commit",
        (_patch(SqliteStore, "_write", _written_later),),
    ),
    Mutant(
        "any_version",
        "rows are read outside the transaction that writes them, at whatever version",
        (_statements(_any_version), _patch(SqliteStore, "claim", _claim_read_first)),
    ),
    Mutant(
        "acked_first",
        "the bus is told that an answer is handled before it is",
        (_patch(InboxLoop, "_work", _acked_first),),
    ),
    Mutant(
        "acked_though_ill",
        "an answer that an ill store could not take is settled",
        (_patch(InboxLoop, "_work", _acked_though_ill),),
    ),
    Mutant(
        "confirm_any", "a confirmation takes the newer post of its slot too", (_statements(_confirm_all),)
    ),
    Mutant(
        "answers_ignored",
        "a clock is judged though answers lie unhandled",
        (_patch(batch, "load_life", _all_handled),),
    ),
    Mutant(
        "one_message_id",
        "all pings of an assignment share a message id",
        (_patch(Draft, "post_ping", _one_id),),
    ),
    Mutant(
        "never_withdrawn",
        "a ping that was answered stays in the mailbox",
        (_patch(Draft, "withdraw", lambda *_, **__: None),),
    ),
    Mutant(
        "late_unread",
        "a ping that waited long is sent without another look",
        (_patch(Outbox, "_still_true", _all_true),),
    ),
    Mutant(
        "unasked",
        "no mailbox is asked about a ping that came late",
        (_patch(services.relay, "_ask", _nothing), _patch(Outbox, "_look_after", _nothing)),
    ),
    Mutant("no_refill", "a lost stream of events stays empty", (_patch(Runtime, "ensure", _ensure_only),)),
    Mutant(
        "no_sweep",
        "what a dead process left in the outbox stays there",
        (_patch(services.relay, "_sweep", _nothing), _patch(Runtime, "_send_leftovers", _nothing)),
    ),
    Mutant(
        "lease_kept",
        "an agent's count of leases never falls",
        (_patch(domain.leases, "put_agent", _lease_kept),),
    ),
    Mutant(
        "pinged_at_prompts",
        "an agent that waits for a human is pinged",
        (_statements(_pinged_at_prompts),),
    ),
    Mutant(
        "holds_ignored",
        "time in which the bus was down counts against agents",
        (_patch(domain.clocks, "held_up", lambda clock, *_: clock),),
    ),
)
BY_NAME: Final = {mutant.name: mutant for mutant in MUTANTS}
