"""Doing what is due where the store is not enough: leased by a claim, done outside of it, then committed.

A claim's answer is the job, and what comes of it a unit. Nothing is awaited inside a transaction; whoever is
killed at a job leaves a lease that runs out, and somebody does it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog
from msgspec import Struct, structs

from bus import trace
from bus.api import BusError
from contracts import subjects
from contracts.work import Committed, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from bus.api import Incoming
    from bus.service import Context
    from contracts.work import Claim, Failed, Unit

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
END_S: Final = 3.0  # what is being done when we stop may take so long; the lease of the rest runs out
NOTHING: Final = b"{}"


class Errand(Struct, frozen=True, kw_only=True):
    """What is done so, and by how many at once."""

    name: str
    service: str  # whose doorbell rings for it
    claim: Claim  # its decisions answer with the job, or with nothing when there is none
    due_query: str
    run: Callable[[bytes], Awaitable[Unit]]  # does a job and never raises
    at_once: int = 64


class ErrandLoop:
    """One errand of one process."""

    def __init__(self, errand: Errand, context: Context) -> None:
        """Wire it; nothing runs yet."""
        self._errand = errand
        self._context = context
        self._bell = anyio.Event()
        self._running = 0
        self._done: list[Unit] = []

    async def run(self, stop: anyio.Event) -> None:
        """Work until `stop`."""
        wake = f"{self._context.root}.{subjects.wake(self._errand.service)}"
        bell = await self._context.bus.subscribe(wake, self._heard)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._ring_at, stop)
                while not stop.is_set():
                    self._bell = anyio.Event()
                    with anyio.move_on_after(await self._turn(group)):
                        await self._bell.wait()
                with anyio.move_on_after(END_S):
                    while self._running:
                        self._bell = anyio.Event()
                        await self._bell.wait()
                await self._turn(None)
                group.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(TICK_S, shield=True):
                await bell.unsubscribe()

    async def _ring_at(self, stop: anyio.Event) -> None:
        await stop.wait()
        self._bell.set()

    def _heard(self, _message: Incoming) -> None:
        self._bell.set()

    async def _turn(self, group: TaskGroup | None) -> float:
        """Commit what was done and begin what is due, unless it ends; return for how long to rest."""
        try:
            await self._commit()
            free = self._errand.at_once - self._running
            if group is None or free < 1:
                self._turned(full=True)
                return TICK_S
            taken = await self._take(free, group)
            due_at = await self._context.ledger.due_at(self._errand.due_query)
            self._turned(full=taken >= free)
        except StoreFaultError as error:
            log.warning("store.fault", errand=self._errand.name, reason=str(error))
            return TICK_S
        if due_at is None or (not taken and due_at <= self._context.clock.now()):
            return TICK_S  # nothing is due, or only what waits for another of its kind
        return min(TICK_S, max(0.0, (due_at - self._context.clock.now()) / 1e6))

    def _turned(self, *, full: bool) -> None:
        """Show that the loop came round, and whether something may be due for which nobody is free."""
        gauge = self._context.gauge
        if gauge is not None:
            gauge.left = self._errand.due_query if full else None
            gauge.turn()

    async def _take(self, free: int, group: TaskGroup) -> int:
        now = self._context.clock.now()
        results = await self._context.ledger.claim(structs.replace(self._errand.claim, limit=free), now)
        for result in results:
            if not isinstance(result, Committed):
                result = await self._quarantined(result)  # noqa: PLW2901 - what became of it
            await self._hand_on(result)
            if result.answer != NOTHING:
                self._running += 1
                group.start_soon(self._do, result.answer)
        return len(results)

    async def _do(self, job: bytes) -> None:
        try:
            self._done.append(await self._errand.run(job))
        finally:
            self._running -= 1
            self._bell.set()

    async def _commit(self) -> None:
        """Commit what came of the jobs; of what cannot be written the lease runs out."""
        done = self._done[:]
        if not done:
            return
        results = await self._context.ledger.run(done, self._context.clock.now())
        del self._done[: len(done)]
        for unit, result in zip(done, results, strict=True):
            if isinstance(result, Committed):
                await self._hand_on(result)
            else:
                log.error("errand.lost", key=unit.key, exc_info=result.error)

    async def _quarantined(self, failed: Failed) -> Committed:
        log.error("row.quarantined", errand=self._errand.name, row=failed.row, exc_info=failed.error)
        return await self._context.ledger.quarantine(failed, self._context.clock.now())

    async def _hand_on(self, result: Committed) -> None:
        self._context.outbox.put(result.posts, trace.following({}))
        for service in result.wakes:
            try:
                await self._context.bus.publish(f"{self._context.root}.{subjects.wake(service)}", b"")
            except BusError as error:
                log.debug("cast.lost", subject=service, reason=str(error))
