"""Command path: an agent asks, its answer is committed, and it is told so."""

import asyncio
from functools import partial

import msgspec
from nats.aio.msg import Msg

from bench.acks import follows, sequences
from bench.harness import UNSEEN, Figure, Watching, pairs, rate
from bench.raw_store import Answered, RawStore, raw_store, record
from bench.seed import leases, now_us, pinged
from bench.stage import Peer, peer, raw_client, running, stage, wired
from bus.embedded import Durability
from contracts.operations.answers import AckParams

BATCH = 500
SUBJECT = "rollcall.v1.cmd.agent.agent-{}.ack"
ASKED = "rollcall.v1.cmd.agent.*.ack"


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 2_000 if quick else 10_000
    # a command never waits for a stream: one durability says all
    found = await pairs(partial(ours, "full", count), partial(limit, "full", count))
    return [found.figure("command path (ack by request), full", "answers/s")]


async def ours(durability: Durability, count: int, watch: Watching = UNSEEN) -> float:
    """Return the rate of the real pinger."""
    async with stage(durability) as on:
        leases(on.path, count)
        pinged(on.path)
        async with (
            wired(on, "pinger") as actors,
            running(actors),
            peer("ask", on.url, SUBJECT, str(count)) as asker,
        ):
            before = sequences(on)
            with watch:
                answered = await asked(asker, count)
            if sequences(on)["audit"] - before["audit"] < count:
                raise RuntimeError("what was answered is not on record")
            return answered


async def limit(durability: Durability, count: int) -> float:
    """Return the rate of a bare subscriber that commits what has come, then replies."""
    async with (
        stage(durability) as on,
        raw_store(on.path, durability) as store,
        raw_client(on.url) as client,
    ):
        leases(on.path, count)
        pinged(on.path)
        waiting: list[Msg] = []
        arrived = asyncio.Event()

        async def on_message(message: Msg) -> None:
            waiting.append(message)
            arrived.set()

        await client.subscribe(ASKED, cb=on_message, pending_msgs_limit=-1)
        await client.flush()
        worker = asyncio.ensure_future(answer_all(store, waiting, arrived, on.incarnation))
        async with peer("ask", on.url, SUBJECT, str(count)) as asker:
            try:
                return await asked(asker, count)
            finally:
                worker.cancel()


_decoder = msgspec.json.Decoder(AckParams)


async def answer_all(store: RawStore, waiting: list[Msg], arrived: asyncio.Event, incarnation: str) -> None:
    """Commit what waits, reply to each, until cancelled."""
    while True:
        arrived.clear()
        if not waiting:
            await arrived.wait()
        batch, waiting[:BATCH] = waiting[:BATCH], []
        read = [_read(message, incarnation) for message in batch]
        await store.run(partial(record, batch=read, now=now_us(), incarnation=incarnation))
        for message, found in zip(batch, read, strict=True):
            await message.respond(found.answer)


def _read(message: Msg, incarnation: str) -> Answered:
    said = _decoder.decode(message.data)
    agent = message.subject.split(".")[4]
    return follows(message.data, agent, str(said.assignment), said.command_id or "", incarnation)


async def asked(asker: Peer, count: int) -> float:
    """Let the other process ask; return the rate at which it was answered."""
    started = now_us()
    asker.go()
    ended, refused = await asker.result()
    if refused:
        raise RuntimeError(f"{refused} of {count} were refused")
    return rate(count, started, ended)
