"""The streams and durable consumers, as data; what is missing is created, what drifted is repaired.

Names derive from the root: `rollcall.v1` has ROLLCALL_PINGS, `acme.v2` has ACME_V2_PINGS. A stream is ours if
its metadata names our root, or, without such, if all its subjects lie under it. Nothing else is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import msgspec

from bus.api import BusError, NoResponders
from bus.client import ApiError, SafeClient, js_api

VERSION_MIN: Final = (2, 14)
OWNER: Final = "rollcall.root"
ROOT_PATTERN: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
KIB: Final = 1024
GIB: Final = 1024**3
NOT_FOUND: Final = 404
OVERLAP: Final = 10_065

Config = dict[str, Any]


class TopologyRefused(BusError):
    """The streams on this server cannot be ours."""


class ServerRefused(BusError):
    """This nats-server cannot carry the system."""


class Durable(msgspec.Struct, frozen=True):
    """A durable consumer of a stream."""

    stream: str
    name: str
    config: Config


class Topology(msgspec.Struct, frozen=True):
    """All streams and consumers under one root."""

    root: str
    streams: Mapping[str, Config]  # by short name: PINGS, ACKS, INTAKE, EVENTS, DLQ
    durables: Sequence[Durable]

    def name(self, short: str) -> str:
        """Return a stream's full name, say ROLLCALL_PINGS for PINGS."""
        return stream_name(self.root, short)


class Change(msgspec.Struct, frozen=True):
    """What differed from the topology, or was made to fit it."""

    kind: Literal["missing", "drifted", "foreign", "created", "repaired"]
    what: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.what}: {self.kind}" + (f" ({', '.join(self.details)})" if self.details else "")


def stream_name(root: str, short: str) -> str:
    """Return the name of a root's stream; the version stands in it unless it is the first."""
    return f"{root.removesuffix('.v1').replace('.', '_').upper()}_{short}"


def topology(root: str = "rollcall.v1") -> Topology:
    """Return the topology under a root."""
    if not ROOT_PATTERN.fullmatch(root):
        raise TopologyRefused(f"root {root!r}: use lower-case words joined by dots, say rollcall.v1")
    streams = {
        "PINGS": pings(root),
        "ACKS": acks(root),
        "INTAKE": intake(root),
        "EVENTS": events(root),
        "DLQ": dead_letters(root),
    }
    for short, config in streams.items():
        config |= {"name": stream_name(root, short), "storage": "file", "metadata": {OWNER: root}}
    durables = (_worked_off(root, "ACKS", "answers"), _worked_off(root, "INTAKE", "intake"))
    return Topology(root, streams, durables)


def _worked_off(root: str, short: str, name: str) -> Durable:
    config = {
        "durable_name": name,
        "ack_policy": "explicit",
        "ack_wait": 30 * SECOND,
        "max_ack_pending": 2_000,
        "max_deliver": -1,  # a message is never given up: what is poison, the runtime decides
    }
    return Durable(stream_name(root, short), name, config)


def pings(root: str) -> Config:
    """Return the mailbox: the newest ping of each assignment, seen once by whoever listens.

    Without the transform, a plain subscriber would see every copy that is published, also those that the
    stream drops as duplicates; what it sees is the republished message, after the stream has taken it.
    """
    return {
        "subjects": [f"{root}.in.ping.*.*"],
        "subject_transform": {
            "src": f"{root}.in.ping.*.*",
            "dest": f"{root}.ping.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
        },
        "republish": {"src": f"{root}.ping.>", "dest": f"{root}.ping.>"},
        "max_msgs_per_subject": 1,
        "max_age": 7 * DAY,
        "max_bytes": 1 * GIB,
        "max_msg_size": 64 * KIB,
        "max_consumers": 1_000,
        "duplicate_window": HOUR,
        "allow_msg_ttl": True,
        "allow_direct": True,
        "allow_atomic": True,
    }


def acks(root: str) -> Config:
    """Return the work queue of answers; agents publish here, so no header of theirs may do more than that."""
    return {
        "subjects": [f"{root}.ack.*.*"],
        "retention": "workqueue",
        "discard": "new",  # full, it refuses: an answer once taken is never dropped for a newer one
        "max_age": 30 * DAY,
        "max_bytes": 2 * GIB,
        "max_msg_size": 64 * KIB,
        "max_consumers": 64,
        "duplicate_window": HOUR,
    }


def intake(root: str) -> Config:
    """Return the work queue of what is said; who says too much fills the room of one subject alone."""
    return {
        "subjects": [f"{root}.msg.*.*"],
        "retention": "workqueue",
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": 1_000,
        "max_age": 7 * DAY,
        "max_bytes": GIB // 4,
        "max_msg_size": 64 * KIB,
        "max_consumers": 16,
        "duplicate_window": HOUR,
    }


def events(root: str) -> Config:
    """Return the log of facts; it can be refilled from the store, never edited."""
    return {
        "subjects": [f"{root}.evt.*.*.*"],
        "max_age": 365 * DAY,
        "max_bytes": 20 * GIB,
        "max_msg_size": 256 * KIB,
        "max_consumers": 200,
        "duplicate_window": HOUR,
        "deny_delete": True,
        "deny_purge": True,
        "compression": "s2",
        "allow_direct": True,
        "allow_atomic": True,
    }


def dead_letters(root: str) -> Config:
    """Return what was poison, with the reason."""
    return {
        "subjects": [f"{root}.dlq.>"],
        "max_age": 30 * DAY,
        "max_bytes": 1 * GIB,
        "max_consumers": 16,
        "duplicate_window": HOUR,
        "allow_direct": True,
    }


async def ensure(client: SafeClient, topology: Topology, replicas: int = 1) -> list[Change]:
    """Create what is missing, repair what drifted, and return what was done."""
    await check_server(client)
    changes: list[Change] = []
    for config in topology.streams.values():
        wanted = config | {"num_replicas": replicas}
        changes += await _ensure_stream(client, wanted, topology.root)
    for durable in topology.durables:
        changes += await _ensure_durable(client, durable)
    return changes


async def ready(client: SafeClient, topology: Topology) -> str:
    """Make the topology whole, and return when its stream of events was created, as the server says.

    A stream that was lost and made again has another birth: so it is known, whoever made it, and whatever
    became of who did.
    """
    await ensure(client, topology)
    found = await js_api(client, f"STREAM.INFO.{topology.name('EVENTS')}")
    return str(found["created"])


async def missing(client: SafeClient, topology: Topology) -> list[Change]:
    """Return what is missing, drifted or foreign, and touch nothing."""
    await check_server(client)
    found: list[Change] = []
    for config in topology.streams.values():
        actual = await _stream(client, config["name"])
        what = f"stream {config['name']}"
        if actual is None:
            found.append(Change("missing", what))
        elif foreign := ownership(actual, topology.root):
            found.append(Change("foreign", what, (foreign,)))
        elif drifted := drift(config, actual):
            found.append(Change("drifted", what, drifted))
    for durable in topology.durables:
        actual = await _durable(client, durable)
        what = f"consumer {durable.stream}.{durable.name}"
        if actual is None:
            found.append(Change("missing", what))
        elif drifted := drift(durable.config, actual):
            found.append(Change("drifted", what, drifted))
    return found


async def check_server(client: SafeClient) -> None:
    """Refuse a server without JetStream, or one too old to hold the permissions we rely on."""
    version = client.connected_server_version
    if (version.major, version.minor) < VERSION_MIN:
        raise ServerRefused(
            f"it is version {version.major}.{version.minor}.{version.patch}; "
            f"{'.'.join(map(str, VERSION_MIN))} or newer is needed, older ones have known security faults"
        )
    try:
        await js_api(client, "INFO")
    except NoResponders as error:
        raise ServerRefused(
            "JetStream is off; start it with -js, or with jetstream { } in its file"
        ) from error
    except ApiError as error:
        raise ServerRefused(f"JetStream is off for this account: {error.detail}") from error


def drift(wanted: Config, actual: Config) -> tuple[str, ...]:
    """Name what differs; what the server or an operator added beside is left alone."""
    return tuple(
        f"{key} is {actual.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if not _holds(value, actual.get(key))
    )


def _holds(wanted: object, actual: object) -> bool:
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return cast("Config", wanted).items() <= cast("Config", actual).items()
    return wanted == actual


def metadata(actual: Config) -> dict[str, str]:
    """Return what is noted on a stream."""
    return actual.get("metadata") or {}


def ownership(actual: Config, root: str) -> str | None:
    """Say why a stream is not ours; nothing if it is."""
    owner = metadata(actual).get(OWNER)
    if owner is not None:
        return None if owner == root else f"it belongs to root {owner}"
    outside = [
        subject for subject in actual.get("subjects") or ["none"] if not subject.startswith(f"{root}.")
    ]
    return f"its subjects are not under {root}: {', '.join(outside)}" if outside else None


async def _ensure_stream(client: SafeClient, wanted: Config, root: str) -> list[Change]:
    name = wanted["name"]
    what = f"stream {name}"
    actual = await _stream(client, name)
    if actual is None:
        await _apply(client, f"STREAM.CREATE.{name}", wanted, what)
        return [Change("created", what)]
    if foreign := ownership(actual, root):
        raise TopologyRefused(f"{what} is there but not ours: {foreign}; choose another root, or delete it")
    if drifted := drift(wanted, actual):
        merged = {**actual, **wanted, "metadata": metadata(actual) | wanted["metadata"]}
        await _apply(client, f"STREAM.UPDATE.{name}", merged, what)
        return [Change("repaired", what, drifted)]
    return []


async def _ensure_durable(client: SafeClient, durable: Durable) -> list[Change]:
    what = f"consumer {durable.stream}.{durable.name}"
    actual = await _durable(client, durable)
    drifted = drift(durable.config, actual) if actual is not None else ()
    if actual is not None and not drifted:
        return []
    body = {"stream_name": durable.stream, "config": {**(actual or {}), **durable.config}}
    await _apply(client, f"CONSUMER.DURABLE.CREATE.{durable.stream}.{durable.name}", body, what)
    return [Change("repaired", what, drifted) if actual is not None else Change("created", what)]


async def _apply(client: SafeClient, verb: str, body: Config, what: str) -> None:
    try:
        await js_api(client, verb, body)
    except ApiError as error:
        raise TopologyRefused(f"{what}: {await _advice(client, error, body)}") from error


async def _advice(client: SafeClient, error: ApiError, body: Config) -> str:
    if error.err_code != OVERLAP:
        return f"{error.detail}; mend or delete it by hand, or choose another root"
    holders = set[str]()
    for subject in body["subjects"]:
        names: list[str] = (await js_api(client, "STREAM.NAMES", {"subject": subject})).get("streams") or []
        holders |= {*names} - {body["name"]}
    theirs = ", ".join(sorted(holders))
    return f"its subjects already belong to {theirs}; choose another root, or move that stream"


async def _stream(client: SafeClient, name: str) -> Config | None:
    return await _config(client, f"STREAM.INFO.{name}")


async def _durable(client: SafeClient, durable: Durable) -> Config | None:
    return await _config(client, f"CONSUMER.INFO.{durable.stream}.{durable.name}")


async def _config(client: SafeClient, verb: str) -> Config | None:
    try:
        config: Config = (await js_api(client, verb))["config"]
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    return config
