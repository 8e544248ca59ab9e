"""The fastest known ways over nats-py alone: counted and atomic publishing, a callback-fed pull."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg

Item = tuple[str, bytes, str]  # subject, body, message id
Publish = Callable[[Sequence[Item]], Awaitable[None]]
EXPIRES_S = 5


class RawPublisher:
    """Sends a whole batch, then waits once; anything but success is an error."""

    def __init__(self, client: Client) -> None:
        """Wire it; nothing is sent yet."""
        self._client = client
        self._numbers = itertools.count()
        self._inbox = client.new_inbox()
        self._waiting: dict[str, tuple[list[int], asyncio.Future[None]]] = {}

    async def start(self) -> "RawPublisher":
        """Listen for acknowledgements."""
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._on_answer, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        return self

    async def _on_answer(self, message: Msg) -> None:
        left, done = self._waiting[message.subject.rpartition(".")[2]]
        if message.headers or b'"error"' in message.data[:16]:
            done.set_exception(RuntimeError(f"refused: {message.data!r} {message.headers}"))
        left[0] -= 1
        if not left[0]:
            done.set_result(None)

    def _expect(self, count: int) -> tuple[str, asyncio.Future[None]]:
        number, done = str(next(self._numbers)), asyncio.get_running_loop().create_future()
        self._waiting[number] = ([count], done)
        return number, done

    async def counted(self, items: Sequence[Item]) -> None:
        """Store each on its own; the acknowledgements are counted."""
        number, done = self._expect(len(items))
        for subject, body, message_id in items:
            lines = {"Nats-Msg-Id": message_id}
            await self._client.publish(subject, body, f"{self._inbox}.{number}", lines)
        await done

    async def atomic(self, items: Sequence[Item]) -> None:
        """Store all or none, with one sync to disk."""
        number, done = self._expect(1)
        batch, last = f"{self._inbox[-16:]}{number}", len(items)
        for place, (subject, body, message_id) in enumerate(items, 1):
            lines = {
                "Nats-Msg-Id": message_id,
                "Nats-Batch-Id": batch,
                "Nats-Batch-Sequence": str(place),
            }
            reply = ""
            if place == last:
                lines["Nats-Batch-Commit"], reply = "1", f"{self._inbox}.{number}"
            await self._client.publish(subject, body, reply, lines)
        await done


class RawPuller:
    """One standing request; `take` hands out whatever has arrived."""

    def __init__(self, client: Client, stream: str, durable: str, *, batch: int) -> None:
        """Wire it; nothing is asked yet."""
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._batch = batch
        self._messages: list[Msg] = []
        self._arrived = asyncio.Event()
        self._outstanding = 0

    async def start(self) -> "RawPuller":
        """Listen for what requests bring."""
        await self._client.subscribe(
            self._inbox, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        return self

    async def _on_message(self, message: Msg) -> None:
        if message.headers and "Status" in message.headers:
            self._outstanding = 0
        else:
            self._messages.append(message)
            self._outstanding -= 1
        self._arrived.set()

    async def take(self) -> list[Msg]:
        """Wait until something is there and take it all."""
        while not self._messages:
            if self._outstanding <= 0:
                self._outstanding = self._batch
                request = b'{"batch":%d,"expires":%d}' % (self._batch, EXPIRES_S * 10**9)
                await self._client.publish(self._subject, request, self._inbox)
            self._arrived.clear()
            await self._arrived.wait()
        await asyncio.sleep(0)  # what is parsed already comes in
        taken, self._messages = self._messages, []
        return taken
