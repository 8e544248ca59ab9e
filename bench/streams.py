"""Streams of changes over HTTP: how late many hear of each, and how soon all of them end."""

import asyncio
import signal
from collections.abc import Sequence
from os import kill
from uuid import uuid4

from bench import program
from bench.harness import Figure, late
from bench.http import DOOR, address, door, gateway
from bench.seed import leases, now_us
from bench.stage import PATIENCE_S, Stage, peer, raw_client
from contracts import subjects
from contracts.codec import encode
from contracts.operations import BY_NAME

STREAMS = 500
PER_S = 20
END_S = 1.0  # the goal: from SIGTERM until the process is gone
Heard = Sequence[tuple[Sequence[tuple[int, int]], int]]  # of each stream: changes and instants, and its end


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    streams, changes = (50, 40) if quick else (STREAMS, 200)
    late_ms, lost = await lateness(streams, changes)
    found = late(late_ms)
    told = Figure(
        name=f"change → heard, {streams} streams, {PER_S}/s",
        value=f"p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms, {lost} lost",
        goal="none lost",
        reached=not lost,
        numbers=found | {"lost": lost},
    )
    _, alone_s = await stopped(0)
    ended_s, house_s = await stopped(streams)
    end = Figure(
        name=f"SIGTERM with {streams} open streams",
        value=f"streams {ended_s:.2f} s, process {house_s:.2f} s",
        against=f"{alone_s:.2f} s without streams",
        goal=f"< {END_S:g} s",
        reached=house_s < END_S,
        numbers={
            "streams_ended_s": ended_s,
            "process_ended_s": house_s,
            "without_streams_s": alone_s,
            "goal_s": END_S,
        },
    )
    return [told, end]


async def lateness(streams: int, changes: int) -> tuple[list[float], int]:
    """Return how late each change was heard on each stream, and how many never were."""
    async with door() as on:
        leases(on.path, 1)
        async with gateway(on, "gateway", "assigner", "relay") as url:
            async with peer("listen", url, DOOR.token, str(streams), program="bench.callers") as ears:
                first = on.ask("SELECT coalesce(max(seq), 0) FROM audit")
                await remark(on, changes)
                await asyncio.sleep(2)  # the last are heard by then, or count as lost
                ears.go()
                heard: Heard = await ears.result()
            return judged(on, heard, first)


async def remark(on: Stage, count: int) -> None:
    """Let an operator say something on a task, at an even pace."""
    comment = BY_NAME["task.comment"]
    where = f"{on.settings.root}.{subjects.command(comment.owner, comment.verb, 'bench')}"
    loop = asyncio.get_running_loop()
    async with raw_client(on.url) as client:
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / PER_S - loop.time()))
            body = {"task": 1, "text": "so far so good", "command_id": str(uuid4())}
            answer = await client.request(where, encode(body), PATIENCE_S)
            if answer.headers:  # only a refusal has some
                raise RuntimeError(answer.data.decode())


def judged(on: Stage, heard: Heard, first: int) -> tuple[list[float], int]:
    """Return how late each change was, by the instant in the audit, and how many a stream did not hear."""
    last = on.ask("SELECT max(seq) FROM audit")
    query = "SELECT at FROM audit WHERE seq = {}"
    at = {number: on.ask(query.format(number)) for number in range(first + 1, last + 1)}
    late_ms: list[float] = []
    lost = 0
    for changes, _ in heard:
        numbers = [number for number, _ in changes]
        if numbers != sorted(set(numbers)):
            raise RuntimeError("a stream said something twice, or not in order")
        lost += len(at.keys() - set(numbers))
        late_ms += [(came - at[number]) / 1_000 for number, came in changes]
    return late_ms, lost


async def stopped(streams: int) -> tuple[float, float]:
    """Return how long after SIGTERM the last stream and the process of `rollcall up` ended, in seconds."""
    async with program.folder() as state, program.up(state, token=DOOR.token) as house:
        url = await address(state / "http.url")
        async with peer("listen", url, DOOR.token, str(streams), program="bench.callers") as ears:
            asked = now_us()
            kill(house.pid, signal.SIGTERM)
            gone = await house.gone()
            ears.go()
            heard: Heard = await ears.result()
    ends = [ended for _, ended in heard] or [asked]
    if min(ends) <= 0:
        raise RuntimeError(f"{sum(end <= 0 for end in ends)} streams did not end well")
    return (max(ends) - asked) / 1e6, (gone - asked) / 1e6
