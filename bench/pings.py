"""Ping path: a due row until it is delivered to a plain subscriber and recorded as sent."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from bench.harness import ROUNDS, UNSEEN, Figure, Pairs, Watching, pairs, rate
from bench.raw_bus import Item, Publish, RawPublisher
from bench.raw_store import RawStore, Sent, claim, confirm, raw_store
from bench.seed import HOUR_US, due, leases, now_us
from bench.stage import DURABILITIES, PATIENCE_S, last_heard, peer, raw_client, running, stage, wired
from bus.actor import Runtime
from bus.embedded import Durability
from contracts.codec import encode, instant
from contracts.messages import Ping

PINGS = "rollcall.v1.ping.>"
BATCH = 500
PROBE = 4_000
ALSO = "… beside a limit ({}) that claims while it publishes"

Way = Literal["counted", "atomic"]
Loop = Callable[[RawStore, Publish, str, int], Awaitable[None]]


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 2_000 if quick else 10_000
    figures: list[Figure] = []
    for durability in DURABILITIES:
        way = await faster(durability)
        found = await pairs(partial(ours, durability, count), partial(limit, durability, count, way, in_turn))
        figures.append(found.figure(f"ping path, {durability}", "pings/s"))
        rates = [await limit(durability, count, way, side_by_side) for _ in range(ROUNDS)]
        figures.append(Pairs(ours=found.ours, limit=rates).figure(ALSO.format(way), "pings/s", None))
    return figures


async def ours(durability: Durability, count: int, watch: Watching = UNSEEN) -> float:
    """Return the rate of the real pinger."""
    async with stage(durability) as on:
        leases(on.path, count)
        async with (
            wired(on, "pinger") as actors,
            running(actors),
            peer("hear", on.url, PINGS, str(count)) as hearer,
        ):
            due(on.path, first_us=now_us())
            started = now_us()
            actors.ring("pinger")
            with watch:
                await settled(actors, count)
            recorded = now_us()
            return rate(count, started, max(recorded, await last_heard(hearer)))


async def settled(actors: Runtime, count: int) -> None:
    """Wait until everything is published and confirmed."""
    async with asyncio.timeout(PATIENCE_S):
        while actors.outbox.published < count or len(actors.outbox):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


async def limit(durability: Durability, count: int, way: Way, loop: Loop) -> float:
    """Return the rate of claim, batch publish and confirm with nothing around them."""
    async with (
        stage(durability) as on,
        raw_store(on.path, durability) as store,
        raw_client(on.url) as client,
        peer("hear", on.url, PINGS, str(count)) as hearer,
    ):
        leases(on.path, count)
        publisher = await RawPublisher(client).start()
        due(on.path, first_us=now_us())
        started = now_us()
        await loop(store, publisher.atomic if way == "atomic" else publisher.counted, on.incarnation, count)
        recorded = now_us()
        return rate(count, started, max(recorded, await last_heard(hearer)))


async def in_turn(store: RawStore, publish: Publish, incarnation: str, count: int) -> None:
    """Claim, publish, and confirm in the transaction of the next claim."""
    sent: Sent = []
    for _ in range(0, count, BATCH):
        sent = await store.run(partial(turn, before=sent, incarnation=incarnation))
        await publish([item(row, incarnation) for row in sent])
    await store.run(partial(confirm, sent=sent, now=now_us()))


async def side_by_side(store: RawStore, publish: Publish, incarnation: str, count: int) -> None:
    """Publish one batch while the thread confirms the one before and claims the next."""
    before: Sent = []
    sent = await store.run(partial(turn, before=before, incarnation=incarnation))
    for _ in range(0, count, BATCH):
        claimed = asyncio.ensure_future(store.run(partial(turn, before=before, incarnation=incarnation)))
        await publish([item(row, incarnation) for row in sent])
        before, sent = sent, await claimed
    await store.run(partial(confirm, sent=before, now=now_us()))


def turn(db: sqlite3.Connection, before: Sent, incarnation: str) -> Sent:
    """Confirm one batch and claim the next."""
    now = now_us()
    confirm(db, before, now)
    return claim(db, now, incarnation, BATCH)


def item(row: tuple[int, str, int], incarnation: str) -> Item:
    """Return the same message that the pinger sends."""
    assignment, agent, attempt = row
    ping = Ping(
        incarnation=incarnation,
        assignment=assignment,
        task=assignment,
        attempt=attempt,
        epoch=1,
        status="pending",
        title="Reconcile the ledgers of March",
        sent_at=instant(now_us()),
        answer_by=instant(now_us() + HOUR_US),
    )
    subject = f"rollcall.v1.in.ping.{agent}.{assignment}"
    return subject, encode(ping), f"ping:{incarnation}:{assignment}:{attempt}"


async def faster(durability: Durability) -> Way:
    """Return the faster of the two ways to store a batch under this durability."""
    took: dict[Way, int] = {}
    async with stage(durability) as on, raw_client(on.url) as client:
        publisher = await RawPublisher(client).start()
        ways: dict[Way, Publish] = {"counted": publisher.counted, "atomic": publisher.atomic}
        for way, publish in ways.items():
            items = [item((n, way, 1), way) for n in range(1, PROBE + 1)]
            started = now_us()
            for first in range(0, PROBE, BATCH):
                await publish(items[first : first + BATCH])
            took[way] = now_us() - started
    return min(took, key=lambda way: took[way])
