"""Planted faults: mistakes that a careless change could make, patched in from here and never in the product.

A simulator that finds none of these would prove nothing by finding nothing else. The first nine are the ones
that `docs/guarantees.md` names as classic; the others are our own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import anyio
from msgspec import Struct, structs

import domain.admission
import domain.answers
import domain.assignment
import domain.clocks
import domain.escalation
import domain.leases
import domain.pinging
import domain.reminders
import services.relay
import store.driver
from bus.actor import Runtime
from bus.inboxes import InboxLoop
from bus.outbox import Outbox
from contracts.codec import encode
from contracts.records import Assignment
from contracts.work import Post
from domain.draft import Draft
from domain.matrix import target
from domain.projection import put_agent
from store import batch
from store.sqlite import SqliteStore
from store.statements import Fetch, Mark, Write
from tests.simulation.careless import claim_kept, claim_read_first, written_later

if TYPE_CHECKING:
    from bus.inboxes import Ready

Request = Fetch | Write | Mark
Perform = Callable[[sqlite3.Connection, Request], Any]
NEVER_US: Final = 2**62
LEFT_IN_PEACE: Final = " AND agent NOT IN (SELECT name FROM agents WHERE asking > 0 OR paused)"


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
_BARRED = domain.admission.barred
_WAIT_OVER = domain.reminders.wait_over


def _all_handled(*given: Any) -> Any:
    """Believe that no answer waits on the bus."""
    life = yield from _LIFE(*given)
    life.answers_until = NEVER_US
    return life


def _never_frozen(*given: Any) -> Any:
    """Forget that the fleet is frozen."""
    life = yield from _LIFE(*given)
    life.frozen = None
    return life


def _pauses_forgotten(agent: Any) -> str | None:
    return None if agent.paused else _BARRED(agent)


def _wait_counts(draft: Draft, row: Assignment) -> None:
    """Take a step of the policy when a wait is over, as for any other clock."""
    _WAIT_OVER(draft, row)
    domain.escalation.next_step(draft, draft.assignment(row.id))


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
        (_patch(SqliteStore, "claim", claim_kept),),
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
        (_patch(SqliteStore, "claim", claim_read_first),),
    ),
    Mutant(
        "reply_before_commit",
        "the answer goes out before the commit",
        (_patch(SqliteStore, "_write", written_later),),
    ),
    Mutant(
        "any_version",
        "rows are read outside the transaction that writes them, at whatever version",
        (_statements(_any_version), _patch(SqliteStore, "claim", claim_read_first)),
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
        "paused_assigned",
        "admission forgets who is paused",
        (_patch(domain.admission, "barred", _pauses_forgotten),),
    ),
    Mutant(
        "frozen_assigned",
        "a frozen fleet is given work, and its clocks move leases",
        (_patch(batch, "load_life", _never_frozen),),
    ),
    Mutant(
        "wait_escalates",
        "the end of a wait counts as a missed clock",
        (_patch(domain.reminders, "wait_over", _wait_counts),),
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
