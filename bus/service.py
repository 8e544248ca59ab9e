"""What a service declares: its doors, its duties, and how a message becomes a unit of work.

A service holds no clock, no connection and no transaction. It maps what arrives to `Unit`s and what is due to
`Claim`s; the runtime owns everything that can fail or wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, structs

from contracts.codec import encode
from contracts.ledger import Ledger
from contracts.work import Cast, Changes, Claim, CommandKey, Committed, Lookup, Needs, Unit, View

if TYPE_CHECKING:
    import anyio

    from bus.api import Bus, Clock
    from bus.outbox import Outbox
    from bus.pulse import Pulse
    from bus.resting import Sign
    from bus.vitals import Gauge
    from contracts.operations import Operation


def digest(body: object) -> bytes:
    """Return what tells two bodies under one command id apart."""
    return hashlib.sha256(encode(body)).digest()


class Context(Struct, frozen=True):
    """What the few handlers that are not a transaction may use."""

    ledger: Ledger
    bus: Bus
    clock: Clock
    outbox: Outbox
    root: str
    batch: int  # messages or due rows that one transaction takes at most
    streams: Callable[[str], str]  # the short name (PINGS) to the stream's own
    pulse: Pulse
    gauge: Gauge | None = None  # that of the front which is run, if it said how often it comes round


class Request(Struct, frozen=True):
    """One command, decoded, with the identity that the subject proves."""

    operation: Operation
    identity: str  # the agent's or the operator's name
    actor: str  # agent:<name> or operator:<name>
    params: Any

    def command(self) -> CommandKey | None:
        """Return under what the answer is kept; None for a command that is not safe to retry."""
        command_id = getattr(self.params, "command_id", None)
        if command_id is None:
            return None
        tagged = self.params.__struct_config__.tag is not None  # an answer says itself what it is
        body = self.params if tagged else (self.operation.name, self.params)
        return CommandKey(self.actor, command_id, digest(body))

    def write(self, needs: Needs, decide: Callable[[View, int], Changes]) -> Unit:
        """Return the unit of a command."""
        return Unit(
            key=self.operation.name, needs=needs, decide=decide, actor=self.actor, command=self.command()
        )

    def page(self, query: str, answer: Callable[[Sequence[Any], int], Struct], **instead: object) -> Unit:
        """Return the unit of a page of a list; the query takes the parameters by their names, or these."""
        asked = structs.asdict(self.params) | instead
        rows = Lookup(query=query, params=tuple(asked.items()))
        return self.read(Needs(lookups=(rows,)), lambda view, _: answer(view.rows[rows], self.params.limit))

    def read(self, needs: Needs, answer: Callable[[View, int], Struct]) -> Unit:
        """Return the unit of a query."""
        return Unit(
            key=self.operation.name,
            needs=needs,
            decide=lambda view, now: Changes(answer=answer(view, now)),
            actor=self.actor,
            reads_only=True,
        )


class Delivery(Struct, frozen=True):
    """One message of an inbox or a listener."""

    tokens: tuple[str, ...]  # the subject's, after the root
    data: bytes
    at_us: int  # the bus's time for stored messages, else the runtime's
    reply: str = ""
    seq: int = 0  # a stored message's place in its stream


class Endpoint(Struct, frozen=True, kw_only=True):
    """Answers one operation: by a unit of work, or by a handler where the store is not what is asked."""

    operation: Operation
    unit: Callable[[Request], Unit] | None = None
    handler: Callable[[Request, Context], Awaitable[bytes]] | None = None


class Inbox(Struct, frozen=True, kw_only=True):
    """A durable consumer; each message becomes a unit, and is settled only after its commit."""

    stream: str  # short name
    durable: str
    unit: Callable[[Delivery], Unit]
    reply: Callable[[Delivery, Committed], Cast | None]


class Listener(Struct, frozen=True, kw_only=True):
    """Core messages, handed over in batches; of those with one key (who, which) only the newest counts."""

    subject: str  # without the root
    sign: Callable[[Delivery], Sign]
    unit: Callable[[Delivery], Unit | None]  # None: cannot be read, and is nobody's harm
    reply: Callable[[Delivery, Committed], Cast | None]  # best effort, when something has to be said
    changes: str | None = None  # events about senders (evt.<aggregate>.<who>.…): their next word is written


class Duty(Struct, frozen=True, kw_only=True):
    """Due rows: claimed when their instant has come, at the latest one tick later."""

    name: str
    claim: Callable[[int], Claim]
    due_query: str | None  # the earliest instant at which something will be due; None: only when rung for
    hears: bool = False  # judges by what was heard: its claim is told :heard_since, :heard_until and :health
    per_second_max: int | None = None  # after an outage nothing is repaid with a storm


class Chore(Struct, frozen=True, kw_only=True):
    """Something done every so often that is not a claim."""

    name: str
    every_s: float
    run: Callable[[Context, int], Awaitable[None]]


class Front(Struct, frozen=True, kw_only=True):
    """A door of another kind, opened when the process is ready; it runs until `stop`."""

    name: str
    run: Callable[[Context, anyio.Event], Awaitable[None]]
    every_s: float | None = None  # how often its gauge turns while it is well; None: it only waits


class Service(Protocol):
    """An actor: a name and what it declares."""

    @property
    def name(self) -> str:
        """Its name: queue group, subject token and word at the command line."""
        ...

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The operations it answers."""
        ...

    @property
    def inboxes(self) -> Sequence[Inbox]:
        """The durable consumers it works off."""
        ...

    @property
    def listeners(self) -> Sequence[Listener]:
        """The core subjects it listens to."""
        ...

    @property
    def duties(self) -> Sequence[Duty]:
        """What it does when it is due."""
        ...

    @property
    def chores(self) -> Sequence[Chore]:
        """What it does every so often."""
        ...

    @property
    def fronts(self) -> Sequence[Front]:
        """The doors that are not the bus's."""
        ...
