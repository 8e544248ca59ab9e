"""The one place that constructs things: settings become clock, store, bus, services and their runtime."""

import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from bus import streams
from bus.actor import Ports, Runtime
from bus.api import BusUnavailable
from bus.embedded import Open, Security
from bus.identity.authority import Authority
from bus.identity.keyring import Keyring
from bus.identity.permissions import grants
from bus.identity.server import Secured
from bus.nats import NatsBus
from bus.service import Service
from contracts import tokens
from contracts.intake import IntakeLimits
from contracts.work import Stamp
from domain.deliveries import Patience
from domain.timers import Timers
from rollcall.address import bus_url, our_keys, own_bus
from rollcall.clock import SystemClock
from rollcall.config import ConfigError
from rollcall.credentials import HOUSE, context, proof
from rollcall.settings import Settings, is_local
from rollcall.settings_checks import reach
from rollcall.settings_values import SERVICES
from rollcall.watching import chores
from services.assigner import Assigner
from services.cleanup import Cleanup, Retention
from services.courier import Courier
from services.escalator import Escalator
from services.gateway import Gateway, Listening
from services.intake import Intake
from services.monitor import Monitor
from services.notifier import Notifier
from services.pinger import Pinger
from services.relay import Relay
from store.open import open_store
from store.sqlite import SqliteStore

OWNERS: tuple[str, ...] = tuple(name for name in SERVICES if name != "gateway")


def timers(settings: Settings) -> Timers:
    """Return the clocks of promises as configured, scaled."""
    said = settings.timers
    return Timers(
        ping_first_us=said.ping_first_us,
        ping_interval_us=said.ping_interval_us,
        accept_sub_us=said.accept_sub_us,
        accept_main_us=said.accept_main_us,
        warn_us=said.warn_us,
        act_us=said.act_us,
        defer_us=said.defer_us,
        wait_limit_us=said.wait_limit_us,
        wait_grace_us=said.wait_grace_us,
        backoff_us=said.backoff_us,
        backoff_max_us=said.backoff_max_us,
        jitter_max_us=said.jitter_max_us,
        resume_min_us=said.resume_min_us,
        repeats_us=said.repeats_us,
        unassigned_alarm_us=said.unassigned_alarm_us,
        assign_retry_us=said.assign_retry_us,
        beat_misses=settings.monitor.beat_misses,
        machine_misses=settings.monitor.machine_misses,
        grace_us=settings.monitor.grace_us,
        release_us=settings.monitor.release_us,
        hide_us=settings.monitor.hide_us,
        brake_window_us=settings.monitor.brake_window_us,
        brake_us=settings.monitor.brake_us,
        brake_pace_us=settings.monitor.brake_pace_us,
    ).scaled(said.scale)


def services(names: Sequence[str], settings: Settings) -> list[Service]:
    """Return the named services."""
    clocks = timers(settings)
    kept = Retention(
        commands_us=settings.retention.commands_us,
        pings_us=settings.retention.pings_us,
        audit_us=settings.retention.audit_us,
        intake_us=settings.retention.intake_us,
        notifications_us=settings.retention.notifications_us,
    )
    makers: dict[str, Callable[[], Service]] = {
        "assigner": lambda: Assigner(timers=clocks),
        "pinger": lambda: Pinger(timers=clocks, pings_per_second=settings.limits.pings_per_second),
        "escalator": lambda: Escalator(timers=clocks, steps_per_second=settings.limits.steps_per_second),
        "monitor": lambda: Monitor(
            timers=clocks,
            expected=settings.services.expected,
            reach=reach(settings),
            authority=authority(settings),
        ),
        "cleanup": lambda: Cleanup(retention=kept),
        "relay": Relay,
        "intake": lambda: Intake(timers=clocks, limits=intake_limits(settings)),
        "courier": lambda: Courier(timers=clocks, reach=reach(settings), patience=patience(settings)),
        "notifier": lambda: Notifier(
            receivers=settings.notify.receivers(), reach=reach(settings), manner=settings.notify.manner
        ),
        "gateway": lambda: gateway(settings),
    }
    return [makers[name]() for name in names]


def intake_limits(settings: Settings) -> IntakeLimits:
    """Return how much may be said, and made of it."""
    said = settings.intake
    return IntakeLimits(
        said_per_minute=said.messages_per_minute,
        made_per_minute=said.tasks_per_minute,
        made_per_hour=said.tasks_per_hour,
    )


def patience(settings: Settings) -> Patience:
    """Return how often a ping over HTTP is tried, as configured, scaled as all clocks of promises."""
    said = settings.webhooks
    return Patience(tries=said.tries, retry_us=max(1, round(said.retry_us * settings.timers.scale)))


def gateway(settings: Settings) -> Gateway:
    """Return the door over HTTP; it answers queries as their owners do."""
    http = settings.http
    owners = services(OWNERS, settings)
    reads = {
        endpoint.operation.name: endpoint.unit
        for owner in owners
        for endpoint in owner.endpoints
        if endpoint.operation.query and endpoint.unit is not None
    }
    listening = Listening(
        host=http.host,
        port=http.port,
        certificate=http.certificate,
        key=http.key,
        per_minute=http.per_minute,
        streams=http.streams,
        names=_listed(http.names),
        proxies=_listed(http.proxies),
        greets=(settings.operator or "") if sys.stdout.isatty() else "",  # a journal has many readers
        fixed=tokens.digest(http.token) if http.token else "",
    )
    return Gateway(listening=listening, reads=reads, opened=partial(opened_at, settings))


def _listed(said: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, said.split(","))))


def opened_at(settings: Settings, address: str, link: str) -> None:
    """Say where the gateway listens, to people and to the command line."""
    settings.http_file.write_text(address, "utf-8")
    said = (
        f"{link} (works once, for 10 minutes; rollcall dashboard: another)" if link else "rollcall dashboard"
    )
    sys.stdout.write(f"http: {address}\ndashboard: {said}\n")
    sys.stdout.flush()


def check_http(settings: Settings) -> None:
    """Refuse to listen to other machines without a certificate; raises ConfigError."""
    http = settings.http
    if (http.certificate is None) != (http.key is None):
        raise ConfigError("http.certificate and http.key: both are needed, or none")
    if not http.local and http.certificate is None:
        raise ConfigError(
            f"http.host = {http.host!r}: other machines are listened to with a certificate only: "
            "set http.certificate and http.key, or leave 127.0.0.1 and put a proxy with TLS before it"
        )


def check_bus(settings: Settings) -> None:
    """Refuse a bus of our own that other machines reach without TLS or unasked; raises ConfigError."""
    nats = settings.nats
    for section, own in (("nats", nats), ("nats.tls", nats.tls)):
        if (own.certificate is None) != (own.key is None):
            raise ConfigError(f"{section}.certificate and {section}.key: both are needed, or none")
        if wrong := next((path for path in (own.certificate, own.key) if path and not path.is_file()), None):
            raise ConfigError(f"{section}.certificate and {section}.key: there is no file {wrong}")
    if settings.nats.url or is_local(nats.host):
        return
    if nats.certificate is None:
        raise ConfigError(
            f"nats.host = {nats.host!r}: other machines are listened to with a certificate only: "
            "set nats.certificate and nats.key, or leave 127.0.0.1 and use a tunnel"
        )
    if nats.open:
        raise ConfigError(f"nats.host = {nats.host!r}: a bus that lets in everybody stays on this machine")


def security(settings: Settings) -> Security:
    """Return whom the embedded server lets in."""
    return Open() if settings.nats.open else secured(settings)


def authority(settings: Settings) -> Authority | None:
    """Return who signs credentials with the keys of this state folder, where the bus knows them."""
    url = settings.nats.url
    if settings.nats.open or (url and not our_keys(settings, url)):
        return None
    return Authority(lambda: secured(settings), lambda: bus_url(settings), lambda url: context(settings, url))


def secured(settings: Settings) -> Secured:
    """Return the keys of this state folder, and what each role may do."""
    roles = grants(services(SERVICES, settings), settings.root)
    elsewhere = bool(settings.nats.url) and not own_bus(settings, settings.nats.url)
    return Secured(Keyring(settings.identity_dir), roles, root=settings.root, elsewhere=elsewhere)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[SqliteStore]:
    """Open the store, creating it where there is none."""
    clocks = timers(settings)
    store = await open_store(
        settings.store_path,
        durability=settings.durability,
        now=SystemClock().now(),
        main_agent=settings.main_agent.name,
        main_capacity=settings.main_agent.capacity,
        main_timeout_us=clocks.accept_main_us,
    )
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def runtime(names: Sequence[str], settings: Settings, url: str) -> AsyncGenerator[Runtime]:
    """Connect everything and yield a runtime of the named services, ready to be run."""
    async with opened(settings) as store:
        process = f"{os.getpid()}-{secrets.token_hex(3)}"
        name = f"rollcall/{'+'.join(names) if len(names) == 1 else 'up'}/{process}"
        try:
            shown = proof(settings, url, "service", names[0] if len(names) == 1 else HOUSE)
            bus = await NatsBus.open(
                url,
                name=name,
                access=shown.access(),
                inbox_prefix=shown.inbox,
                atomic=settings.durability == "full",
            )
        except BusUnavailable:
            # whoever finds no bus is the only one who knows of it when all others are gone
            now = SystemClock().now()
            await store.stamp(Stamp(process=process, service="+".join(names), now=now, server=None))
            raise
        topology = streams.topology(settings.root)

        try:
            ports = Ports(
                bus=bus,
                ledger=store,
                clock=SystemClock(),
                root=settings.root,
                streams=topology.name,
                ensure=lambda: streams.ready(bus.client, topology),
                process=process,
                version=version("rollcall"),
                batch=settings.limits.batch,
                chores=chores(names, settings),
            )
            yield Runtime(services(names, settings), ports)
        finally:
            await bus.drain()
