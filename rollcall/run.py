"""Running one service alone, beside as many others as you like."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from bus.api import BusError
from bus.embedded import FolderBusy
from contracts.work import StoreFaultError
from rollcall.address import bus_url
from rollcall.settings import Settings
from rollcall.signals import watch_signals
from rollcall.wiring import check_http, runtime
from store.errors import StoreError

log = structlog.get_logger(__name__)

UNAVAILABLE = 69
REFUSED = 78


def run(service: str, settings: Settings) -> int:
    """Run `service` until SIGTERM or SIGINT; return the exit code.

    Raises ConfigError where it may not listen.
    """
    if service == "gateway":
        check_http(settings)
    return anyio.run(_run, service, settings)


async def _run(service: str, settings: Settings) -> int:
    url = bus_url(settings)
    if url is None:
        log.error("bus.not_found", hint="start `rollcall up`, or say where the bus is: ROLLCALL_NATS__URL")
        return UNAVAILABLE

    async def work(stop: anyio.Event) -> None:
        async with runtime([service], settings, url) as actors:
            await actors.run(stop)

    return await until_stopped(work)


async def until_stopped(work: Callable[[anyio.Event], Awaitable[None]]) -> int:
    """Run `work` until a signal asks it to stop; return the exit code, having said why if it is not 0."""
    stop = anyio.Event()
    failures: list[Exception] = []
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch_signals, stop)
            await work(stop)
            group.cancel_scope.cancel()
    except* (StoreError, StoreFaultError, BusError) as errors:
        failures.extend(leaves(errors))
    for failure in failures:
        log.error("refused", reason=str(failure))
    refused = any(isinstance(failure, StoreError | FolderBusy) for failure in failures)
    return REFUSED if refused else UNAVAILABLE if failures else 0


def leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """Return the errors that a group of groups holds."""
    found: list[Exception] = []
    for error in group.exceptions:
        found.extend(leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
