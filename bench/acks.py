"""Ack path: an answer stored on the bus until it is committed."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.harness import UNSEEN, Figure, Watching, pairs, rate
from bench.raw_bus import Item, RawPublisher, RawPuller
from bench.raw_store import Answered, RawStore, raw_store, record
from bench.seed import leases, now_us, pinged
from bench.stage import DURABILITIES, PATIENCE_S, Stage, raw_client, running, stage, wired
from bus.embedded import Durability
from contracts.codec import encode, instant
from contracts.messages import Ack, Answer, Event, Outcome, Withdrawn

BATCH, PULLED = 500, 1_000
STREAM, DURABLE = "ROLLCALL_ACKS", "answers"
NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'"
ROWS = {"audit": 2, "comments": 1, "outbox": 3}  # what one acknowledgement adds, and a command


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 2_000 if quick else 10_000
    figures: list[Figure] = []
    for durability in DURABILITIES:
        found = await pairs(partial(ours, durability, count), partial(limit, durability, count))
        figures.append(found.figure(f"ack path, {durability}", "acks/s"))
    return figures


async def ours(durability: Durability, count: int, watch: Watching = UNSEEN) -> float:
    """Return the rate of the real pinger."""
    async with answered(durability, count) as (on, _), wired(on, "pinger") as actors:
        before, started = sequences(on), now_us()
        async with running(actors):
            with watch:
                await committed(on, count, before)
            return rate(count, started, now_us())


async def limit(durability: Durability, count: int) -> float:
    """Return the rate of pull, one transaction and acknowledgement with nothing around them."""
    async with answered(durability, count) as (on, client), raw_store(on.path, durability) as store:
        puller = await RawPuller(client, STREAM, DURABLE, batch=PULLED).start()
        before, started = sequences(on), now_us()
        ended = await take_all(store, puller, on.incarnation, count)
        await committed(on, count, before)
        return rate(count, started, ended)


async def take_all(store: RawStore, puller: RawPuller, incarnation: str, count: int) -> int:
    """Work the queue off, a transaction for what has arrived; return when the last was committed."""
    committed_at = now_us()
    while count:
        messages = await puller.take()
        batch = [read(message, incarnation) for message in messages]
        await store.run(partial(record, batch=batch, now=now_us(), incarnation=incarnation))
        committed_at = now_us()
        for message in messages:
            await message.ack()
        count -= len(messages)
    return committed_at


_decoder = msgspec.json.Decoder(Answer)


def read(message: Msg, incarnation: str) -> Answered:
    """Decode an answer and encode all that follows from it."""
    said = _decoder.decode(message.data)
    _, agent, number = message.subject.rsplit(".", 2)
    return follows(message.data, agent, number, said.command_id or "", incarnation)


def follows(body: bytes, agent: str, number: str, command_id: str, incarnation: str) -> Answered:
    """Encode all that follows from an acknowledgement."""
    assignment, at = int(number), instant(now_us())
    outcome = Outcome(
        assignment=assignment, kind="ack", accepted=True, status="acknowledged", command_id=command_id
    )
    event = Event(
        seq=assignment,
        at=at,
        actor=f"agent:{agent}",
        aggregate="assignment",
        id=number,
        event="acknowledged",
        version=2,
        incarnation=incarnation,
        cause=command_id,
        data={"task": assignment, "agent": agent, "status": "acknowledged", "attempt": 1},
    )
    withdrawn = Withdrawn(
        incarnation=incarnation, assignment=assignment, task=assignment, status="acknowledged", sent_at=at
    )
    return Answered(
        assignment,
        agent,
        command_id,
        hashlib.sha256(body).digest(),
        encode(outcome),
        encode(event),
        encode(withdrawn),
    )


@asynccontextmanager
async def answered(durability: Durability, count: int) -> AsyncIterator[tuple[Stage, Client]]:
    """Set up `count` assignments with an answer each on the bus."""
    async with stage(durability) as on, raw_client(on.url) as client:
        leases(on.path, count)
        pinged(on.path)
        publisher = await RawPublisher(client).start()
        incarnation = on.incarnation
        items = [answer(number, incarnation) for number in range(1, count + 1)]
        for first in range(0, count, BATCH):
            await publisher.counted(items[first : first + BATCH])
        yield on, client


def answer(number: int, incarnation: str) -> Item:
    """Return the acknowledgement of one assignment."""
    command_id = str(uuid4())
    said = Ack(incarnation=incarnation, command_id=command_id, attempt=1)
    return f"rollcall.v1.ack.agent-{number}.{number}", encode(said), f"{command_id}:1"


def sequences(on: Stage) -> dict[str, int]:
    """Return how many rows were ever added to each of the tables that number them."""
    with closing(sqlite3.connect(on.path)) as db:
        found = dict(db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    return {table: found.get(table, 0) for table in ROWS}


async def committed(on: Stage, count: int, before: dict[str, int]) -> None:
    """Wait until all is committed; what was written must be what the other way writes."""
    last = before["audit"] + ROWS["audit"] * count
    with closing(sqlite3.connect(on.path)) as db:
        async with asyncio.timeout(PATIENCE_S):
            while db.execute(NEWEST).fetchone()[0] < last:  # noqa: ASYNC110 - another thread commits
                await asyncio.sleep(0.01)
    written = {table: (seq - before[table]) / count for table, seq in sequences(on).items()}
    if written != ROWS:
        raise RuntimeError(f"one acknowledgement writes {written}, the limit {ROWS}")
