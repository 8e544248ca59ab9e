"""Durable consumers of the in-memory bus: who has been given what, and what is still to be settled.

Waits for an acknowledgement go by the running loop, as everything else that somebody waits for.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bus.memory.streams import Config, MemoryStream, Stored

SECOND: Final = 1_000_000_000
ACK_WAIT_S: Final = 30.0
ACK_PENDING_MAX: Final = 1_000
EARLY_S: Final = 1e-6  # a timer of the loop may ring so much too early


class PullRequest:
    """A standing request for messages."""

    def __init__(
        self,
        owner: object,
        send: Callable[[MemoryConsumer, Stored, int], None],
        gone: Callable[[], None],
        batch: int,
    ) -> None:
        """Take who asks, what hands it a message and the number of its delivery, and what ends it."""
        self.owner = owner
        self.send = send
        self.gone = gone
        self.left = batch
        self.stands = False  # whether the server holds it


class MemoryConsumer:
    """Who has been given what, and what is still to be settled.

    Waits for an acknowledgement go by the running loop, as everything else that somebody waits for.
    """

    def __init__(self, stream: MemoryStream, config: Config) -> None:
        """Start before the first message."""
        self.stream = stream
        self.config = config
        self.sent = 0  # deliveries so far
        self.ahead = len(stream.messages)  # never delivered
        self.waiting: deque[PullRequest] = deque()
        self._cursor = 1  # the place from where on nothing was delivered
        self._pending: dict[int, float] = {}  # place: when it is delivered again
        self._counts: dict[int, int] = {}
        self._again: dict[int, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._running = True

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config["durable_name"])

    @property
    def unsettled(self) -> int:
        """How many messages were delivered and are not settled."""
        return len(self._pending)

    def ask(self, request: PullRequest) -> None:
        """Serve a request, now or later."""
        request.stands = True
        self.waiting.append(request)
        self.pump()

    def forget(self, owner: object) -> None:
        """Forget what somebody asked for."""
        for request in [one for one in self.waiting if one.owner is owner]:
            request.stands = False
            self.waiting.remove(request)

    def pump(self) -> None:
        """Hand out what can be, to the requests in turn."""
        while self.waiting and self._running and (stored := self._next()) is not None:
            request = self.waiting.popleft()
            self.sent += 1
            count = self._counts[stored.seq] = self._counts.get(stored.seq, 0) + 1
            wait_s = self.config.get("ack_wait", 0) / SECOND or ACK_WAIT_S
            self._wait(stored.seq, asyncio.get_running_loop().time() + wait_s)
            request.left -= 1
            request.stands = request.left > 0
            if request.stands:
                self.waiting.append(request)
            request.send(self, stored, count)

    def _next(self) -> Stored | None:
        while self._again:
            seq = next(iter(self._again))
            del self._again[seq]
            return self.stream.messages[seq]
        if len(self._pending) >= self.config.get("max_ack_pending", ACK_PENDING_MAX):
            return None
        while self._cursor <= self.stream.last_seq:
            stored = self.stream.messages.get(self._cursor)
            self._cursor += 1
            if stored is not None:
                self.ahead -= 1
                return stored
        return None

    def _wait(self, seq: int, until: float) -> None:
        self._pending[seq] = until
        if self._timer is None or self._timer.when() > until:
            self._arm(until)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._running:
            nobodys = contextvars.Context()  # not of whose request this happens to be
            self._timer = asyncio.get_running_loop().call_at(when, self._ring, context=nobodys)

    def _ring(self) -> None:
        """Deliver again what was not settled in time."""
        self._timer = None
        now = asyncio.get_running_loop().time() + EARLY_S
        for seq, until in self._pending.items():
            if until <= now:
                self._pending[seq] = math.inf
                self._again[seq] = None
        if (soonest := min(self._pending.values(), default=math.inf)) < math.inf:
            self._arm(soonest)
        self.pump()

    def settle(self, seq: int) -> None:
        """Never deliver it again."""
        if seq < self._cursor:
            self._forget(seq)
            self.stream.settle(seq)
            self.pump()

    def give_back(self, seq: int, delay_s: float) -> None:
        """Deliver it again after the delay, if it is with somebody."""
        if seq not in self._pending:
            return
        if delay_s > 0:
            self._again.pop(seq, None)
            self._wait(seq, asyncio.get_running_loop().time() + delay_s)
            return
        self._pending[seq] = math.inf
        self._again[seq] = None
        self.pump()

    def repeat(self) -> int:
        """Deliver once more all that is not settled, though nobody has waited too long; return how many."""
        for seq in list(self._pending):
            self.give_back(seq, 0.0)
        return len(self._pending)

    def on_stored(self) -> None:
        """Hand out a new message."""
        self.ahead += 1
        self.pump()

    def on_removed(self, seq: int) -> None:
        """Forget a message that is no longer there."""
        if seq >= self._cursor:
            self.ahead -= 1
        self._forget(seq)

    def _forget(self, seq: int) -> None:
        self._pending.pop(seq, None)
        self._counts.pop(seq, None)
        self._again.pop(seq, None)

    def rewind(self, count: int) -> None:
        """Stand where it stood `count` settled messages ago: what came after is new to it."""
        if count:
            self._pending.clear()
            self._counts.clear()
            self._again.clear()
            self._cursor = next(iter(self.stream.messages), self.stream.last_seq + 1)
            self.ahead = len(self.stream.messages)

    def halt(self) -> None:
        """Stand still, and forget who asked: the server is down, or the consumer deleted."""
        self._running = False
        for request in self.waiting:
            request.stands = False
        self.waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        """Go on where it stood."""
        self._running = True
        self._ring()
