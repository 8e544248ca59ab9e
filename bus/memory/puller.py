"""Pulling from the in-memory bus: one standing request at a time, as `bus.puller` does it."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from bus.api import ConsumerGone, Incoming
from bus.memory.consumers import MemoryConsumer, PullRequest
from bus.memory.streams import Stored
from bus.puller import BACKOFF_S, SILENCE_S

if TYPE_CHECKING:
    from bus.memory.connection import MemoryBus
    from bus.memory.server import Verb


class MemoryPuller:
    """The puller of one durable consumer; `take` is for one task at a time."""

    def __init__(self, link: MemoryBus, stream: str, durable: str, *, batch: int) -> None:
        """Prepare to ask for `batch` messages at a time."""
        self._link = link
        self._stream = stream
        self._durable = durable
        self._batch = batch
        self._request = PullRequest(self, self._send, self._say_gone, 0)
        self._outstanding = 0
        self._heard_at = 0.0
        self._ask_at = 0.0
        self._buffer: deque[Incoming] = deque()
        self._taken: dict[str, Incoming] = {}
        self._left = 0
        self._gone = False
        self._closed = False
        self._arrived = asyncio.Event()

    async def take(self, batch: int, *, expires_s: float) -> list[Incoming]:
        """Wait until something is there and return at most `batch`; nothing after `expires_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + expires_s
        while not self._buffer:
            await self._link.live()
            self._arrived.clear()
            if self._gone:
                self._gone = False  # the next take asks again
                raise ConsumerGone(f"{self._stream}.{self._durable}")
            now = loop.time()
            if now >= deadline:
                return []
            self._ask(now)
            with anyio.move_on_after(max(0.0, min(deadline, self._wake_at(now)) - now)):
                await self._arrived.wait()
        await anyio.lowlevel.checkpoint()
        await self._link.live()
        taken = [self._buffer.popleft() for _ in range(min(batch, len(self._buffer)))]
        self._taken.update((message.reply, message) for message in taken)
        return taken

    def _wake_at(self, now: float) -> float:
        if not self._outstanding:
            return self._ask_at
        return (now if self._request.stands else self._heard_at) + SILENCE_S

    def pending(self) -> int:
        """How many wait: arrived here, and left on the server at the last arrival."""
        return len(self._buffer) + self._left

    async def close(self) -> None:
        """Stop, and give back at once what is not settled."""
        if self._closed:
            return
        self._closed = True
        self._link.drop_puller(self)
        for message in [*self._taken.values(), *self._buffer]:
            self._post(message, "nak", 0.0)
        self._buffer.clear()
        self._taken.clear()
        await anyio.lowlevel.cancel_shielded_checkpoint()

    def ack(self, message: Incoming) -> None:
        """Settle as handled."""
        self._settle(message, "ack")

    def nak(self, message: Incoming, delay_s: float) -> None:
        """Give back, for later."""
        self._settle(message, "nak", delay_s)

    def term(self, message: Incoming) -> None:
        """Settle as never to be handled."""
        self._settle(message, "term")

    def on_back(self) -> None:
        """Ask again: the server forgot the request."""
        self._outstanding, self._ask_at = 0, 0.0
        self._arrived.set()

    def _settle(self, message: Incoming, verb: Verb, delay_s: float = 0.0) -> None:
        if self._taken.pop(message.reply, None) is not None:  # once: what was given back is another's by now
            self._post(message, verb, delay_s)

    def _post(self, message: Incoming, verb: Verb, delay_s: float) -> None:
        server = self._link.host
        call = partial(server.settle, self._stream, self._durable, message.seq, verb, delay_s)
        self._link.send("settle", message.subject, 0, call)

    def _ask(self, now: float) -> None:
        """Make sure that a request stands."""
        if self._outstanding and not self._request.stands and now >= self._heard_at + SILENCE_S:
            self._outstanding = 0
        if self._outstanding or now < self._ask_at:
            return
        self._ask_at = now + BACKOFF_S
        if not self._link.connected:
            return
        request = self._request = PullRequest(self, self._send, self._say_gone, self._batch)
        self._outstanding, self._heard_at = self._batch, now
        self._link.send("pull", f"{self._stream}.{self._durable}", 0, partial(self._asked, request))

    def _asked(self, request: PullRequest) -> None:
        """Put a request to the server, which drops one that comes late, from somebody who is gone."""
        if not self._closed and not self._link.abandoned:
            self._link.host.ask(self._stream, self._durable, request)

    def _send(self, consumer: MemoryConsumer, stored: Stored, count: int) -> None:
        """Send a message here from the server."""
        tokens = (self._stream, self._durable, count, stored.seq, consumer.sent, stored.at_us * 1000)
        incoming = Incoming(
            subject=stored.subject,
            data=stored.data,
            headers=stored.headers,
            reply=f"$JS.ACK.{'.'.join(map(str, tokens))}.{consumer.ahead}",
            seq=stored.seq,
            delivered=count,
            at_us=stored.at_us,
            settler=self,
        )
        server = self._link.host
        server.hand("push", stored.subject, self._link, self._arrive, incoming, consumer.ahead)

    def _say_gone(self) -> None:
        """Say here, from the server, that there is no such consumer."""
        name = f"{self._stream}.{self._durable}"
        self._link.host.hand("push", name, self._link, self._on_gone, self._request)

    def _arrive(self, incoming: Incoming, left: int) -> None:
        if self._closed:
            return
        self._heard_at = asyncio.get_running_loop().time()
        self._buffer.append(incoming)
        self._left = left
        self._outstanding = max(0, self._outstanding - 1)
        if not self._outstanding:
            self._ask_at = 0.0
        self._link.host.note(
            "pulled", incoming, stream=self._stream, peer=self._link.name, delivered=incoming.delivered
        )
        self._arrived.set()

    def _on_gone(self, request: PullRequest) -> None:
        if request is self._request:
            self._gone, self._outstanding = True, 0
            self._arrived.set()
