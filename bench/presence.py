"""A hundred thousand agents who beat: what one monitor takes in, what it costs, how soon silence is seen.

And thousands who join at once.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.harness import Figure, Pairs, rate
from bench.peer import SESSION
from bench.program import cpu_s, rss_mib
from bench.seed import fleet, now_us
from bench.stage import PATIENCE_S, Peer, Stage, member, peer, raw_client, running, stage, wired
from contracts.messages import Beat

BEATS = "rollcall.v1.hb.agent-"
JOINS = "rollcall.v1.cmd.agent.agent-{}.join"
WAVE = 25_000  # below what a subscription holds before it drops
INTERVAL_S = 30
QUICK = 1_000  # agents who beat more often, and stop all at once
QUICK_INTERVAL_S = 5
MISSES = 3
ROOM = 0.5  # of a core
STORM = 5_000
LINES = 4  # connections over which they come
SOON_S = 3.0  # two ticks and a second, as for every other deadline


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    agents = WAVE if quick else 4 * WAVE
    first, again = await intake(agents)
    cores, bytes_each, late_s = await steady(agents, seconds=10 if quick else 2 * INTERVAL_S)
    storm = await stormed(STORM // 10 if quick else STORM)
    held = f"{agents:,} agents, one monitor"
    return [
        Figure(name=f"first beats of {held}: each written", value=f"{first:,.0f} beats/s"),
        again.figure(f"… the next ones, kept in memory until the store has to know: {held}", "beats/s"),
        Figure(
            name=f"{held}, a beat each {INTERVAL_S} s: its CPU",
            value=f"{cores:.0%} of a core, {bytes_each:,.0f} bytes an agent",
            goal=f"< {ROOM:.0%}",
            reached=cores < ROOM,
            numbers={"cores": cores, "bytes": bytes_each},
        ),
        Figure(
            name=f"{QUICK:,} of them fall silent at once: the last is suspect",
            value=f"{late_s:.2f} s after its third beat was missed",
            goal=f"≤ {SOON_S:g} s",
            reached=late_s <= SOON_S,
            numbers={"late_s": late_s},
        ),
        storm,
    ]


async def intake(agents: int) -> tuple[float, Pairs]:
    """Return the rate of first beats, and of the next ones beside a subscriber that decodes and forgets."""
    waves = agents // WAVE
    async with (
        manned(agents + 2 * waves) as on,
        wired(on, "monitor") as actors,
        running(actors),
        peer("waves", on.url, BEATS, f"{WAVE} {agents}") as beater,
    ):
        with closing(sqlite3.connect(on.path)) as db:
            spent = [await written(db, beater, agents + 1 + number) for number in range(2 * waves)]
        if actors.ports.bus.dropped:
            raise RuntimeError("beats were dropped")
    bare = await limit(agents, waves)
    ours = [rate(WAVE, 0, us) for us in spent[waves:]]
    return rate(agents, 0, sum(spent[:waves])), Pairs(ours=ours, limit=bare)


async def written(db: sqlite3.Connection, beater: Peer, last: int) -> int:
    """Let a wave go; return how long it takes until the beat of the one who came last is on record."""
    started = now_us()
    beater.go()
    query = f"SELECT beat_at FROM agents WHERE name = 'agent-{last}'"  # noqa: S608 - a number of ours
    async with asyncio.timeout(PATIENCE_S):
        while db.execute(query).fetchone()[0] < started:  # noqa: ASYNC110 - another thread commits
            await asyncio.sleep(0.002)
    return now_us() - started


async def limit(agents: int, waves: int) -> list[float]:
    """Return the rates at which a subscriber takes the same waves, decodes each beat and forgets it."""
    decoder = msgspec.json.Decoder(Beat)
    async with (
        stage("full") as on,
        raw_client(on.url) as client,
        peer("waves", on.url, BEATS, f"{WAVE} {agents}") as beater,
    ):
        return [await _taken(client, decoder, beater) for _ in range(waves)]


async def _taken(client: Client, decoder: "msgspec.json.Decoder[Beat]", beater: Peer) -> float:
    complete = asyncio.Event()
    left = WAVE + 1

    async def on_message(message: Msg) -> None:
        nonlocal left
        decoder.decode(message.data)
        left -= 1
        if not left:
            complete.set()

    heard = await client.subscribe(
        "rollcall.v1.hb.*", cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    await client.flush()
    started = now_us()
    beater.go()
    async with asyncio.timeout(PATIENCE_S):
        await complete.wait()
    ended = now_us()
    await heard.unsubscribe()
    return rate(WAVE, started, ended)


async def steady(agents: int, *, seconds: float) -> tuple[float, float, float]:
    """Return the cores and bytes for each agent while all beat, and how late the last silence is seen."""
    async with (
        manned(agents + QUICK) as on,
        member(on, "pinger"),  # nobody is judged before it says up to when answers are handled
        member(on, "monitor") as monitor,
        peer("keep", on.url, BEATS, f"{agents} {INTERVAL_S} {QUICK} {QUICK_INTERVAL_S}") as beater,
    ):
        before_mib = rss_mib(monitor.pid)
        beater.go()
        await asyncio.sleep(INTERVAL_S if seconds > INTERVAL_S else 2)  # until all were heard once
        started, spent_s = now_us(), cpu_s(monitor.pid)
        await asyncio.sleep(seconds)
        cores = (cpu_s(monitor.pid) - spent_s) * 1e6 / (now_us() - started)
        bytes_each = (rss_mib(monitor.pid) - before_mib) * 2**20 / agents
        beater.go()
        stopped_us = int(await beater.line())
        late_s = await suspected(on, agents, stopped_us) - MISSES * QUICK_INTERVAL_S
        return cores, bytes_each, late_s


async def suspected(on: Stage, agents: int, since_us: int) -> float:
    """Wait until all who stopped are suspect; return how long it took (s)."""
    query = (
        f"SELECT count(*), max(suspect_at) FROM agents WHERE suspect_at IS NOT NULL AND id > {1000 + agents}"  # noqa: S608
    )
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with closing(sqlite3.connect(on.path)) as db:
                count, last = db.execute(query).fetchone()
            if count >= QUICK:
                return float(last - since_us) / 1e6
            await asyncio.sleep(0.1)


async def stormed(agents: int) -> Figure:
    """Let all join at once as soon as the bus has started anew, while the monitor is on its way back."""
    async with (
        manned(agents) as on,
        member(on, "monitor"),
        peer("join", on.url, JOINS, f"{agents} {LINES}") as joiner,
    ):
        await on.server.stop()
        await on.server.start()
        started = now_us()
        joiner.go()
        ended, failed = await joiner.result()
        count = on.ask(f"SELECT count(*) FROM agents WHERE session = '{SESSION}'")  # noqa: S608 - ours
        if count != agents:
            raise RuntimeError(f"{agents - count} of {agents} were told that they have joined, and have not")
    took_s = (ended - started) / 1e6
    unheard, refused, unanswered = (failed.get(word, 0) for word in ("unheard", "refused", "unanswered"))
    return Figure(
        name=f"{agents:,} agents join at once over {LINES} connections when the bus has started anew",
        value=f"all within {took_s:.2f} s; {unheard:,} tries before the monitor was back, "
        f"{refused:,} refused, {unanswered:,} not answered",
        goal="none lost",
        reached=True,
        numbers={
            "joined_s": took_s,
            "unheard_tries": unheard,
            "refused_tries": refused,
            "unanswered_tries": unanswered,
        },
    )


@asynccontextmanager
async def manned(agents: int) -> AsyncIterator[Stage]:
    """Set up with so many agents who have joined and hold nothing."""
    async with stage("full") as on:
        with closing(sqlite3.connect(on.path)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            fleet(db, agents, leases=1, now=now_us())
            db.execute("UPDATE agents SET leases = 0, status = 'ready', beat_at = beat_at - 60000000")
        yield on
