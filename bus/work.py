"""Doing units: run a batch, retry what threw alone, and tell poison from a store that is ill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from contracts.errors import InternalError
from contracts.limits import HANDLER_TRIES_MAX
from contracts.work import Committed, Failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.api import Clock
    from bus.outbox import Outbox
    from contracts.ledger import Ledger
    from contracts.work import Cast, Unit

log = structlog.get_logger(__name__)

ALONE_DELAYS_S: Final = (0.0, 0.05, 0.2, 0.5)


class Worker:
    """Runs units and hands on what they commit; shared by all doors of one process."""

    def __init__(self, *, ledger: Ledger, outbox: Outbox, clock: Clock, casts: Casts) -> None:
        """Wire the ports."""
        self.ledger = ledger
        self.clock = clock
        self._outbox = outbox
        self._casts = casts
        self.failed = 0

    async def run(self, units: Sequence[Unit], traces: Sequence[str]) -> list[Committed | Failed]:
        """Do the units as one batch, those that threw again alone; raises StoreFaultError."""
        results = await self.ledger.run(units, self.clock.now())
        for index, result in enumerate(results):
            if isinstance(result, Failed):
                results[index] = await self._alone(units[index], result)
        for result, trace in zip(results, traces, strict=True):
            if isinstance(result, Committed):
                self.hand_on(result, trace)
        return results

    async def _alone(self, unit: Unit, first: Failed) -> Committed | Failed:
        """Try a unit alone: it is poison only when it threw so, on a healthy store, this many times."""
        failed = first
        for number in range(HANDLER_TRIES_MAX):
            await anyio.sleep(ALONE_DELAYS_S[min(number, len(ALONE_DELAYS_S) - 1)])
            result = (await self.ledger.run([unit], self.clock.now()))[0]
            if isinstance(result, Committed):
                return result
            failed = result
        self.failed += 1
        log.error("unit.failed", key=unit.key, tries=HANDLER_TRIES_MAX, exc_info=failed.error)
        return failed

    def hand_on(self, committed: Committed, trace: str) -> None:
        """Publish what was committed; a repeated answer was published before."""
        self._outbox.put(committed.posts, trace)
        for cast in committed.casts:
            self._casts.put(cast, trace)
        for service in committed.wakes:
            self._casts.wake(service)


class Casts:
    """Best-effort core messages after a commit, sent by one task so that no handler waits for them."""

    def __init__(self) -> None:
        """Start empty."""
        self._messages: list[tuple[str, bytes, str]] = []  # subject, body, traceparent
        self._answers: list[tuple[str, bytes, str]] = []  # the same, to a subject that is not under the root
        self._wakes: set[str] = set()
        self._taken = 0
        self._bell = anyio.Event()
        self._idle = anyio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait or are being sent."""
        return len(self._messages) + len(self._answers) + self._taken

    def put(self, cast: Cast, trace: str) -> None:
        """Queue a message."""
        self._messages.append((cast.subject, cast.body, trace))
        self._bell.set()

    def answer(self, inbox: str, body: bytes, trace: str) -> None:
        """Queue an answer to somebody's inbox."""
        self._answers.append((inbox, body, trace))
        self._bell.set()

    def wake(self, service: str) -> None:
        """Queue a doorbell; several rings are one."""
        self._wakes.add(service)
        self._bell.set()

    async def wait(self) -> None:
        """Wait until something is queued; what was taken before has been sent."""
        self._taken = 0
        if not self.waiting and not self._wakes:
            self._idle.set()
            self._bell = anyio.Event()
            await self._bell.wait()

    async def sent(self) -> None:
        """Wait until everything queued was sent."""
        while self.waiting:
            self._idle = anyio.Event()
            await self._idle.wait()

    def take(self, root: str) -> tuple[list[tuple[str, bytes, str]], set[str]]:
        """Take all that is queued: messages as (whole subject, body, traceparent), and services to wake."""
        messages = [(f"{root}.{subject}", body, trace) for subject, body, trace in self._messages]
        messages += self._answers
        self._messages, self._answers = [], []
        self._taken = len(messages)
        wakes, self._wakes = self._wakes, set()
        return messages, wakes


def internal_error() -> Committed:
    """Return the reply to a command whose decision threw: nothing of it was written."""
    return Committed(problem=InternalError().problem())
