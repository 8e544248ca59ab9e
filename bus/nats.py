"""The bus over NATS."""

from __future__ import annotations

from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import anyio
import anyio.lowlevel
import nats.errors as ne
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as RawSubscription

from bus.api import (
    LIMIT_DEFAULT,
    NO_HEADERS,
    Backlog,
    BusTimeout,
    BusUnavailable,
    Incoming,
    NotPermitted,
    Outgoing,
    Refused,
)
from bus.client import Access, ApiError, SafeClient, connect, end, js_api, own_errors
from bus.publisher import Publisher
from bus.puller import StandingPuller

NO_MESSAGE: Final = 10_037
DRAIN_S: Final = 12.0
CLOSE_S: Final = 1.0
DENIALS_MAX: Final = 64
YIELD_EVERY: Final = 50  # messages: what is queued meanwhile goes out in one write


class NatsSubscription:
    """Interest in a subject on the server."""

    def __init__(self, raw: RawSubscription) -> None:
        """Wrap nats-py's own."""
        self._raw = raw

    async def unsubscribe(self) -> None:
        """Stop at once."""
        await end(self._raw, drain=False)

    async def drain(self) -> None:
        """Stop receiving, hand over what has arrived, then end."""
        await end(self._raw, drain=True)


class NatsBus:
    """One connection to NATS, as a `Bus`."""

    def __init__(self, client: SafeClient, *, atomic: bool = False) -> None:
        """Speak through a connected client; `atomic` if the server syncs each write."""
        self.client = client
        self._publisher = Publisher(client, atomic=atomic)
        self._unyielded = 0
        self._denials = deque[str](maxlen=DENIALS_MAX)
        client.on_error.append(self._note_denial)

    @classmethod
    async def open(
        cls,
        urls: str | list[str],
        *,
        name: str,
        access: Access | None = None,
        inbox_prefix: str = "_INBOX",
        atomic: bool = False,
        timeout_s: float = 30.0,
    ) -> NatsBus:
        """Connect within `timeout_s` or raise BusUnavailable."""
        client = await connect(urls, name=name, access=access, inbox_prefix=inbox_prefix, timeout_s=timeout_s)
        bus = cls(client, atomic=atomic)
        await bus.start()
        return bus

    async def start(self) -> None:
        """Make ready to publish to streams."""
        await self._publisher.start()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self.client.is_connected

    @property
    def guarded(self) -> bool:
        """Whether the server asks who one is."""
        return self.client.guarded

    @property
    def server(self) -> str:
        """Which run of which server this connection is on: its id changes at every start."""
        return self.client.server_id

    @property
    def dropped(self) -> int:
        """How many messages were dropped because a handler here was too slow."""
        return self.client.dropped

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish a core message, best effort."""
        with own_errors():
            await self.client.send(subject, data, reply, headers)
        self._unyielded = (self._unyielded + 1) % YIELD_EVERY
        if not self._unyielded:  # nats-py does not yield: a loop over this would stop the world
            await anyio.lowlevel.checkpoint()

    async def publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 10.0
    ) -> list[Refused]:
        """Store all messages in the stream and return those it refused."""
        return await self._publisher.publish(items, stream=stream, timeout_s=timeout_s)

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Incoming], None],
        *,
        queue: str = "",
        limit: int = LIMIT_DEFAULT,
    ) -> NatsSubscription:
        """Hand each message to `handler`, which must not block."""

        async def on_message(message: Msg) -> None:
            handler(incoming(message))

        return NatsSubscription(await self.client.listen(subject, on_message, queue=queue, limit=limit))

    async def pull(self, stream: str, durable: str, *, batch: int) -> StandingPuller:
        """Open a puller that asks the server for `batch` messages at a time."""
        puller = StandingPuller(self.client, stream, durable, batch=batch)
        await puller.start()
        return puller

    async def backlog(self, stream: str) -> Backlog:
        """Ask the server what the stream holds."""
        state = (await js_api(self.client, f"STREAM.INFO.{stream}"))["state"]
        return Backlog(state["messages"], micros(state["first_ts"]) if state["messages"] else 0)

    async def newest_id(self, stream: str, subject: str) -> str:
        """Ask the server for the id of the newest message that the stream holds on a subject."""
        return await newest_id(self.client, stream, subject)

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Incoming:
        """Send a request and wait for its reply."""
        if not self.connected:
            raise BusUnavailable  # sent later, from the buffer, it would ask for what nobody waits for
        try:
            with own_errors():
                reply = await self.client.request(
                    subject, data, timeout_s, headers=dict(headers) if headers else None
                )
        except BusTimeout as error:
            if denial := next((text for text in self._denials if f'"{subject.lower()}"' in text), None):
                self._denials.remove(denial)  # the next one may be allowed: rights can change
                raise NotPermitted(denial) from error
            raise
        return incoming(reply)

    def _note_denial(self, error: Exception) -> None:
        """Keep what the server does not allow: it says so aside, and never answers the request itself."""
        text = str(error).lower()
        if "permissions violation" in text:
            self._denials.append(text)

    async def rtt(self) -> float:
        """Measure a round trip to the server, in seconds."""
        with own_errors():
            return await self.client.rtt()

    async def flush(self) -> None:
        """Wait until the server has taken all that was sent before."""
        with own_errors():
            await self.client.flush()

    async def drain(self) -> None:
        """Stop receiving, finish what has arrived, send what is buffered, close."""
        with anyio.CancelScope(shield=True):
            try:
                with anyio.fail_after(DRAIN_S):
                    await self.client.drain()
            except (ne.Error, OSError):  # it is reconnecting, closed, or too slow
                with anyio.move_on_after(CLOSE_S):
                    await self.client.close()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time the connection comes back."""
        self.client.on_back.append(callback)


def incoming(message: Msg) -> Incoming:
    """Return nats-py's message as ours."""
    return Incoming(
        subject=message.subject, data=message.data, headers=message.headers or NO_HEADERS, reply=message.reply
    )


async def newest_id(client: SafeClient, stream: str, subject: str) -> str:
    """Return the id of the newest message on a subject; "" where there is none."""
    try:
        found = await js_api(client, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except ApiError as error:
        if error.err_code == NO_MESSAGE:
            return ""
        raise
    for line in b64decode(found["message"].get("hdrs", "")).decode().splitlines():
        name, _, value = line.partition(":")
        if name == "Nats-Msg-Id":
            return value.strip()
    return ""


def micros(timestamp: str) -> int:
    """Read RFC 3339 with up to nine decimals, UTC, as microseconds since the epoch."""
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))
