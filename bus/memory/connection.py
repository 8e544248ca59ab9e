"""One connection to the in-memory bus."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import anyio
import anyio.lowlevel
import structlog
from nats.aio.client import ServerVersion

from bus import streams
from bus.api import (
    LIMIT_DEFAULT,
    NO_HEADERS,
    Backlog,
    BusError,
    BusTimeout,
    BusUnavailable,
    Incoming,
    NoResponders,
    Outgoing,
    Refused,
    Unsendable,
)
from bus.client import PENDING_BYTES_MAX, js_api, tell
from bus.memory.puller import MemoryPuller
from bus.memory.sending import Batch, sendable, unfit
from bus.memory.server import MemoryServer
from bus.memory.subscription import MemorySubscription, is_pattern
from bus.memory.weather import Hop
from bus.nats import micros, newest_id
from bus.publisher import REFUSED_HERE, headers

if TYPE_CHECKING:
    from bus.client import SafeClient

log = structlog.get_logger(__name__)

PING_S: Final = 10.0
VERSION: Final = "2.15.1"  # whose behaviour this is


class MemoryApi:
    """What `bus.streams` needs of a client."""

    def __init__(self, bus: MemoryBus) -> None:
        """Ask over this connection."""
        self._bus = bus
        self.connected_server_version = ServerVersion(VERSION)

    @property
    def is_connected(self) -> bool:
        """Whether the server can be asked."""
        return self._bus.connected

    async def request(self, subject: str, payload: bytes, timeout: float) -> Incoming:  # noqa: ASYNC109 - nats-py's
        """Ask, and wait for the answer."""
        return await self._bus.request(subject, payload, timeout_s=timeout)


class MemoryBus:
    """One connection to a `MemoryServer`, as a `Bus`."""

    def __init__(self, server: MemoryServer, *, name: str) -> None:
        """Connect as soon as the server is up."""
        self.host = server
        self.name = name
        self.context = contextvars.copy_context()  # what comes by it runs as its owner's
        self.life = 0  # how often the connection was lost
        self.dropped = 0
        self.cut_off = False
        self.abandoned = False
        self.client = MemoryApi(self)
        self._connected = False
        self._closed = False
        self._run = ""
        self._subscriptions: dict[MemorySubscription, None] = {}
        self._pullers: dict[MemoryPuller, None] = {}
        self._batches: dict[Batch, None] = {}
        self._asked: dict[str, asyncio.Future[Incoming]] = {}
        self._held: list[tuple[Hop, str, Callable[[], None]]] = []
        self._held_bytes = 0
        self._sent_until = 0.0
        self._on_back: list[Callable[[], None]] = []
        self._inbox = f"_INBOX.{server.number()}"
        self._add(f"{self._inbox}.*", self._on_reply, limit=math.inf)
        server.attach(self)

    @classmethod
    async def open(cls, server: MemoryServer, *, name: str) -> MemoryBus:
        """Connect or raise BusUnavailable."""
        await anyio.lowlevel.checkpoint()
        if not server.up:
            raise BusUnavailable("the server is down")
        return cls(server, name=name)

    # the port

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._connected

    @property
    def server(self) -> str:
        """Which run of the server this connection is on, or was last."""
        return self._run

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish a core message, best effort."""
        await self.enter()
        lines = headers or NO_HEADERS
        size = sendable(subject, data, lines, reply)
        if not self._connected and self._held_bytes + size > PENDING_BYTES_MAX:
            raise BusUnavailable("too much is held already")
        self.send("publish", subject, size, partial(self.host.publish, subject, data, dict(lines), reply))
        await anyio.lowlevel.checkpoint()

    async def publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 10.0
    ) -> list[Refused]:
        """Store all messages in the stream and return those it refused; each is stored or not for itself."""
        await self.live()
        if not self._connected:
            raise BusUnavailable
        refused = [
            Refused(i, REFUSED_HERE, word) for i, item in enumerate(items) if (word := unfit(item, stream))
        ]
        bad = {one.index for one in refused}
        batch = Batch([index for index in range(len(items)) if index not in bad])
        self._batches[batch] = None
        try:
            for index, item in enumerate(items):
                if index not in bad:
                    self._store(batch, index, item, stream)
            with anyio.fail_after(timeout_s):
                await anyio.lowlevel.checkpoint()
                await batch.done
        except BusUnavailable:
            raise
        except TimeoutError as error:
            raise BusTimeout(f"{len(items)} messages for {stream}, {timeout_s:g} s") from error
        finally:
            self._batches.pop(batch, None)
            batch.close()
        return sorted(refused + batch.refused, key=lambda one: one.index)

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Incoming], None],
        *,
        queue: str = "",
        limit: int = LIMIT_DEFAULT,
    ) -> MemorySubscription:
        """Hand each message to `handler`, which must not block."""
        await self.enter()
        if not is_pattern(subject):
            raise Unsendable(f"subject {subject!r}")
        await anyio.lowlevel.checkpoint()
        return self._add(subject, handler, queue=queue, limit=limit)

    async def pull(self, stream: str, durable: str, *, batch: int) -> MemoryPuller:
        """Open a puller that asks the server for `batch` messages at a time."""
        await self.enter()
        puller = MemoryPuller(self, stream, durable, batch=batch)
        self._pullers[puller] = None
        await anyio.lowlevel.checkpoint()
        return puller

    async def backlog(self, stream: str) -> Backlog:
        """Ask the server what the stream holds."""
        state = (await js_api(cast("SafeClient", self.client), f"STREAM.INFO.{stream}"))["state"]
        return Backlog(state["messages"], micros(state["first_ts"]) if state["messages"] else 0)

    async def newest_id(self, stream: str, subject: str) -> str:
        """Ask the server for the id of the newest message that the stream holds on a subject."""
        return await newest_id(cast("SafeClient", self.client), stream, subject)

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Incoming:
        """Send a request and wait for its reply."""
        await self.live()
        if not self._connected:
            raise BusUnavailable
        lines = headers or NO_HEADERS
        size = sendable(subject, data, lines)
        inbox = f"{self._inbox}.{self.host.number()}"
        answer = self._asked[inbox] = asyncio.get_running_loop().create_future()
        self.send("publish", subject, size, partial(self.host.publish, subject, data, dict(lines), inbox))
        try:
            with anyio.fail_after(timeout_s):
                reply: Incoming = await answer
        except BusError:
            raise
        except TimeoutError as error:
            raise BusTimeout(f"{subject}, {timeout_s:g} s") from error
        finally:
            self._asked.pop(inbox, None)
        if not reply.data and reply.headers.get("Status") == "503":
            raise NoResponders
        return reply

    async def rtt(self) -> float:
        """Measure a round trip to the server, in seconds."""
        await self.enter()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._ping(began)
        return loop.time() - began

    async def flush(self) -> None:
        """Wait until the server has taken all that was sent before; without a connection there is no wait."""
        await self.enter()
        if self._connected:
            await self._ping(self._sent_until)

    async def drain(self) -> None:
        """Stop receiving, finish what has arrived, send what is buffered, close."""
        await self.live()
        await anyio.lowlevel.cancel_shielded_checkpoint()
        if self._closed:
            return
        for subscription in self._subscriptions:
            self.host.ignore(subscription)
        for subscription in list(self._subscriptions):
            subscription.end()
        self.host.detach(self)
        self._closed, self._connected = True, False
        self._fail_all()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time the connection comes back."""
        self._on_back.append(callback)

    async def ensure(self, topology: streams.Topology) -> list[streams.Change]:
        """Create or repair streams and consumers, as on a real server."""
        return await streams.ensure(cast("SafeClient", self.client), topology)

    async def ready(self, topology: streams.Topology) -> str:
        """Make the topology whole, and return when its stream of events was created."""
        return await streams.ready(cast("SafeClient", self.client), topology)

    # what the server and the parts of the connection use

    @property
    def subscriptions(self) -> list[MemorySubscription]:
        """All that it listens to."""
        return list(self._subscriptions)

    @property
    def pullers(self) -> list[MemoryPuller]:
        """All that it pulls with."""
        return list(self._pullers)

    async def live(self) -> None:
        """Go on, unless this process is dead: then never."""
        if self.abandoned:
            await anyio.sleep_forever()

    async def enter(self) -> None:
        """Go on if the connection was not closed, else raise BusUnavailable."""
        await self.live()
        if self._closed:
            raise BusUnavailable("the connection is closed")

    def send(self, hop: Hop, subject: str, size: int, call: Callable[[], None]) -> None:
        """Send something to the server, now or when the connection is back."""
        if self._closed or self.abandoned:
            return
        if not self._connected:
            if self._held_bytes + size <= PENDING_BYTES_MAX:
                self._held_bytes += size
                self._held.append((hop, subject, call))
            return
        loop = asyncio.get_running_loop()
        for delay in self.host.weather.fate(hop, subject, self.name):
            if delay:
                self._sent_until = max(self._sent_until, loop.time() + delay)
                loop.call_later(delay, self.host.take_late, self.host.life, call, context=self.host.context)
            else:
                call()

    def if_same_life(self, life: int, arrive: Callable[..., None], *arguments: object) -> None:
        """Let something arrive, unless the connection on which it was sent is no more."""
        if self._connected and self.life == life:
            arrive(*arguments)

    def lose(self) -> None:
        """Lose the connection."""
        if not self._connected:
            return
        self._connected = False
        self.life += 1
        self.host.forget_link(self)
        for batch in self._batches:
            batch.fail(BusUnavailable("the connection was lost"))

    def come_back(self) -> None:
        """Connect again, if that can be."""
        if self._connected or self._closed or self.abandoned or self.cut_off or not self.host.up:
            return
        self._connected, self._run = True, f"memory-{self.host.life}"
        for subscription in self._subscriptions:
            self.host.listen(subscription)
        held, self._held, self._held_bytes = self._held, [], 0
        for hop, subject, call in held:
            self.send(hop, subject, 0, call)
        for puller in self.pullers:
            puller.on_back()
        tell(self._on_back)

    def abandon(self) -> None:
        """Be dead."""
        self.abandoned, self._connected = True, False

    def drop_subscription(self, subscription: MemorySubscription) -> None:
        """Listen to it no more."""
        self.host.ignore(subscription)
        self._subscriptions.pop(subscription, None)

    def drop_puller(self, puller: MemoryPuller) -> None:
        """Forget a puller and what it asked for."""
        self._pullers.pop(puller, None)
        self.host.forget_asker(puller)

    def _add(
        self, subject: str, handler: Callable[[Incoming], None], *, queue: str = "", limit: float
    ) -> MemorySubscription:
        subscription = MemorySubscription(self, subject, handler, queue=queue, limit=limit)
        self._subscriptions[subscription] = None
        if self._connected:
            self.host.listen(subscription)
        return subscription

    def _on_reply(self, message: Incoming) -> None:
        answer = self._asked.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _store(self, batch: Batch, index: int, item: Outgoing, stream: str) -> None:
        lines = headers(item, stream)

        def store() -> None:
            outcome = self.host.store_for(item.subject, item.data, lines)
            if outcome is None or not outcome.is_silence:
                self.host.hand("puback", item.subject, self, batch.answer, index, outcome)

        self.send("store", item.subject, len(item.data), store)

    async def _ping(self, until: float) -> None:
        """Wait for a pong, at the earliest at `until`; raises BusTimeout."""
        life, now = self.life, asyncio.get_running_loop().time()
        delays = self.host.weather.fate("ask", "", self.name) if self._connected else ()
        wait_s = max(0.0, until - now, delays[0]) if delays else 0.0
        await anyio.sleep(wait_s)
        if not delays or self.life != life:
            await anyio.sleep(max(0.0, PING_S - wait_s))
            raise BusTimeout("no pong came")

    def _fail_all(self) -> None:
        for batch in self._batches:
            batch.fail(BusUnavailable("the connection was closed"))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(BusUnavailable("the connection was closed"))
