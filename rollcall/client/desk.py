"""What has come in for an agent: pings that are owed an answer, notices, and promises still in its hands."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar
from weakref import WeakSet

import msgspec
from nats.aio.msg import Msg

from rollcall.client.promise import Held, Ping, Sender, Sync
from rollcall.client.wire import Notice, Outcome, Refused, RollcallError, Withdrawn

log = logging.getLogger(__name__)
HeldT = TypeVar("HeldT", bound=Held)

MEMORY_MAX: Final = 10_000  # assignments and notices remembered, to tell the second copy from the first
NO_TRACE: Final[Mapping[str, str]] = MappingProxyType({})
ENDED: Final = ("completed", "failed")
TAKEN: Final = ("superseded", "already_final")


class Desk:
    """Sorts what comes in; whoever iterates is woken."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._news = asyncio.Event()
        self._closed = False
        self._why: RollcallError | None = None
        self._owed: dict[int, Ping] = {}
        self._notices: deque[Notice] = deque(maxlen=MEMORY_MAX)
        self._known: dict[object, int] = {}  # the newest attempt of each assignment, and every notice
        self._held: WeakSet[Held] = WeakSet()

    async def pings(self) -> AsyncIterator[Ping]:
        """Yield each ping that is owed an answer."""
        while True:
            while self._owed:
                yield self._owed.pop(next(iter(self._owed)))
            if not await self._more():
                return

    async def notices(self) -> AsyncIterator[Notice]:
        """Yield each notice."""
        while True:
            while self._notices:
                yield self._notices.popleft()
            if not await self._more():
                return

    def close(self, why: RollcallError | None) -> None:
        """End all iterations: quietly, or with the error that cut the agent off."""
        self._closed, self._why = True, self._why or why
        self._tell()

    def on_ping(self, message: Msg) -> None:
        """Take a ping, or its withdrawal."""
        body = msgspec.json.decode(message.data, type=Ping | Withdrawn)
        if isinstance(body, Withdrawn):
            self._withdraw(body)
        else:
            self._owe(self._bind(body, message.headers or NO_TRACE))

    def on_outcome(self, message: Msg) -> None:
        """Hear what became of an answer that was only stored; a refusal is news."""
        outcome = msgspec.json.decode(message.data, type=Outcome)
        if outcome.accepted or outcome.problem is None:
            return
        refused = Refused(outcome.problem)
        log.warning("%s of assignment %d was refused: %s", outcome.kind, outcome.assignment, refused)
        for held in self._of(outcome.assignment):
            held.refused = refused
            held.ended = held.ended or refused.code in TAKEN

    def on_notice(self, message: Msg) -> None:
        """Take a notice."""
        self._notice(msgspec.json.decode(message.data, type=Notice))

    def take(self, sync: Sync) -> Sync:
        """Take what the agent missed while it was away."""
        for lease in sync.leases:
            self._bind(lease, incarnation=sync.incarnation)
            if lease.ping is not None:
                self._owe(self._bind(lease.ping))
        for notice in sync.notices:
            self._notice(notice)
        return sync

    def hand_over(self, ping: Ping) -> Ping:
        """Take a ping that was asked for: it is not yielded again."""
        self._is_new(ping)
        self._owed.pop(ping.assignment, None)
        return self._bind(ping)

    def _owe(self, ping: Ping) -> None:
        if self._is_new(ping):
            self._owed[ping.assignment] = ping
            self._tell()

    def _notice(self, notice: Notice) -> None:
        if self._newer(notice, 1):
            self._notices.append(notice)
            self._tell()

    def _withdraw(self, body: Withdrawn) -> None:
        self._owed.pop(body.assignment, None)
        for held in self._of(body.assignment):
            held.withdrawn = body
            held.ended = held.ended or body.status in ENDED

    def _bind(self, held: HeldT, trace: Mapping[str, str] = NO_TRACE, incarnation: str = "") -> HeldT:
        about: dict[str, Any] = {"incarnation": incarnation}
        if isinstance(held, Ping):
            about = {"incarnation": held.incarnation, "attempt": held.attempt}
        held.bind(self._sender, about, trace)
        self._held.add(held)
        return held

    def _of(self, assignment: int) -> list[Held]:
        return [held for held in self._held if held.assignment == assignment]

    def _is_new(self, ping: Ping) -> bool:
        return self._newer((ping.incarnation, ping.assignment), ping.attempt)

    def _newer(self, key: object, number: int) -> bool:
        """Remember `number` under `key`, and say whether it is higher than all before."""
        before = self._known.pop(key, 0)
        self._known[key] = max(before, number)
        while len(self._known) > MEMORY_MAX:
            del self._known[next(iter(self._known))]
        return number > before

    async def _more(self) -> bool:
        """Wait until something has come; False after leaving, the error after being cut off."""
        if self._why is not None:
            raise self._why
        if not self._closed:
            await self._news.wait()
        return not self._closed or self._why is not None

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
