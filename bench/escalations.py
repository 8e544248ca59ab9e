"""Missed deadlines: how late a step is committed, and how long 10 000 of them take after an outage."""

import asyncio
import sqlite3
from contextlib import closing

from msgspec import structs

from bench.crowd import PINGS, heard_otherwise
from bench.harness import Figure, late
from bench.lateness import LEAD_US
from bench.seed import HOUR_US, leases, missed, now_us
from bench.stage import UNCAPPED, Stage, fleet, member, stage
from bus.duties import TICK_S
from rollcall.settings import Limits
from rollcall.wiring import OWNERS

AGENTS = 1_000
DEFAULT = Limits()
RATES = {150: DEFAULT.steps_per_second, 500: 1_000}  # due a second, and the cap on steps a second
GOAL_S = 2 * TICK_S + 1
CATCH_UP_S = 60.0
DOWN_US = 3 * HOUR_US
LOOK_S = 0.002
GIVE_UP_S = 40.0  # after the last deadline: who is still waiting then is at least so late
NO_HOPE_S = 2 * CATCH_UP_S
SEEN = "SELECT rowid, assignment_id FROM escalation_steps WHERE rowid > ? ORDER BY rowid"
STEPS = "SELECT count(*), count(DISTINCT assignment_id), count(DISTINCT successor_id) FROM escalation_steps"
PINGED = "SELECT count(*) FROM pings WHERE published_at IS NOT NULL AND assignment_id > {count}"


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table on lateness."""
    standing, seconds = (2_000, 2) if quick else (100_000, 10)
    figures: list[Figure] = []
    for per_second, cap in RATES.items():
        found = late(await lateness(standing, per_second, per_second * seconds, cap))
        p50, p99, worst = (found[name] / 1_000 for name in ("p50_ms", "p99_ms", "max_ms"))
        figures.append(
            Figure(
                name=f"deadline → step at {per_second}/s (cap {cap:,}/s), {standing:,} open",
                value=f"p50 {p50:.2f} s, p99 {p99:.2f} s, worst {worst:.2f} s",
                goal=f"≤ {GOAL_S:g} s",
                reached=worst <= GOAL_S,
                numbers=found | {"goal_max_ms": GOAL_S * 1_000},
            )
        )
    return figures


async def lateness(standing: int, per_second: int, count: int, cap: int) -> list[float]:
    """Return by how many milliseconds the commit of each step came after its deadline."""
    step_us = 1e6 / per_second
    async with stage("full", structs.replace(UNCAPPED, steps_per_second=cap)) as on:
        leases(on.path, standing, agents=min(AGENTS, count))
        async with member(on, *OWNERS) as services:
            first_us = now_us() + LEAD_US
            missed(on.path, count, first_us=first_us, step_us=step_us)
            seen = await stepped(on, count, (LEAD_US + count * step_us) / 1e6 + GIVE_UP_S)
            ended = now_us()
            services.go()
            await services.result()
    return [
        (seen.get(number, ended) - first_us - int((number - 1) * step_us)) / 1_000
        for number in range(1, count + 1)
    ]


async def stepped(on: Stage, count: int, patience_s: float) -> dict[int, int]:
    """Wait for so many steps, but not for ever; return whose were seen by another reader, and when first."""
    seen: dict[int, int] = {}
    with closing(sqlite3.connect(on.path, isolation_level=None)) as db:
        last = 0
        until = now_us() + patience_s * 1e6
        while len(seen) < count and now_us() < until:
            rows = db.execute(SEEN, (last,)).fetchall()
            at = now_us()
            seen |= {assignment: at for _, assignment in rows}
            last = rows[-1][0] if rows else last
            await asyncio.sleep(LOOK_S)
    return seen


async def catch_up(*, quick: bool) -> list[Figure]:
    """Return the line of the table on 10 000 deadlines that passed while all services were down."""
    count = 200 if quick else 10_000
    try:
        took_s, former = await caught_up(count)
    except TimeoutError:
        took_s, former = NO_HOPE_S, 0
    in_time = took_s < NO_HOPE_S
    caps = f"caps {DEFAULT.steps_per_second} steps and {DEFAULT.pings_per_second:,} pings/s"
    return [
        Figure(
            name=f"{count:,} overdue after 3 h without services, {caps}",
            value=f"each stepped and pinged once in {took_s:.0f} s" if in_time else f"not in {NO_HOPE_S:g} s",
            goal=f"≤ {CATCH_UP_S:g} s",
            reached=took_s <= CATCH_UP_S,
            numbers={"took_s": took_s, "goal_s": CATCH_UP_S, "pings_to_former_holders": former},
        )
    ]


async def caught_up(count: int) -> tuple[float, int]:
    """Return the seconds from the start of the services to the last new holder's ping.

    Also how many former holders were pinged first: their next ping was overdue as well.
    """
    async with stage("full", DEFAULT) as on, fleet("silent", on.url) as agents:
        leases(on.path, count, agents=min(AGENTS, count))
        down_at = now_us() - DOWN_US
        missed(on.path, count, first_us=down_at, step_us=DOWN_US / count / 2, pinged_at=down_at)
        started = now_us()
        async with member(on, *OWNERS) as services, asyncio.timeout(NO_HOPE_S):
            while on.ask(PINGED.format(count=count)) < count:  # noqa: ASYNC110 - another process commits
                await asyncio.sleep(0.02)
            ended = now_us()
            services.go()
            await services.result()
        agents.go()
        heard: list[tuple[int, int, int]] = await agents.result()
        with closing(sqlite3.connect(on.path)) as db:
            steps, sent = db.execute(STEPS).fetchone(), db.execute(PINGS).fetchall()
    otherwise = heard_otherwise(sent, heard)
    if steps != (count, count, count) or otherwise:
        raise RuntimeError(f"not each once: {steps} steps, rows and new holders, pings {otherwise}")
    return (ended - started) / 1e6, sum(assignment <= count for assignment, _, _ in heard)
