"""How a process of ours is asked to stop."""

import signal

import anyio
import structlog

log = structlog.get_logger(__name__)


async def watch_signals(stop: anyio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; at the second, end at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                raise SystemExit(128 + number)
            log.info("runtime.stopping", signal=signal.Signals(number).name)
            stop.set()
