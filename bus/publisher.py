"""Storing many messages at once: all are sent, then one wait for all their acknowledgements.

Two ways. *Counted*: each message is acknowledged on its own, so a stream may take some and refuse others.
*Atomic*: the server commits the batch as a whole, with one sync to disk; where it refuses the whole (one is a
duplicate, say), the batch is sent again counted, which says what is wrong with which.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

import anyio
import msgspec
from nats.aio.msg import Msg

from bus.api import BusTimeout, BusUnavailable, NoStream, Outgoing, Refused, Unsendable
from bus.client import SafeClient, own_errors

BATCH_MAX: Final = 1_000  # the server's own limit for an atomic batch
ATOMIC_MIN: Final = 16  # a commit costs as much as about so many syncs of one message
ATOMIC_OFF: Final = 10_174
IN_PROCESS: Final = 10_158  # in a cluster: the same id is being stored right now
TRANSIENT_CODE: Final = 500  # from here on the fault is the server's, and a retry may help
REFUSED_HERE: Final = 0  # `Refused.code` of what never reached the server

Numbered = tuple[int, Outgoing]


class _Error(msgspec.Struct, frozen=True):
    code: int
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Error | None = None


class _Waiting:
    """What is still unanswered of one batch."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.errors: list[tuple[int, _Error]] = []

    def answer(self, index: int, message: Msg) -> None:
        """Count one acknowledgement."""
        if message.headers and not message.data:
            self.fail(NoStream(message.headers.get("Status", "")))
        elif message.data.startswith(b'{"error"'):
            self.error(index, msgspec.json.decode(message.data, type=_Answer).error or _Error(0))
        self.count()

    def error(self, index: int, error: _Error) -> None:
        """Keep a refusal, or give up if it is no fault of the message."""
        if error.code >= TRANSIENT_CODE or error.err_code == IN_PROCESS:
            self.fail(BusUnavailable(error.description))
        else:
            self.errors.append((index, error))

    def count(self) -> None:
        """One less to wait for."""
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BusUnavailable) -> None:
        """End the wait: the outcome is unknown."""
        if not self.done.done():
            self.done.set_exception(error)


class Publisher:
    """Publishes batches over one connection."""

    def __init__(self, client: SafeClient, *, atomic: bool) -> None:
        """Prefer atomic batches if `atomic`: they win where the server syncs each write."""
        self._client = client
        self._atomic = atomic
        self._not_atomic: set[str] = set()
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = itertools.count()
        self._inbox = client.new_inbox()

    async def start(self) -> None:
        """Listen for acknowledgements."""
        await self._client.listen(f"{self._inbox}.*", self._on_answer)
        self._client.on_lost.append(self._on_lost)

    async def publish(self, items: Sequence[Outgoing], *, stream: str, timeout_s: float) -> list[Refused]:
        """Store all and return the refused; raises BusUnavailable when the outcome is unknown."""
        if not self._client.is_connected:
            raise BusUnavailable  # never into the client's buffer, where an outage could keep it for long
        refused = [Refused(i, REFUSED_HERE, word) for i, item in enumerate(items) if (word := wrong(item))]
        bad = {refusal.index for refusal in refused}
        sound = [(i, item) for i, item in enumerate(items) if i not in bad]
        try:
            with anyio.fail_after(timeout_s):
                for first in range(0, len(sound), BATCH_MAX):
                    refused += await self._store(sound[first : first + BATCH_MAX], stream)
        except BusUnavailable:
            raise
        except TimeoutError as error:
            raise BusTimeout(f"{len(items)} messages for {stream}, {timeout_s:g} s") from error
        return sorted(refused, key=lambda refusal: refusal.index)

    async def _store(self, batch: list[Numbered], stream: str) -> list[Refused]:
        if self._atomic and len(batch) >= ATOMIC_MIN and stream not in self._not_atomic:
            code = await self._store_atomic(batch, stream)
            if code is None:
                return []
            if code == ATOMIC_OFF:
                self._not_atomic.add(stream)
        return await self._store_counted(batch, stream)

    async def _store_counted(self, batch: list[Numbered], stream: str) -> list[Refused]:
        number, waiting = self._open(len(batch))
        try:
            for index, item in batch:
                if waiting.done.done():
                    break
                try:
                    await self._send(item, headers(item, stream), f"{self._inbox}.{number}-{index}")
                except Unsendable as error:
                    waiting.error(index, _Error(0, REFUSED_HERE, str(error)))
                    waiting.count()
            await waiting.done
        finally:
            self._close(number)
        return [Refused(index, error.err_code, error.description) for index, error in waiting.errors]

    async def _store_atomic(self, batch: list[Numbered], stream: str) -> int | None:
        """Return nothing if all is stored, else the code with which the whole was refused."""
        number, waiting = self._open(1)
        batch_id, last = f"{self._inbox[-22:]}-{number}", len(batch)
        try:
            for place, (_, item) in enumerate(batch, 1):
                lines = headers(item, stream)
                lines["Nats-Batch-Id"], lines["Nats-Batch-Sequence"] = batch_id, str(place)
                if place == last:
                    lines["Nats-Batch-Commit"] = "1"
                await self._send(item, lines, f"{self._inbox}.{number}-0" if place == last else "")
            await waiting.done
        except Unsendable:
            return REFUSED_HERE  # what was sent is never committed; the server forgets it in 10 s
        finally:
            self._close(number)
        return waiting.errors[0][1].err_code if waiting.errors else None

    async def _send(self, item: Outgoing, lines: dict[str, str], reply: str) -> None:
        with own_errors():
            await self._client.send(item.subject, item.data, reply, lines)

    def _open(self, left: int) -> tuple[str, _Waiting]:
        number = str(next(self._numbers))
        self._waiting[number] = waiting = _Waiting(left)
        return number, waiting

    def _close(self, number: str) -> None:
        waiting = self._waiting.pop(number)
        if not waiting.done.cancel() and not waiting.done.cancelled():
            waiting.done.exception()  # seen, though nobody waited for it

    async def _on_answer(self, message: Msg) -> None:
        number, _, index = message.subject[len(self._inbox) + 1 :].partition("-")
        if waiting := self._waiting.get(number):
            waiting.answer(int(index), message)

    def _on_lost(self) -> None:
        for waiting in self._waiting.values():
            waiting.fail(BusUnavailable("the connection was lost"))


def wrong(item: Outgoing) -> str | None:
    """Say why the item can be sent to no stream at all."""
    if not item.message_id:
        return "a message for a stream needs a message id"
    if item.ttl_s is not None and item.ttl_s < 1:
        return "a message lives for whole seconds, at least 1"
    return None


def headers(item: Outgoing, stream: str) -> dict[str, str]:
    """Return the headers of the item, with the stream that must be the one to take it."""
    lines = {**item.headers, "Nats-Msg-Id": item.message_id, "Nats-Expected-Stream": stream}
    if item.ttl_s is not None:
        lines["Nats-TTL"] = str(item.ttl_s)
    return lines
