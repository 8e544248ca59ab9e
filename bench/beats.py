"""Beats: how many a second the monitor takes in, against a subscriber that only decodes them."""

import asyncio
import sqlite3
from contextlib import closing

import msgspec
from nats.aio.msg import Msg

from bench.harness import Figure, pairs, rate
from bench.seed import leases, now_us
from bench.stage import PATIENCE_S, peer, raw_client, running, stage, wired
from contracts.messages import Beat

BEATS = "rollcall.v1.hb.agent-"
AGENTS = 1_000


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 10_000 if quick else 50_000  # below what a subscription holds before it drops
    found = await pairs(lambda: ours(count), lambda: limit(count))
    return [found.figure(f"beats of {AGENTS:,} agents, one process", "beats/s")]


async def ours(count: int) -> float:
    """Return the rate of the real monitor, up to the last beat on record."""
    async with stage("full") as on:
        leases(on.path, AGENTS + 1)
        async with (
            wired(on, "monitor") as actors,
            running(actors),
            peer("beat", on.url, BEATS, str(count)) as beater,
        ):
            started = now_us()
            beater.go()
            with closing(sqlite3.connect(on.path)) as db:
                await beaten(db, started)
            ended = now_us()
            if actors.ports.bus.dropped:
                raise RuntimeError("beats were dropped")
            return rate(count, started, ended)


async def beaten(db: sqlite3.Connection, since_us: int) -> None:
    """Wait until the beat that was sent last is on record."""
    query = f"SELECT beat_at FROM agents WHERE name = 'agent-{AGENTS + 1}'"  # noqa: S608 - a number of ours
    async with asyncio.timeout(PATIENCE_S):
        while db.execute(query).fetchone()[0] < since_us:  # noqa: ASYNC110 - another thread commits
            await asyncio.sleep(0.01)


async def limit(count: int) -> float:
    """Return the rate of a subscriber that decodes and forgets."""
    decoder = msgspec.json.Decoder(Beat)
    complete = asyncio.Event()
    left = count + 1

    async def on_message(message: Msg) -> None:
        nonlocal left
        decoder.decode(message.data)
        left -= 1
        if not left:
            complete.set()

    async with (
        stage("full") as on,
        raw_client(on.url) as client,
        peer("beat", on.url, BEATS, str(count)) as beater,
    ):
        await client.subscribe(
            "rollcall.v1.hb.*", cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await client.flush()
        started = now_us()
        beater.go()
        async with asyncio.timeout(PATIENCE_S):
            await complete.wait()
        return rate(count, started, now_us())
