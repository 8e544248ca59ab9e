"""Changes as they happen, to many who listen: the audit is read once, and each resumes where it was.

A stream has a place in the audit and no queue: whoever is slow falls back, and reads on from the store.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Any, Final

import anyio
import msgspec
import structlog
from msgspec import Struct

from bus.api import BusError, Subscription
from bus.service import Context
from contracts.codec import encode
from contracts.errors import InvalidError, UnavailableError
from contracts.messages import Event
from contracts.operations.audit import ListResult
from contracts.work import Changes, Lookup, Needs, Unit
from domain import audit
from services.gateway import running
from services.gateway.places import Places

log = structlog.get_logger(__name__)

RING_MAX: Final = 10_000  # changes that are kept in memory; who is further back reads the store
PAGE: Final = 500
TICK_S: Final = 1.0  # also without a word on the bus
LOOK_S: Final = 0.5  # how soon a token that was revoked ends a stream
KEEP_ALIVE_S: Final = 5.0  # the dashboard takes two of them that do not come for a lost connection
STREAMS_MAX: Final = 2_000  # in all; of one caller as many as are configured
ASKED: Final = ("aggregate", "id")  # in the address of a stream
BEGIN: Final = b"retry: 1000\n\n"
STILL_HERE: Final = b": still here\n\n"
RESYNC: Final = b"event: resync\ndata: {}\n\n"  # what was missed cannot be told: read everything anew


class Change(Struct, frozen=True):
    """A change, ready to be sent."""

    seq: int
    aggregate: str
    id: str
    data: bytes


class Place(Struct, frozen=True):
    """What a stream is about, and after which change it goes on."""

    after: str = ""  # the id of the last change that was heard; "": from now on
    aggregate: str | None = None
    id: str | None = None

    def wants(self, change: Change) -> bool:
        """Return whether a change belongs into the stream."""
        return self.aggregate in (None, change.aggregate) and self.id in (None, change.id)


class Hub:
    """Reads the audit as it grows, and wakes who listens."""

    def __init__(self, context: Context, stop: anyio.Event, each: int) -> None:
        """Wire it, with how many streams one caller may have; nothing is read before `run`."""
        self._context = context
        self._stop = stop
        self._ring: deque[Change] = deque(maxlen=RING_MAX)
        self._ring_after = 0  # the change before those in memory
        self._last = 0
        self._bell = anyio.Event()
        self._more = anyio.Event()
        self._places = Places("streams", total=STREAMS_MAX, each=each)

    async def run(self) -> None:
        """Read until `stop`; a word on the bus only makes it sooner."""
        self._last = self._ring_after = await self._newest()
        ear: Subscription | None = None
        while not self._stop.is_set():
            ear = ear or await self._listen()
            self._bell = anyio.Event()
            await self._read_on()
            with anyio.move_on_after(TICK_S):
                await self._bell.wait()
        self._wake()

    def ring(self) -> None:
        """Look for changes, or for the end, now."""
        self._bell.set()

    def open(self, who: str, place: Place, still: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Return a stream for somebody from a place on, for as long as `still` says so.

        Raises OverloadedError when there are too many, and InvalidError for an id that is none.
        """
        after = _parsed(place.after)
        self._places.check(who)
        return self._stream(who, place, after, still)

    async def _stream(
        self, who: str, place: Place, named: tuple[str, int] | None, still: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        with self._places.taken(who):
            yield BEGIN
            after = self._last
            if named is not None and await self._is_known(*named):
                after = named[1]
            elif named is not None:
                yield RESYNC
            said_at = anyio.current_time()
            while not self._stop.is_set() and await still():
                more = self._more
                changes, after = await self._next(after)
                wanted = b"".join(change.data for change in changes if place.wants(change))
                if not wanted and anyio.current_time() - said_at >= KEEP_ALIVE_S:
                    wanted = STILL_HERE
                if wanted:
                    said_at = anyio.current_time()
                    yield wanted
                if not changes:
                    with anyio.move_on_after(LOOK_S):
                        await more.wait()

    async def _next(self, after: int) -> tuple[list[Change], int]:
        """Return the next changes after a place, and the place after them."""
        if after >= self._last:
            return [], after
        changes = await self._page(after) if after < self._ring_after else self._remembered(after)
        return changes, changes[-1].seq if changes else self._last

    def _remembered(self, after: int) -> list[Change]:
        """Return the next changes after a place that is not too far back."""
        newer = takewhile(lambda change: change.seq > after, reversed(self._ring))
        return list(newer)[: -PAGE - 1 : -1]

    async def _read_on(self) -> None:
        """Take in what was changed, and wake who waits for it."""
        began = self._last
        try:
            while changes := await self._page(self._last):
                for change in changes:
                    if len(self._ring) == RING_MAX:
                        self._ring_after = self._ring[0].seq
                    self._ring.append(change)
                self._last = changes[-1].seq
        except UnavailableError:
            log.warning("events.store_fault")
        if self._last != began:
            self._wake()

    def _wake(self) -> None:
        self._more, more = anyio.Event(), self._more
        more.set()

    async def _listen(self) -> Subscription | None:
        """Hear of changes at once, if the bus can be reached."""
        if not self._context.bus.connected:
            return None
        try:
            return await self._context.bus.subscribe(f"{self._context.root}.evt.>", lambda _: self.ring())
        except BusError as error:
            log.info("events.not_heard", reason=str(error))
            return None

    async def _is_known(self, incarnation: str, seq: int) -> bool:
        """Return whether this very change stands in the audit: all after it can be told."""
        found = await self._events(seq - 1, 1)
        return bool(found) and (found[0].incarnation, found[0].seq) == (incarnation, seq)

    async def _page(self, after: int) -> list[Change]:
        return [_change(event) for event in await self._events(after, PAGE)]

    async def _events(self, after: int, limit: int) -> tuple[Event, ...]:
        asked = (("aggregate", None), ("id", None), ("after", after), ("limit", limit))
        rows = Lookup(query="audit_about", params=asked)
        answer = await self._read(rows, lambda found: audit.listed(found, limit))
        return msgspec.json.decode(answer, type=ListResult).items

    async def _newest(self) -> int:
        answer = await self._read(Lookup(query="last_audit"), lambda found: _Seq(found[0][0] if found else 0))
        return msgspec.json.decode(answer, type=_Seq).seq

    async def _read(self, lookup: Lookup, answer: Callable[[Sequence[Any]], Struct]) -> bytes:
        unit = Unit(
            key="events",
            needs=Needs(lookups=(lookup,)),
            decide=lambda view, _now: Changes(answer=answer(view.rows[lookup])),
            reads_only=True,
        )
        return (await running.run(self._context, unit)).answer


class _Seq(Struct, frozen=True):
    seq: int


def _change(event: Event) -> Change:
    head = f"id: {event.incarnation}:{event.seq}\nevent: {event.aggregate}.{event.event}\ndata: "
    return Change(event.seq, event.aggregate, event.id, head.encode() + encode(event) + b"\n\n")


def _parsed(text: str) -> tuple[str, int] | None:
    """Return the incarnation and number of a change's id; None when there is none."""
    if not text:
        return None
    incarnation, _, number = text.partition(":")
    if not (incarnation.isalnum() and number.isascii() and number.isdigit() and len(number) < 19):  # noqa: PLR2004 - below 2**63
        raise InvalidError("this is no id of a change", fields={"Last-Event-ID": "is no id of a change"})
    return incarnation, int(number)
