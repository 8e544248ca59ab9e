"""Answering requests in the NATS micro protocol (ADR-32), so that `nats micro ls`, `info` and `stats` see us.

nats-py's own loop handles one request at a time, and drops what is in flight when it stops. Here each request
is handed over at once, and answered whenever its handler is done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import anyio
import msgspec
import structlog

from bus.api import LIMIT_DEFAULT, Bus, BusError, Incoming, Subscription

log = structlog.get_logger(__name__)

ERROR_CODE: Final = "Nats-Service-Error-Code"
ERROR_WORD: Final = "Nats-Service-Error"
QUESTIONS_MAX: Final = 1_000  # unanswered questions about ourselves; the newest are kept
KIND: Final = "io.nats.micro.v1.{}_response"
INBOXES: Final = ("_INBOX", "_R_")  # a client's inbox, and what the server makes of it between accounts


class MicroEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation that a service answers."""

    name: str
    subject: str
    handler: Callable[[MicroRequest], None]  # must not block; answers later, through the request
    queue: str = ""  # the service's name unless given
    metadata: Mapping[str, str] = {}
    limit: int = LIMIT_DEFAULT


class _Stats:
    """What is counted of one endpoint."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self.took_ns = 0


class MicroRequest:
    """A request that waits for its answer."""

    def __init__(self, bus: Bus, message: Incoming, stats: _Stats, clock_ns: Callable[[], int]) -> None:
        """Start its clock."""
        self.subject = message.subject
        self.data = message.data
        self.headers = message.headers
        self.reply = message.reply
        self.answered = False
        self._bus = bus
        self._stats = stats
        self._clock_ns = clock_ns
        self._began_ns = clock_ns()

    async def respond(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer; a second answer is not sent."""
        if self.answered:
            return
        self.answered = True
        self._stats.took_ns += self._clock_ns() - self._began_ns
        await self._bus.publish(self.reply, body, headers=headers)

    async def respond_error(self, code: int, short: str, body: bytes = b"") -> None:
        """Answer with an error, in the headers where any micro client looks for it."""
        if not self.answered:
            self._stats.errors += 1
            self._stats.last_error = f"{code}:{short}"
        await self.respond(body, {ERROR_CODE: str(code), ERROR_WORD: short})


class MicroService:
    """A named group of endpoints, with what the protocol tells about them."""

    def __init__(
        self,
        bus: Bus,
        *,
        name: str,
        version: str,
        instance_id: str,
        started_at: datetime,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Name the service; nothing is answered before `start`."""
        self.name = name
        self.instance_id = instance_id
        self.forged = 0  # requests whose reply would have been published where it may not be, and replies
        self._bus = bus
        self._identity = {
            "name": name,
            "id": instance_id,
            "version": version,
            "metadata": dict(metadata or {}),
        }
        self._description = description
        self._started = started_at.isoformat().replace("+00:00", "Z")
        self._clock_ns = clock_ns
        self._endpoints: list[tuple[MicroEndpoint, _Stats]] = []
        self._monitors: list[Subscription] = []
        self._doors: list[Subscription] = []
        self._questions = deque[tuple[str, str]](maxlen=QUESTIONS_MAX)
        self._asked = anyio.Event()

    async def start(self, endpoints: Sequence[MicroEndpoint]) -> None:
        """Open the endpoints, then tell of them."""
        for endpoint in endpoints:
            stats = _Stats()
            self._endpoints.append((endpoint, stats))
            door = await self._bus.subscribe(
                endpoint.subject,
                self._receiver(endpoint, stats),
                queue=endpoint.queue or self.name,
                limit=endpoint.limit,
            )
            self._doors.append(door)
        for verb in ("PING", "INFO", "STATS"):
            for tail in ("", f".{self.name}", f".{self.name}.{self.instance_id}"):
                question = await self._bus.subscribe(f"$SRV.{verb}{tail}", self._asker(verb))
                self._monitors.append(question)

    async def run(self) -> None:
        """Answer questions about the service until cancelled; requests do not need this."""
        while True:
            while self._questions:
                verb, reply = self._questions.popleft()
                try:
                    await self._bus.publish(reply, msgspec.json.encode(self._tell(verb)))
                except BusError as error:
                    log.info("a service did not tell of itself", service=self.name, error=str(error))
            self._asked = anyio.Event()
            await self._asked.wait()

    async def stop(self) -> None:
        """Take no new request; what has arrived is handed over first."""
        for subscription in [*self._monitors, *self._doors]:
            await subscription.drain()
        self._monitors.clear()
        self._doors.clear()

    def _receiver(self, endpoint: MicroEndpoint, stats: _Stats) -> Callable[[Incoming], None]:
        def receive(message: Incoming) -> None:
            if self._is_forged(message):
                return
            stats.requests += 1
            endpoint.handler(MicroRequest(self._bus, message, stats, self._clock_ns))

        return receive

    def _is_forged(self, message: Incoming) -> bool:
        """Whether the reply goes where its sender might not publish: permissions do not cover that field.

        What has no reply is one itself: what a stream or another service answered to a question that named
        this subject as its reply. Who asks wants an answer.
        """
        forged = not message.reply.startswith(INBOXES)
        self.forged += forged
        return forged

    def _asker(self, verb: str) -> Callable[[Incoming], None]:
        def ask(message: Incoming) -> None:
            if not self._is_forged(message):
                self._questions.append((verb, message.reply))
                self._asked.set()

        return ask

    def _tell(self, verb: str) -> dict[str, Any]:
        answer: dict[str, Any] = {"type": KIND.format(verb.lower()), **self._identity}
        if verb == "INFO":
            answer["description"] = self._description
            answer["endpoints"] = [
                {**self._door(end), "metadata": end.metadata} for end, _ in self._endpoints
            ]
        if verb == "STATS":
            answer["started"] = self._started
            answer["endpoints"] = [{**self._door(end), **counted(stats)} for end, stats in self._endpoints]
        return answer

    def _door(self, endpoint: MicroEndpoint) -> dict[str, str]:
        queue = endpoint.queue or self.name
        return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": queue}


def counted(stats: _Stats) -> dict[str, int | str]:
    """Return an endpoint's counters under the protocol's names; times are in nanoseconds."""
    return {
        "num_requests": stats.requests,
        "num_errors": stats.errors,
        "last_error": stats.last_error,
        "processing_time": stats.took_ns,
        "average_processing_time": stats.took_ns // stats.requests if stats.requests else 0,
    }
