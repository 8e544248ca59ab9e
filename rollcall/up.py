"""Everything in one process: the embedded bus and all services; and how to stop it."""

import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import structlog

from bus import embedded
from bus.api import BusError
from bus.embedded import EmbeddedServer, Listening
from rollcall.door.fleet import fleet_doors
from rollcall.run import until_stopped
from rollcall.settings import Settings
from rollcall.settings_values import SERVICES
from rollcall.wiring import check_bus, check_http, runtime, security

log = structlog.get_logger(__name__)

DOWN_S = 25.0


OPEN: Final = (
    "OPEN: whoever reaches the bus may read everything and answer for everybody. "
    "Leave out --open (ROLLCALL_NATS__OPEN) for anything that is not thrown away."
)


def up(settings: Settings) -> int:
    """Run the bus and all services until SIGTERM or SIGINT; return the exit code.

    Raises ConfigError where the gateway may not listen.
    """
    check_bus(settings)
    check_http(settings)
    if settings.nats.open:
        sys.stderr.write(f"{OPEN}\n")
    return anyio.run(_up, settings)


async def _up(settings: Settings) -> int:
    async def work(stop: anyio.Event) -> None:
        async with (
            _bus(settings, stop) as url,
            runtime(SERVICES, settings, url) as actors,
            fleet_doors(settings.doors_dir, actors.ports),
        ):
            await actors.run(stop, ready=lambda: _say_ready(url, settings))

    return await until_stopped(work)


def _say_ready(url: str, settings: Settings) -> None:
    sys.stdout.write(f"ready: bus {url}, store {settings.store_path}\n")
    sys.stdout.flush()


@asynccontextmanager
async def _bus(settings: Settings, stop: anyio.Event) -> AsyncGenerator[str]:
    """Yield the address of the bus: the configured one, or that of a server of our own, kept alive."""
    if settings.nats.url:
        yield settings.nats.url
        return
    nats = settings.nats
    server = EmbeddedServer(
        settings.state_dir,
        durability=settings.durability,
        security=security(settings),
        listening=Listening(nats.host, nats.port, nats.certificate, nats.key),
    )
    await server.start()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_keep, server, stop)
            yield server.url
            group.cancel_scope.cancel()
    finally:
        await server.stop()


async def _keep(server: EmbeddedServer, stop: anyio.Event) -> None:
    """Start the server again when it ends before its time; clients find it on the same port."""
    delay_s = 0.1
    while True:
        code = await server.exited()
        if stop.is_set():
            return
        log.error("bus.ended", code=code, again_in_s=delay_s)
        await anyio.sleep(delay_s)
        delay_s = min(delay_s * 2, 5.0)
        try:
            await server.start()
        except BusError as error:
            log.warning("bus.not_started", reason=str(error))


def down(settings: Settings) -> int:
    """Ask the `up` of this state folder to stop, and wait until it has."""
    owner = _owner(settings.state_dir)
    if owner is None:
        sys.stderr.write(f"nothing runs in {settings.state_dir}\n")
        return 0
    os.kill(owner, signal.SIGTERM)
    return _wait(lambda: not embedded.alive(owner))


def _owner(folder: Path) -> int | None:
    """Return the process that runs in the folder: the one named in the lock, while somebody holds it."""
    path = folder / "lock"
    if not path.exists():
        return None
    holder = os.open(path, os.O_RDWR)
    try:
        if embedded.try_lock(holder):
            return None
        text = os.pread(holder, 32, 0).decode(errors="replace").strip()
    finally:
        os.close(holder)
    return int(text) if text.isdigit() and embedded.alive(int(text)) else None


def _wait(done: Callable[[], bool]) -> int:
    give_up = time.monotonic() + DOWN_S
    while not done():
        if time.monotonic() > give_up:
            sys.stderr.write(f"it did not stop within {DOWN_S:.0f} s\n")
            return 1
        time.sleep(0.02)
    return 0
