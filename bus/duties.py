"""Doing what is due: claim, decide and commit in batches, then sleep until the next one, at most a tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog
from msgspec import structs

from bus import trace
from bus.vitals import Gauge
from contracts.work import Committed, Failed, StoreFaultError

if TYPE_CHECKING:
    from bus.service import Chore, Context, Duty
    from bus.work import Worker
    from contracts.work import Claim

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
ILL_S: Final = 1.0
RUN_S: Final = 60.0  # a chore may take so long: refilling or forgetting much is no standing still
WORTH_PER_SECOND: Final = 4  # transactions a second that a capped duty needs at most


class DutyLoop:
    """One duty of one service."""

    def __init__(self, duty: Duty, *, context: Context, worker: Worker) -> None:
        """Wire it; nothing runs yet."""
        self._duty = duty
        self._context = context
        self._worker = worker
        self._bell = anyio.Event()
        self._tokens = float(duty.per_second_max or 0)
        self._refilled = context.clock.monotonic()
        self._looked_at = 0
        self.done = 0
        self.quarantined = 0
        self.gauge = Gauge(duty.name, context.clock, every_s=TICK_S)

    def ring(self) -> None:
        """Look now: something may have become due."""
        self._bell.set()

    async def run(self, stop: anyio.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            rung = self._bell.is_set()
            self._bell = anyio.Event()
            try:
                more = await self.once() if rung or self._duty.due_query else False
                wait_s = 0.0 if more and self._duty.due_query else await self._pause_s()
                self.gauge.turn()
            except StoreFaultError as error:
                log.warning("store.fault", duty=self._duty.name, reason=str(error))
                wait_s = ILL_S
            if wait_s > 0:
                with anyio.move_on_after(wait_s):
                    await self._bell.wait()

    async def once(self) -> bool:
        """Do one batch of what is due now; True when more may be due."""
        now = self._looked_at = self._context.clock.now()
        claim = self._claim(now)
        limit = min(claim.limit, self._context.batch, self._allowance(claim.limit))
        if limit < 1:
            self.gauge.left = self._duty.due_query
            return False
        if limit != claim.limit:
            claim = structs.replace(claim, limit=limit)
        results = await self._worker.ledger.claim(claim, now)
        self._tokens -= len(results)
        for result in results:
            await self._finish(claim, result)
        more = len(results) >= limit
        self.gauge.left = self._duty.due_query if more else None
        return more

    def _claim(self, now: int) -> Claim:
        claim = self._duty.claim(now)
        if not self._duty.hears:
            return claim
        pulse = self._context.pulse
        pulse.look()  # it may just have woken, before it has read what was said
        heard = (
            ("heard_since", pulse.hearing_since),
            ("heard_until", pulse.heard_until(now)),
            ("health", pulse.health),
        )
        return structs.replace(claim, params=(*claim.params, *heard))

    async def _finish(self, claim: Claim, result: Committed | Failed) -> None:
        """Hand on what was done; a row that throws alone too leaves the due columns and stops nobody."""
        if isinstance(result, Failed):
            result = await self._alone(claim, result)
        if isinstance(result, Failed):
            result = await self._quarantine(result)
        self.done += 1
        self._worker.hand_on(result, trace.following({}))

    async def _alone(self, claim: Claim, failed: Failed) -> Committed | Failed:
        unit = claim.unit(failed.row or 0)
        result = (await self._worker.ledger.run([unit], self._context.clock.now()))[0]
        if isinstance(result, Failed):
            return structs.replace(failed, error=result.error)
        return result

    async def _quarantine(self, failed: Failed) -> Committed:
        done = await self._worker.ledger.quarantine(failed, self._context.clock.now())
        if done.posts:
            self.quarantined += 1
            log.error("row.quarantined", duty=self._duty.name, row=failed.row, exc_info=failed.error)
        else:
            log.warning("row.changed", duty=self._duty.name, row=failed.row, reason=str(failed.error))
        return done

    def _allowance(self, wanted: int) -> int:
        """Return how many rows may be taken now under the rate cap (a bucket of one second)."""
        cap = self._duty.per_second_max
        if cap is None:
            return wanted
        now = self._context.clock.monotonic()
        self._tokens = min(float(cap), self._tokens + (now - self._refilled) * cap)
        self._refilled = now
        return int(self._tokens) if self._tokens >= self._worth(cap) else 0

    async def _pause_s(self) -> float:
        """Return how long until something is due; what is due already but held waits a tick."""
        query = self._duty.due_query
        due_at = None if query is None else await self._worker.ledger.due_at(query)
        if due_at is None:
            return TICK_S
        if due_at <= self._looked_at:
            return self._held_s()  # it was due when we looked, and was not taken
        return min(max(0.0, (due_at - self._context.clock.now()) / 1e6), TICK_S)

    def _held_s(self) -> float:
        cap = self._duty.per_second_max
        if cap is None or self._tokens >= self._worth(cap):
            return TICK_S
        # not for less than a millisecond: a clock that is not finer than the wait would never see its end
        return min(TICK_S, max(0.001, (self._worth(cap) - self._tokens) / cap))

    def _worth(self, cap: int) -> int:
        """Return how many rows are worth a transaction at the cap: else each would hold a handful."""
        return max(1, min(cap // WORTH_PER_SECOND, self._context.batch))


class ChoreLoop:
    """One chore of one service."""

    def __init__(self, chore: Chore, context: Context) -> None:
        """Wire it; nothing runs yet."""
        self._chore = chore
        self._context = context
        self.gauge = Gauge(chore.name, context.clock, every_s=chore.every_s + RUN_S)

    async def run(self, stop: anyio.Event) -> None:
        """Do it, then wait, until `stop`."""
        while not stop.is_set():
            self.gauge.turn()
            try:
                await self._chore.run(self._context, self._context.clock.now())
                self.gauge.turn()
            except StoreFaultError as error:
                log.warning("store.fault", chore=self._chore.name, reason=str(error))
            with anyio.move_on_after(self._chore.every_s):
                await stop.wait()
