"""Running one service alone, beside as many others as you like."""

import signal

import anyio
import structlog

from bus.api import BusError
from rollcall.address import bus_url
from rollcall.settings import Settings
from rollcall.wiring import runtime
from store.errors import StoreError

log = structlog.get_logger(__name__)

UNAVAILABLE = 69
REFUSED = 78


def run(service: str, settings: Settings) -> int:
    """Run `service` until SIGTERM or SIGINT; return the exit code."""
    return anyio.run(_run, service, settings)


async def _run(service: str, settings: Settings) -> int:
    url = bus_url(settings)
    if url is None:
        log.error("bus.not_found", hint="start `rollcall up`, or say where the bus is: ROLLCALL_NATS__URL")
        return UNAVAILABLE
    stop = anyio.Event()
    try:
        async with anyio.create_task_group() as group, runtime([service], settings, url) as actors:
            group.start_soon(watch_signals, stop)
            await actors.run(stop)
            group.cancel_scope.cancel()
    except* StoreError as errors:
        log.error("store.refused", reason=str(errors.exceptions[0]))
        return REFUSED
    except* BusError as errors:
        log.error("bus.refused", reason=str(errors.exceptions[0]))
        return UNAVAILABLE
    return 0


async def watch_signals(stop: anyio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; at the second, end at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                raise SystemExit(128 + number)
            log.info("runtime.stopping", signal=signal.Signals(number).name)
            stop.set()
