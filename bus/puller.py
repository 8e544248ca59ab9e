"""Taking messages from a durable consumer: one standing request, a callback that collects what it brings."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import anyio
import anyio.lowlevel
import msgspec
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.api import NO_HEADERS, BusError, ConsumerGone, Incoming
from bus.client import ApiError, SafeClient, end, js_api

log = structlog.get_logger(__name__)

EXPIRES_S: Final = 30.0  # of one request at the server; `take` waits as long as its caller likes
HEARTBEAT_S: Final = 5.0
SILENCE_S: Final = 12.0  # two heartbeats and a bit: the request is lost
BACKOFF_S: Final = 0.25
LOOK_S: Final = 1.0
LAST_WORDS_S: Final = 2.0  # what a server that is gone may keep us waiting
NOT_FOUND: Final = 404
SHORT_TOKENS: Final = 9
NANOSECONDS: Final = 1_000_000_000


class StandingPuller:
    """The puller of one durable consumer; `take` is for one task at a time."""

    def __init__(self, client: SafeClient, stream: str, durable: str, *, batch: int) -> None:
        """Prepare to ask for `batch` messages at a time."""
        self._client = client
        self._name = f"{stream}.{durable}"
        self._batch = batch
        self._inbox = client.new_inbox()
        self._request = 0  # the number of the standing request
        self._outstanding = 0  # what it may still bring
        self._heard_at = 0.0
        self._ask_at = 0.0
        self._buffer: deque[Incoming] = deque()
        self._taken: dict[str, Incoming] = {}
        self._left = 0
        self._gone = False
        self._doubt = False
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen for what requests bring."""
        self._subscription = await self._client.listen(f"{self._inbox}.*", self._on_message)
        self._client.on_back.append(self._on_back)

    async def take(self, batch: int, *, expires_s: float) -> list[Incoming]:
        """Wait until something is there and return at most `batch`; nothing after `expires_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + expires_s
        while not self._buffer:
            self._arrived.clear()
            if self._doubt:
                with anyio.move_on_after(LOOK_S):
                    await self._look()
            if self._gone:
                self._gone = False  # the next take asks again
                raise ConsumerGone(self._name)
            now = loop.time()
            if now >= deadline:
                return []
            self._ask(now)
            wake_at = self._heard_at + SILENCE_S if self._outstanding else self._ask_at
            with anyio.move_on_after(max(0.0, min(deadline, wake_at) - now)):
                await self._arrived.wait()
        await anyio.lowlevel.checkpoint()  # what the read loop has parsed comes in
        count = min(batch, len(self._buffer))
        taken = [self._buffer.popleft() for _ in range(count)]
        self._taken.update((message.reply, message) for message in taken)
        return taken

    def pending(self) -> int:
        """How many wait: arrived here, and left on the server at the last arrival."""
        return len(self._buffer) + self._left

    async def close(self) -> None:
        """Stop, and give back at once what is not settled."""
        with anyio.CancelScope(shield=True):
            if self._on_back in self._client.on_back:
                self._client.on_back.remove(self._on_back)
            with anyio.move_on_after(LAST_WORDS_S):
                await self._stop_listening()
            for message in [*self._taken.values(), *self._buffer]:
                self._client.post(message.reply, b"-NAK")
            self._buffer.clear()
            self._taken.clear()

    def ack(self, message: Incoming) -> None:
        """Settle as handled."""
        self._settle(message, b"+ACK")

    def nak(self, message: Incoming, delay_s: float) -> None:
        """Give back, for later."""
        delay = b' {"delay":%d}' % int(delay_s * NANOSECONDS) if delay_s > 0 else b""
        self._settle(message, b"-NAK" + delay)

    def term(self, message: Incoming) -> None:
        """Settle as never to be handled."""
        self._settle(message, b"+TERM")

    def _settle(self, message: Incoming, verb: bytes) -> None:
        if self._taken.pop(message.reply, None) is not None:  # once: what was given back is another's by now
            self._client.post(message.reply, verb)

    def _ask(self, now: float) -> None:
        """Make sure that a request stands."""
        if self._outstanding and now - self._heard_at >= SILENCE_S:
            log.warning("a pull request was lost", consumer=self._name)
            self._outstanding = 0
        if self._outstanding or now < self._ask_at:
            return
        self._ask_at = now + BACKOFF_S
        if not self._client.is_connected:
            return  # on_back wakes us; until then look again every so often
        self._request, self._outstanding, self._heard_at = self._request + 1, self._batch, now
        body = {
            "batch": self._batch,
            "expires": int(EXPIRES_S * NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT_S * NANOSECONDS),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._name}"
        self._client.post(subject, msgspec.json.encode(body), f"{self._inbox}.{self._request}")

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if message.reply.startswith("$JS.ACK."):
            incoming, self._left = pulled(message, self)
            self._buffer.append(incoming)
            self._outstanding = max(0, self._outstanding - 1)
            if not self._outstanding:
                self._ask_at = 0.0
        elif not message.subject.endswith(f".{self._request}"):
            return  # the end of a request that no longer stands
        else:
            self._on_status(message.headers or {})
        self._arrived.set()

    def _on_status(self, headers: dict[str, str]) -> None:
        match headers.get("Status"), headers.get("Description", ""):
            case "100", _:
                return
            case (("404" | "408"), _):  # it expired: nothing came
                self._left = 0
                self._ask_at = 0.0
            case "409", "Consumer Deleted":
                self._gone = True
            case "503", _:  # no such consumer, or no leader, or JetStream is not up yet
                self._doubt = True
            case status, description:
                log.warning("a pull was refused", consumer=self._name, status=status, why=description)
        self._outstanding = 0

    def _on_back(self) -> None:
        self._outstanding, self._ask_at = 0, 0.0  # the server forgot the request
        self._arrived.set()

    async def _look(self) -> None:
        """Find out whether the consumer is gone, or only out of reach."""
        try:
            await js_api(self._client, f"CONSUMER.INFO.{self._name}")
        except ApiError as error:
            self._gone = error.code == NOT_FOUND
        except BusError:
            return  # in doubt still; each look waits for an answer, so this does not spin
        self._doubt = False

    async def _stop_listening(self) -> None:
        """End the subscription; what the server had sent by then is in the buffer afterwards."""
        if self._subscription is None:
            return
        try:
            await end(self._subscription, drain=self._client.is_connected)
        except BusError as error:
            log.info("a puller closed without its last words", consumer=self._name, error=str(error))


def pulled(message: Msg, settler: StandingPuller) -> tuple[Incoming, int]:
    """Read what the server says of a delivery in its reply subject, and how many are left after it."""
    tokens = message.reply.split(".")
    first = (
        4 if len(tokens) == SHORT_TOKENS else 6
    )  # the longer form has domain and account before the stream
    incoming = Incoming(
        subject=message.subject,
        data=message.data,
        headers=message.headers or NO_HEADERS,
        reply=message.reply,
        seq=int(tokens[first + 1]),
        delivered=int(tokens[first]),
        at_us=int(tokens[first + 3]) // 1000,
        settler=settler,
    )
    return incoming, int(tokens[first + 4])
