"""Messages as they pass over the bus, for people: pings, answers to them, and what became of these.

Nothing is kept and nothing is made up for: who reads too slowly is told how many messages it has missed.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import anyio
import msgspec
from msgspec import Struct

from bus.api import BusError, Incoming, Subscription
from bus.service import Context
from contracts.codec import encode, instant
from contracts.errors import UnavailableError
from services.gateway.events import BEGIN, KEEP_ALIVE_S, LOOK_S, STILL_HERE
from services.gateway.places import Places

HEARD: Final = ("ping.>", "ack.>", "answer.>", "notice.>")
"""What is said to agents and by them; changes have a stream of their own."""
QUEUE_MAX: Final = 500  # messages that one who listens may be behind
LISTENERS_MAX: Final = 20
LISTENERS_EACH: Final = 5  # of one caller: an operator has a few windows open
PRIVATE: Final = "session"  # by this an agent tells its life from an older one


class Heard(Struct, frozen=True, kw_only=True):
    """A message that passed: what it said, or how many bytes it had if that could not be read."""

    subject: str
    at: datetime
    data: dict[str, Any]


class Tap:
    """Lets people listen to the bus."""

    def __init__(self, context: Context, stop: anyio.Event) -> None:
        """Keep the ports."""
        self._context = context
        self._stop = stop
        self._places = Places("listeners to the bus", total=LISTENERS_MAX, each=LISTENERS_EACH)

    def open(self, who: str, still: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Return a stream of messages for somebody from now on, for as long as `still` says so.

        Raises OverloadedError when too many listen, and UnavailableError when the bus cannot be reached.
        """
        self._places.check(who)
        if not self._context.bus.connected:
            raise UnavailableError("the bus cannot be reached")
        return self._stream(who, still)

    async def _stream(self, who: str, still: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        with self._places.taken(who):
            queue = _Queue(self._context)
            try:
                await queue.listen()
                yield BEGIN
                said_at = anyio.current_time()
                while not self._stop.is_set() and await still():
                    found = await queue.take()
                    if not found and anyio.current_time() - said_at >= KEEP_ALIVE_S:
                        found = STILL_HERE
                    if found:
                        said_at = anyio.current_time()
                        yield found
            except BusError:
                return  # whoever listens comes again
            finally:
                with anyio.CancelScope(shield=True):
                    await queue.close()


class _Queue:
    """What one listener has still to be told."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: deque[bytes] = deque()
        self._missed = 0
        self._bell = anyio.Event()
        self._ears: list[Subscription] = []

    async def listen(self) -> None:
        for subject in HEARD:
            where = f"{self._context.root}.{subject}"
            self._ears.append(await self._context.bus.subscribe(where, self._hear))

    async def close(self) -> None:
        for ear in self._ears:
            await ear.unsubscribe()

    def _hear(self, message: Incoming) -> None:
        if len(self._waiting) >= QUEUE_MAX:
            self._missed += 1
            return
        heard = Heard(
            subject=message.subject, at=instant(self._context.clock.now()), data=_read(message.data)
        )
        self._waiting.append(b"event: message\ndata: " + encode(heard) + b"\n\n")
        self._bell.set()

    async def take(self) -> bytes:
        """Return what there is, after a short wait."""
        if not self._waiting:
            self._bell = anyio.Event()
            with anyio.move_on_after(LOOK_S):
                await self._bell.wait()
        found, missed = b"".join(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        return found + (b'event: missed\ndata: {"missed":%d}\n\n' % missed if missed else b"")


def _read(data: bytes) -> dict[str, Any]:
    """Return what a message says; whatever cannot be read is counted, and not shown."""
    try:
        said: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"bytes": len(data)}
    said.pop(PRIVATE, None)
    return said
