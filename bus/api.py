"""The ports of the bus: what actors may ask of it, whether NATS or a simulator stands behind.

Two transports share one connection. *Core* messages are best effort and are gone when nobody listens.
*Stream* messages are stored, acknowledged to the publisher, and handed to pullers until each is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
LIMIT_DEFAULT = 65_536  # messages a subscription may hold before new ones are dropped


class Clock(Protocol):
    """Where time comes from; the simulator has its own."""

    def now(self) -> int:
        """Return the wall clock in microseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        ...


class BusError(Exception):
    """The bus refused or failed."""

    def __init__(self, detail: str = "") -> None:
        """Keep what is special about this failure; the class's docstring says what kind it is."""
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        """Say the kind of failure, then the detail."""
        kind = (type(self).__doc__ or "").strip()
        return f"{kind} ({self.detail})" if self.detail else kind


class BusUnavailable(BusError):
    """The bus cannot be reached; whether it took what was sent is unknown, so retry under the same ids."""


class BusTimeout(BusUnavailable, TimeoutError):
    """The bus did not answer in time; whether it took what was sent is unknown: retry under the same ids."""


class NoStream(BusUnavailable):
    """No stream stores this subject at the moment; ensure the topology, then retry under the same ids."""


class NotPermitted(BusError):
    """The bus does not let this connection do that."""


class NoResponders(BusError):
    """Nobody answers on this subject."""


class Unsendable(BusError):
    """The message can never be sent: it is too large, or its subject or headers are malformed."""


class ConsumerGone(BusError):
    """The consumer or its stream was deleted; ensure the topology, then pull again."""


class Settler(Protocol):
    """Tells the bus what became of a pulled message; none of these waits."""

    def ack(self, message: Incoming) -> None:
        """Settle as handled: it is never delivered again."""
        ...

    def nak(self, message: Incoming, delay_s: float) -> None:
        """Give it back: it is delivered again after the delay."""
        ...

    def term(self, message: Incoming) -> None:
        """Settle as never to be handled."""
        ...


class Incoming(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A message received; the last four fields are set only when it was pulled from a stream."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = NO_HEADERS
    reply: str = ""
    seq: int = 0  # its place in the stream
    delivered: int = 0  # 1 at the first delivery
    at_us: int = 0  # when the bus stored it: microseconds since the epoch, UTC
    settler: Settler | None = None

    def ack(self) -> None:
        """Settle it as handled; does not wait, and does nothing for a core message."""
        if self.settler is not None:
            self.settler.ack(self)

    def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to be delivered again after the delay; does not wait."""
        if self.settler is not None:
            self.settler.nak(self, delay_s)

    def term(self) -> None:
        """Settle it as never to be handled (a work queue deletes it at once); does not wait."""
        if self.settler is not None:
            self.settler.term(self)


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message for a stream, which keeps one of those that share an id within its duplicate window."""

    subject: str
    data: bytes
    message_id: str
    headers: Mapping[str, str] = NO_HEADERS
    ttl_s: int | None = None  # the stream forgets it after so many whole seconds (at least 1)


class Refused(msgspec.Struct, frozen=True):
    """A message of a batch that the stream will not take, however often it is sent."""

    index: int
    code: int
    reason: str


class Backlog(msgspec.Struct, frozen=True):
    """How many messages a stream holds, and when the oldest of them was stored (0 if there is none)."""

    count: int
    oldest_at_us: int


class Subscription(Protocol):
    """Interest in a subject."""

    async def unsubscribe(self) -> None:
        """Stop at once; what has arrived and was not handed over is dropped."""
        ...

    async def drain(self) -> None:
        """Stop receiving, hand over what has arrived, then end."""
        ...


class Puller(Protocol):
    """Takes messages from a durable consumer; instances that share one share its messages."""

    async def take(self, batch: int, *, expires_s: float) -> list[Incoming]:
        """Wait until something is there and return at most `batch`; nothing after `expires_s`.

        Raises ConsumerGone. May be cancelled: no message is lost. Stays quiet while the bus is away.
        """
        ...

    def pending(self) -> int:
        """Return how many wait, as known here: arrived and not taken, and left at the last arrival."""
        ...

    async def close(self) -> None:
        """Stop, and give back at once whatever arrived or was taken and is not settled."""
        ...


class Bus(Protocol):
    """One connection to the bus."""

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached, as far as is known now."""
        ...

    @property
    def server(self) -> str:
        """Which run of which server this connection is on, or was last; "" if it has not said so."""
        ...

    @property
    def dropped(self) -> int:
        """How many messages were dropped because a handler here was too slow."""
        ...

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish a core message, best effort; yields to the event loop at least every hundredth time."""
        ...

    async def publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 10.0
    ) -> list[Refused]:
        """Store all messages in the stream and return those it refused; a duplicate counts as stored.

        Raises BusUnavailable (BusTimeout, NoStream): the outcome is unknown, retry all under the same ids.
        """
        ...

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Incoming], None],
        *,
        queue: str = "",
        limit: int = LIMIT_DEFAULT,
    ) -> Subscription:
        """Hand each message to `handler`, which must not block; beyond `limit` new ones are dropped."""
        ...

    async def pull(self, stream: str, durable: str, *, batch: int) -> Puller:
        """Open a puller that asks the server for `batch` messages at a time."""
        ...

    async def backlog(self, stream: str) -> Backlog:
        """Ask the server what the stream holds; in a work queue that is what is not yet settled."""
        ...

    async def newest_id(self, stream: str, subject: str) -> str:
        """Ask the server for the id of the newest message that the stream holds on a subject; "" for none."""
        ...

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Incoming:
        """Send a request and wait for its reply; raises NoResponders, NotPermitted or BusTimeout."""
        ...

    async def rtt(self) -> float:
        """Measure a round trip to the server, in seconds."""
        ...

    async def flush(self) -> None:
        """Wait until the server has taken all that was sent before."""
        ...

    async def drain(self) -> None:
        """Stop receiving, finish what has arrived, send what is buffered, close."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback`, which must not block, each time the connection comes back."""
        ...
