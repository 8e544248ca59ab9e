"""How a process is: when each of its loops last came round, how late it is, and how much waits for it.

Told on the bus every five seconds, for whoever watches from afar, and written with the process's stamp, so
that whoever reads the store knows it while nobody can be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus.api import BusError
from contracts import subjects
from contracts.codec import encode, instant
from contracts.messages import LoopVital, Vital
from contracts.work import StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.api import Bus, Clock
    from contracts.ledger import Ledger

log = structlog.get_logger(__name__)

TELL_S: Final = 5.0


class Gauge:
    """What one loop shows of itself."""

    def __init__(
        self, name: str, clock: Clock, *, every_s: float, waiting: Callable[[], int] = lambda: 0
    ) -> None:
        """Begin as if it had just come round; it should again within `every_s`."""
        self.name = name
        self.waiting = waiting
        self.left: str | None = None  # by which query something due was left undone; None: all was taken
        self._clock = clock
        self._every_s = every_s
        self._turned = clock.monotonic()

    def turn(self) -> None:
        """Note that the loop has come round."""
        self._turned = self._clock.monotonic()

    @property
    def rested_s(self) -> float:
        """How long ago the loop last came round."""
        return self._clock.monotonic() - self._turned

    @property
    def overdue_s(self) -> float:
        """How long ago it should have come round again."""
        return max(0.0, self.rested_s - self._every_s)


class Vitals:
    """The vital signs of one process."""

    def __init__(self, *, ledger: Ledger, clock: Clock, process: str) -> None:
        """Start without loops."""
        self._ledger = ledger
        self._clock = clock
        self._process = process
        self._gauges: dict[str, list[Gauge]] = {}

    def add(self, service: str, *gauges: Gauge) -> None:
        """Watch these loops of a service from now on."""
        self._gauges.setdefault(service, []).extend(gauges)

    async def read(self) -> tuple[Vital, ...]:
        """Return how each service is now."""
        return tuple([await self._vital(service, gauges) for service, gauges in self._gauges.items()])

    async def text(self) -> bytes:
        """Return the same as JSON."""
        return encode(await self.read())

    async def run(self, stop: anyio.Event, bus: Bus, root: str) -> None:
        """Tell it on the bus now and then, until `stop`; what the bus cannot take now is lost."""
        while not stop.is_set():
            for vital in await self.read() if bus.connected else ():
                try:
                    await bus.publish(f"{root}.{subjects.vital(vital.service, vital.process)}", encode(vital))
                except BusError as error:
                    log.debug("vital.lost", service=vital.service, reason=str(error))
            with anyio.move_on_after(TELL_S):
                await stop.wait()

    async def _vital(self, service: str, gauges: list[Gauge]) -> Vital:
        loops = tuple([await self._loop(gauge) for gauge in gauges])
        now = instant(self._clock.now())
        return Vital(
            service=service,
            process=self._process,
            at=now,
            ticked_at=min((loop.ticked_at for loop in loops), default=now),
            lag_s=max((loop.lag_s for loop in loops), default=0.0),
            waiting=sum(loop.waiting for loop in loops),
            loops=loops,
        )

    async def _loop(self, gauge: Gauge) -> LoopVital:
        lag_s = max(gauge.overdue_s, await self._behind_s(gauge))
        return LoopVital(
            name=gauge.name,
            ticked_at=instant(self._clock.now() - round(gauge.rested_s * 1e6)),
            lag_s=round(lag_s, 3),
            waiting=gauge.waiting(),
        )

    async def _behind_s(self, gauge: Gauge) -> float:
        """Return how long ago the earliest of what was left undone was due.

        What a loop looked at and did not take is not late: a rule holds it, and nobody is behind.
        """
        if gauge.left is None:
            return 0.0
        try:
            due_at = await self._ledger.due_at(gauge.left)
        except StoreFaultError:
            return 0.0  # the loop will not come round either
        return 0.0 if due_at is None else max(0.0, (self._clock.now() - due_at) / 1e6)
