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

from bench.harness import Figure, pairs, rate
from bench.raw_bus import Item, RawPublisher, RawPuller
from bench.raw_store import DAY_US, Answered, RawStore, raw_store, record
from bench.seed import leases, now_us, pinged
from bench.stage import DURABILITIES, PATIENCE_S, Stage, raw_client, running, stage
from bus.embedded import Durability
from contracts.codec import encode, instant
from contracts.messages import Ack, Answer, Event, Outcome, Withdrawn

BATCH, PULLED = 500, 1_000
STREAM, DURABLE = "ROLLCALL_ACKS", "answers"
ROWS = {"audit": 2, "comments": 1, "outbox": 3}  # what one acknowledgement adds, and a command


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 2_000 if quick else 10_000
    figures: list[Figure] = []
    for durability in DURABILITIES:
        found = await pairs(partial(ours, durability, count), partial(limit, durability, count))
        figures.append(found.figure(f"ack path, {durability}", "acks/s"))
    return figures


async def ours(durability: Durability, count: int) -> float:
    """Return the rate of the real pinger."""
    async with answered(durability, count) as (on, client), running(on, "pinger"):
        started = await release(client)
        await committed(on, count)
        return rate(count, started, now_us())


async def limit(durability: Durability, count: int) -> float:
    """Return the rate of pull, one transaction and acknowledgement with nothing around them."""
    async with answered(durability, count) as (on, client), raw_store(on.path, durability) as store:
        puller = await RawPuller(client, STREAM, DURABLE, batch=PULLED).start()
        started = await release(client)
        ended = await take_all(store, puller, on.incarnation, count)
        await committed(on, count)
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
    assignment, command_id, at = int(number), said.command_id or "", instant(now_us())
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
        hashlib.sha256(message.data).digest(),
        encode(outcome),
        encode(event),
        encode(withdrawn),
    )


@asynccontextmanager
async def answered(durability: Durability, count: int) -> AsyncIterator[tuple[Stage, Client]]:
    """Set up `count` assignments with an answer each on the bus, which hands none of them out yet."""
    async with stage(durability) as on, raw_client(on.url) as client:
        leases(on.path, count)
        pinged(on.path)
        until = instant(now_us() + DAY_US).isoformat()
        await pause(client, until)
        publisher = await RawPublisher(client).start()
        items = [answer(number, on.incarnation) for number in range(1, count + 1)]
        for first in range(0, count, BATCH):
            await publisher.counted(items[first : first + BATCH])
        yield on, client


def answer(number: int, incarnation: str) -> Item:
    """Return the acknowledgement of one assignment."""
    command_id = str(uuid4())
    said = Ack(incarnation=incarnation, command_id=command_id, attempt=1)
    return f"rollcall.v1.ack.agent-{number}.{number}", encode(said), f"{command_id}:1"


async def release(client: Client) -> int:
    """Let the queue be worked off, and return when that was."""
    started = now_us()
    await pause(client, None)
    return started


async def pause(client: Client, until: str | None) -> None:
    """Hand nothing out until then, or from now on everything."""
    body = {} if until is None else {"pause_until": until}
    reply = await client.request(f"$JS.API.CONSUMER.PAUSE.{STREAM}.{DURABLE}", msgspec.json.encode(body))
    if b'"error"' in reply.data:
        raise RuntimeError(reply.data.decode())


async def committed(on: Stage, count: int) -> None:
    """Wait until all is committed; what was written must be what the other way writes."""
    with closing(sqlite3.connect(on.path)) as db:

        def added(table: str) -> int:
            found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
            return 0 if found is None else int(found[0])

        async with asyncio.timeout(PATIENCE_S):
            while added("audit") < ROWS["audit"] * count:  # noqa: ASYNC110 - another thread commits
                await asyncio.sleep(0.001)
        written = {table: added(table) / count for table in ROWS}
    if written != ROWS:
        raise RuntimeError(f"one acknowledgement writes {written}, the limit {ROWS}")
