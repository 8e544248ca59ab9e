"""What a process knows of itself: whether its bus is away, since when it hears, whether a clock stepped.

Each second it is written down who lives and on which server, so that whoever starts after a silence of all
can tell a bus that was away (promises stand still) from services that were (agents could answer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus.api import BusError
from contracts.codec import instant
from contracts.records import Hold
from contracts.work import Stamp, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bus.api import Bus, Clock
    from contracts.ledger import Ledger

log = structlog.get_logger(__name__)

STAMP_S: Final = 1.0
REACH_S: Final = 2.0
AWAY_S: Final = 5.0  # a connection that is lost and back sooner, as after a pause, was no outage
ILL_MAX: Final = 7
SLOW_S: Final = 0.5  # a round trip that takes longer is a sign of illness, ours or the bus's
LATE_S: Final = 2.0  # so is a look that comes more than a tick too late
WELL_S: Final = 5.0  # without such signs a step of the score is forgiven
PAUSE_S: Final = 3.0  # whoever has not looked for three ticks may not have read what was said meanwhile
STEP_S: Final = 5.0  # no clock that is only corrected moves so far from the monotonic one in so short a time


class Pulse:
    """The pulse of one process."""

    def __init__(
        self,
        *,
        bus: Bus,
        ledger: Ledger,
        clock: Clock,
        process: str,
        services: str,
        gap_us: int,
        vitals: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        """Begin to live and to hear now; nothing is written yet. `vitals` go with each stamp."""
        self._bus = bus
        self._ledger = ledger
        self._clock = clock
        self._process = process
        self._services = services
        self._gap_us = gap_us
        self._vitals = vitals
        self._looked = self._read()
        self._hearing_since, _ = self._looked
        self._dropped = bus.dropped
        self._away_since: float | None = None
        self._untold = False
        self._reached = True
        self._steps: list[Hold] = []
        self._waiting: list[Callable[[], int | None]] = []
        self._behind = False
        self.health = 0  # 0: well; each sign of illness one more, at most 7: who judges others waits longer
        self._well_since = clock.monotonic()
        bus.on_reconnect(self._deaf)

    @property
    def hearing_since(self) -> int:
        """Since when this process has heard all that was said (microseconds); `look` moves it."""
        return self._hearing_since

    def ask(self, waiting_since: Callable[[], int | None]) -> None:
        """Ask this from now on: since when something that was heard waits to be written, if anything does."""
        self._waiting.append(waiting_since)

    def heard_until(self, now: int) -> int:
        """Return up to when all that was heard is written too (microseconds), at most `now`."""
        waiting = [at - 1 for ask in self._waiting if (at := ask()) is not None]
        until = min([now, *waiting])
        behind = now - until > PAUSE_S * 1e6
        if behind != self._behind:
            self._behind = behind
            log.warning("hearing.behind" if behind else "hearing.caught_up", by_s=(now - until) / 1e6)
        return until

    def missed(self) -> None:
        """Note that something that was said was not heard."""
        self._deaf()

    def look(self) -> None:
        """Note what became of the bus and of the clocks since the last look."""
        wall, mono = self._read()
        last_wall, last_mono = self._looked
        self._looked = wall, mono
        stepped_us = wall - last_wall - round((mono - last_mono) * 1e6)
        if abs(stepped_us) > STEP_S * 1e6:
            log.warning("clock.stepped", by_s=round(stepped_us / 1e6, 3))
            if stepped_us > 0:
                self._steps.append(Hold(start_at=wall - stepped_us, end_at=wall))
        connected, dropped = self._reached and self._bus.connected, self._bus.dropped
        paused = mono - last_mono > PAUSE_S
        if paused:
            log.warning("process.paused", for_s=round(mono - last_mono, 3), hears_since=instant(wall))
        if paused or not connected or dropped != self._dropped or abs(stepped_us) > STEP_S * 1e6:
            self._hearing_since = wall
        self._dropped = dropped
        self._feel(ill=mono - last_mono > LATE_S, mono=mono)
        self._note_bus(connected=connected, mono=mono)

    async def settle(self) -> None:
        """Look, and write the steps of the clock, which nobody is judged by. May raise StoreFaultError."""
        self.look()
        while self._steps:
            step = self._steps[0]
            await self._ledger.hold(step)
            if step in self._steps:  # else a neighbour wrote it too, at the same time
                self._steps.remove(step)

    async def tell(self) -> None:
        """Write that this process lives, and whether with a bus. May raise StoreFaultError."""
        await self.settle()
        self._reached = await self._reach()
        self.look()
        vitals = None if self._vitals is None else await self._vitals()
        if self._reached or self._untold:
            stamp = self._stamp(live=self._reached, vitals=vitals)
            await self._ledger.stamp(stamp)
            self._told(stamp)
        elif vitals is not None:  # too short to be an outage: a stamp would make it one
            await self._ledger.vitals(self._process, vitals, self._clock.now())

    async def answered(self, until: int) -> None:
        """Write that all answers stored before `until` have been handled, as the bus has just said.

        May raise StoreFaultError.
        """
        await self.settle()
        stamp = self._stamp(live=True)
        await self._ledger.answered(until, stamp)
        self._told(stamp)

    async def run(self, stop: anyio.Event) -> None:
        """Tell once a second, until `stop`."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, stop)
            await self._tell_on(stop)

    async def _watch(self, stop: anyio.Event) -> None:
        """Look once a second and wait for nothing else: a store or a bus that is slow is no pause."""
        while not stop.is_set():
            self.look()
            with anyio.move_on_after(STAMP_S):
                await stop.wait()

    async def _tell_on(self, stop: anyio.Event) -> None:
        while not stop.is_set():
            try:
                await self.tell()
            except StoreFaultError as error:
                self._deaf()  # what was heard meanwhile may not be written yet
                log.warning("store.fault", stamping=self._process, reason=str(error))
            with anyio.move_on_after(STAMP_S):
                await stop.wait()

    async def _reach(self) -> bool:
        """Ask the server: a line that is dead, or a process that was paused, still looks connected."""
        if not self._bus.connected:
            return False
        asked = anyio.current_time()
        try:
            with anyio.fail_after(REACH_S):
                await self._bus.rtt()
        except (BusError, TimeoutError):
            return False
        if anyio.current_time() - asked > SLOW_S:
            self._feel(ill=True, mono=self._clock.monotonic())
        return True

    def _stamp(self, *, live: bool, vitals: bytes | None = None) -> Stamp:
        return Stamp(
            process=self._process,
            service=self._services,
            now=self._clock.now(),
            server=self._bus.server if live else None,
            away=self._untold,
            gap_us=self._gap_us,
            vitals=vitals,
        )

    def _told(self, stamp: Stamp) -> None:
        if stamp.server is not None:
            self._untold = False

    def _feel(self, *, ill: bool, mono: float) -> None:
        """Note a sign of illness, a look that came late or a slow bus, or that there was none."""
        if ill:
            self.health = min(self.health + 1, ILL_MAX)
        elif self.health and mono - self._well_since >= WELL_S:
            self.health -= 1
        else:
            return
        self._well_since = mono
        log.info("health.changed", score=self.health)

    def _note_bus(self, *, connected: bool, mono: float) -> None:
        if connected:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = mono
        elif mono - self._away_since >= AWAY_S:
            self._untold = True

    def _deaf(self) -> None:
        """Begin to hear now."""
        self._hearing_since = self._clock.now()

    def _read(self) -> tuple[int, float]:
        """Return both clocks, read at one moment: a process may be paused between two lines."""
        while True:
            before = self._clock.monotonic()
            wall = self._clock.now()
            after = self._clock.monotonic()
            if after - before < 1.0:
                return wall, after
