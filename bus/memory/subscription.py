"""Interest in a subject, on the in-memory bus."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from bus.api import BusUnavailable, Incoming
from bus.memory.sending import NOWHERE

if TYPE_CHECKING:
    from bus.memory.connection import MemoryBus

log = structlog.get_logger(__name__)


class MemorySubscription:
    """Interest in a subject."""

    def __init__(
        self, link: MemoryBus, subject: str, handler: Callable[[Incoming], None], *, queue: str, limit: float
    ) -> None:
        """Listen as soon as the server knows of it."""
        self.link = link
        self.subject = subject
        self.queue = queue
        self.number = link.host.number()
        self._handler = handler
        self._limit = limit
        self._arrived: deque[Incoming] = deque()
        self._called = False
        self._ended = False

    def arrive(self, message: Incoming) -> None:
        """Take a message from the server; the handler gets it when the loop comes to it."""
        if self._ended:
            return
        if len(self._arrived) >= self._limit:
            self.link.dropped += 1
            self.link.host.note("dropped", message, peer=self.link.name)
            return
        self._arrived.append(message)
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._hand_over, context=self.link.context)

    def _hand_over(self) -> None:
        self._called = False
        while self._arrived and not self.link.abandoned:
            message = self._arrived.popleft()
            self.link.host.note("heard", message, peer=self.link.name)
            try:
                self._handler(message)
            except Exception:
                self.link.host.note("raised", message, peer=self.link.name)
                log.exception("a handler raised", subject=message.subject)

    async def unsubscribe(self) -> None:
        """Stop at once."""
        await self._leave()
        self._ended = True
        self._arrived.clear()

    async def drain(self) -> None:
        """Stop receiving, hand over what has arrived, then end."""
        await self._leave()
        await self.link.flush()
        self.end()

    async def _leave(self) -> None:
        await self.link.enter()
        if self._ended:
            raise BusUnavailable("the subscription has ended")
        self.link.drop_subscription(self)

    def end(self) -> None:
        """Hand over what has arrived, and take no more."""
        self._hand_over()
        self._ended = True


def is_pattern(subject: str) -> bool:
    """Whether one can listen to this."""
    tokens = subject.split(".")
    odd = any(not token or (len(token) > 1 and set("*>") & set(token)) for token in tokens)
    return not odd and ">" not in tokens[:-1] and not NOWHERE.search(subject)
