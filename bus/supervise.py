"""Supervision: a loop that fails is logged and started again, later and later, and harms no sibling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus.api import BusUnavailable, ConsumerGone, NoStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = structlog.get_logger(__name__)

BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
WELL_S: Final = 60.0  # a loop that ran so long had got over its last failure


async def mend(ensure: Callable[[], Awaitable[None]]) -> None:
    """Make the topology whole again, as far as the bus can be reached."""
    try:
        await ensure()
    except BusUnavailable as error:
        log.warning("topology.not_ensured", reason=str(error))


class Supervisor:
    """Keeps loops running until they end by themselves after `stop`."""

    def __init__(self, stop: anyio.Event, ensure: Callable[[], Awaitable[None]]) -> None:
        """Keep `ensure`: what to do when a stream or consumer is gone."""
        self._stop = stop
        self._ensure = ensure
        self.restarts = 0

    async def keep(self, name: str, loop: Callable[[anyio.Event], Awaitable[None]]) -> None:
        """Run `loop` until it returns with `stop` set."""
        failures = 0
        while True:
            began = anyio.current_time()
            try:
                await loop(self._stop)
            except (ConsumerGone, NoStream) as error:
                log.warning("loop.topology_gone", loop=name, reason=str(error))
                await mend(self._ensure)
            except BusUnavailable as error:
                log.warning("loop.bus_unavailable", loop=name, reason=str(error))
            except Exception:
                log.exception("loop.failed", loop=name)
            if self._stop.is_set():
                return
            self.restarts += 1
            if anyio.current_time() - began >= WELL_S:
                failures = 0
            with anyio.move_on_after(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]):
                await self._stop.wait()
            failures += 1
