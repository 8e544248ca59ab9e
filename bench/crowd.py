"""1, 2, 4 and 8 of each service, each a process of its own, on one SQLite file: how much, and how fair."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing

from msgspec import Struct

from bench.harness import Figure, rate
from bench.seed import main_present, now_us, todo
from bench.stage import Peer, Stage, fleet, member, raw_client, stage

SERVICES = ("assigner", "pinger", "escalator")
COPIES = (1, 2, 4, 8)
AGENTS = 50
PATIENCE_S = 120.0
LOOK_S = 0.02
ANSWERED = "SELECT count(*) FROM assignments WHERE status = 'acknowledged'"
WAITING = {
    "assigner": "SELECT count(*) FROM tasks WHERE assign_at IS NOT NULL",
    "escalator": "SELECT count(*) FROM assignments WHERE agent <> 'Ruto' AND ended_at IS NULL",
}
PINGS = "SELECT assignment_id, attempt FROM pings"
LEASES = "SELECT count(*), count(DISTINCT task_id), count(*) - count(ended_at) FROM assignments"
SILENCE_US = 10_000_000  # so long ago all have missed their promise: no answer to it can be on its way


class Together(Struct, frozen=True, kw_only=True):
    """How many copies did the work of one."""

    copies: int
    assigned_per_s: float  # assigned, pinged, acknowledged
    escalated_per_s: float  # stepped to the main agent, pinged, acknowledged
    shares: dict[str, list[int]]  # what each process did, by kind of work


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 500 if quick else 5_000
    return [figure(await together(copies, count), count) for copies in COPIES]


def figure(found: Together, count: int) -> Figure:
    """Return one line."""
    fairness = {kind: jain(done) for kind, done in found.shares.items()}
    told = ", ".join(f"{kind} {value:.2f}" for kind, value in fairness.items())
    return Figure(
        name=f"{count:,} assignments, {found.copies} of each service",
        value=f"{found.assigned_per_s:,.0f}/s; escalated {found.escalated_per_s:,.0f}/s; fairness {told}",
        goal="each once",
        reached=True,
        numbers={
            "copies": found.copies,
            "assigned_pinged_acked_per_s": found.assigned_per_s,
            "stepped_pinged_acked_per_s": found.escalated_per_s,
        }
        | {f"jain_{kind}": value for kind, value in fairness.items()},
    )


def jain(done: Sequence[int]) -> float:
    """Return Jain's index: 1 when all did the same, 1/n when one did everything."""
    squares = len(done) * sum(each * each for each in done)
    return sum(done) ** 2 / squares if squares else 1.0


async def together(copies: int, count: int) -> Together:
    """Let so many of each service assign, ping and hear everything, and then escalate everything."""
    async with stage("full") as on, fleet("answer", on.url) as agents, AsyncExitStack() as stack:
        todo(on.path, count, agents=AGENTS)
        main_present(on.path)
        names = [service for _ in range(copies) for service in SERVICES]
        members = await asyncio.gather(*(stack.enter_async_context(member(on, name)) for name in names))
        now = now_us()
        assigned = await timed(on, "assigner", f"UPDATE tasks SET assign_at = {now}", count)  # noqa: S608 - ours
        past = now_us() - SILENCE_US
        escalated = await timed(
            on,
            "escalator",
            f"UPDATE assignments SET progress_by = {past}, deadline_at = {past}",  # noqa: S608 - ours
            count,
        )
        done = await stopped(members)
        agents.go()
        check(on, count, await agents.result())
    work = {
        "assigning": ("assigner", ("assignments", "openings")),  # which of them is first is not ours to say
        "pinging": ("pinger", ("pings",)),
        "answers": ("pinger", ("answers",)),
        "escalating": ("escalator", ("deadlines",)),
    }
    return Together(
        copies=copies,
        assigned_per_s=assigned,
        escalated_per_s=escalated,
        shares={
            kind: [
                sum(each[duty] for duty in duties)
                for name, each in zip(names, done, strict=True)
                if name == service
            ]
            for kind, (service, duties) in work.items()
        },
    )


async def timed(on: Stage, service: str, statement: str, count: int) -> float:
    """Make work due, ring for it, and return how many a second were acknowledged in the end."""
    async with raw_client(on.url) as client:
        with closing(sqlite3.connect(on.path, timeout=10)) as db, db:
            db.execute(statement)
        started = now_us()
        await client.publish(f"rollcall.v1.wake.{service}", b"")
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.sleep(LOOK_S)
            while on.ask(WAITING[service]) or on.ask(ANSWERED) < count:  # noqa: ASYNC110 - others commit
                await asyncio.sleep(LOOK_S)
        return rate(count, started, now_us())


async def stopped(members: Sequence[Peer]) -> list[dict[str, int]]:
    """Stop all, and return what each did."""
    for each in members:
        each.go()
    return [await each.result() for each in members]


def check(on: Stage, count: int, heard: Sequence[tuple[int, int, int]]) -> None:
    """Stop the run if anything was done twice, or not at all."""
    with closing(sqlite3.connect(on.path)) as db:
        sent = db.execute(PINGS).fetchall()
        leases = db.execute(LEASES).fetchone()
    once = heard_otherwise(sent, heard)
    if once or leases != (2 * count, count, count) or on.ask("SELECT count(*) FROM outbox"):
        raise RuntimeError(f"done twice, or not at all: {leases} leases, tasks and open, pings {once}")


def heard_otherwise(
    sent: Sequence[tuple[int, int]], heard: Sequence[tuple[int, int, int]]
) -> dict[tuple[int, int], int]:
    """Return which attempts were not heard exactly once, and how often they were."""
    told = Counter((assignment, attempt) for assignment, attempt, _ in heard)
    known = set(sent)
    return {key: told[key] for key in known | told.keys() if told[key] != 1 or key not in known}
