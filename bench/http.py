"""HTTP: reads beside bare handlers with the same SQL, an acknowledgement beside the same on the bus."""

import contextlib
import io
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
from msgspec import structs

from bench import bare, commands
from bench.acks import sequences
from bench.harness import Figure, pairs, rate
from bench.seed import HOUR_US, leases, now_us, pinged
from bench.stage import PATIENCE_S, Peer, Stage, peer, running, stage, wired
from contracts import tokens
from contracts.tokens import TokenRow
from rollcall.settings import Http

GOAL = 0.6  # of a bare handler, which asks nobody for a token
TASKS = 1_000
TOKEN = "bench-open-sesame-bench"  # noqa: S105 - of a server that lives as long as the measurement
DOOR = Http(port=0, per_minute=1_000_000, streams=2_000, token=TOKEN)
READS = {
    "GET one task, with its history": "/api/v1/tasks/7",
    "GET a list of 50 tasks": "/api/v1/tasks?limit=50",
}


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 1_000 if quick else 5_000
    figures: list[Figure] = []
    for name, path in READS.items():
        async with reading() as (ours, limit):
            found = await pairs(lambda: asked(ours, path, count), lambda: asked(limit, path, count))  # noqa: B023
        figures.append(found.figure(name, "answers/s", GOAL))
    told = await pairs(lambda: acknowledged(count), lambda: commands.ours("full", count))
    figures.append(told.figure("POST acknowledge, beside the same on the bus", "answers/s", None))
    return figures


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[str, str]]:
    """Serve one file with the real gateway and with bare handlers, and yield both addresses."""
    async with door() as on:
        leases(on.path, TASKS)
        pinged(on.path)
        async with gateway(on, "gateway") as ours, bare.served(on.path) as limit:
            yield ours, limit


@asynccontextmanager
async def door() -> AsyncIterator[Stage]:
    """Set up a stage whose gateway lets the bench in."""
    async with stage("full") as on:
        yield structs.replace(on, settings=structs.replace(on.settings, http=DOOR))


@asynccontextmanager
async def gateway(on: Stage, *services: str) -> AsyncIterator[str]:
    """Run services, a gateway among them, in this process, and yield its address."""
    with contextlib.redirect_stdout(io.StringIO()):  # it tells people where it listens
        async with wired(on, *services) as actors, running(actors):
            yield await address(on.settings.http_file)


async def address(file: Path) -> str:
    """Wait until a gateway has said where it listens."""
    said = ""
    with anyio.fail_after(PATIENCE_S):
        while not said:
            await anyio.sleep(0.01)
            said = await anyio.to_thread.run_sync(_said, file)
    return said


def _said(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


async def asked(url: str, path: str, count: int) -> float:
    """Return the rate at which a path is answered."""
    async with peer("read", url, path, TOKEN, str(count), program="bench.callers") as callers:
        return await answered(callers, count)


async def answered(callers: Peer, count: int) -> float:
    """Let them call; return the rate at which they were answered."""
    started = now_us()
    callers.go()
    ended, wrong = await callers.result()
    if wrong:
        raise RuntimeError(f"{wrong} of {count} were not answered with 200")
    return rate(count, started, ended)


async def acknowledged(count: int) -> float:
    """Return the rate at which agents who each say something once, over HTTP, are answered."""
    async with door() as on:
        leases(on.path, count)
        pinged(on.path)
        file = on.settings.state_dir / "tokens"
        file.write_text("\n".join(drawn(on.path, count)), "utf-8")
        async with gateway(on, "gateway", "pinger") as url:
            before = sequences(on)
            async with peer("acknowledge", url, str(file), str(count), program="bench.callers") as agents:
                found = await answered(agents, count)
            if sequences(on)["audit"] - before["audit"] < count:
                raise RuntimeError("what was answered is not on record")
            return found


def drawn(path: Path, count: int) -> list[str]:
    """Draw a token for each of the agents 1 to `count`."""
    found, now = [tokens.token("agent", secrets.token_bytes(32)) for _ in range(count)], now_us()
    rows = [
        TokenRow(
            name=f"agent-{number}",
            role="agent",
            agent=f"agent-{number}",
            prefix=tokens.prefix(token),
            digest=bytes.fromhex(tokens.digest(token)),
            created_at=now,
            created_by="bench",
            expires_at=now + HOUR_US,
        )
        for number, token in enumerate(found, 1)
    ]
    columns = TokenRow.__struct_fields__
    names, marks = ", ".join((*columns, "name_key")), ", ".join("?" * (len(columns) + 1))
    with closing(sqlite3.connect(path)) as db, db:
        statement = f"INSERT INTO tokens ({names}) VALUES ({marks})"  # noqa: S608 - columns of ours
        db.executemany(statement, [(*structs.astuple(row), row.name) for row in rows])
    return found
