"""10 000 due at once, agents who take 10 ms to answer: ours beside the design that polls and posts."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from bench import polling
from bench.harness import Figure, late, rate
from bench.lateness import LEAD_US
from bench.seed import due, leases, now_us
from bench.stage import PATIENCE_S, fleet, member, stage

ANSWERED = "SELECT count(*) FROM assignments WHERE status = 'acknowledged'"
RECORDED = "SELECT count(*) FROM pings WHERE published_at IS NOT NULL"
LOOK_S = 0.01


class Burst(Struct, frozen=True):
    """How a burst went."""

    per_s: float  # delivered and recorded
    late_ms: dict[str, float]
    answered_per_s: float | None = None  # every answer committed as well


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count = 500 if quick else 10_000
    our, poll = await ours(count), await polled(count)
    return [
        Figure(
            name=f"{count:,} due at once, agents take 10 ms, full",
            value=f"{our.per_s:,.0f} pings/s",
            against=f"{poll.per_s:,.0f} pings/s (poll and post)",
            ratio=our.per_s / poll.per_s,
            numbers={"ours_per_s": our.per_s, "polling_per_s": poll.per_s, "ratio": our.per_s / poll.per_s},
        ),
        Figure(
            name="… and every answer committed",
            value=f"{our.answered_per_s or 0:,.0f} answers/s",
            numbers={"ours_per_s": our.answered_per_s or 0},
        ),
        lateness("… how late, from the instant they were due", our, poll, 0),
        lateness(
            f"… with the {polling.POLL_S:g} s for which a poll sleeps ({polling.POLL_S / 2:g} s on average)",
            our,
            poll,
            polling.POLL_S / 2 * 1_000,
        ),
    ]


def lateness(name: str, our: Burst, poll: Burst, asleep_ms: float) -> Figure:
    """Return one line; ours sleeps until the earliest due instant and is late as measured."""
    p50, p99 = (poll.late_ms[share] + asleep_ms for share in ("p50_ms", "p99_ms"))
    return Figure(
        name=name,
        value=f"p50 {our.late_ms['p50_ms'] / 1000:.2f} s, p99 {our.late_ms['p99_ms'] / 1000:.2f} s",
        against=f"p50 {p50 / 1000:.0f} s, p99 {p99 / 1000:.0f} s",
        numbers={f"ours_{name}": value for name, value in our.late_ms.items()}
        | {f"polling_{name}": value + asleep_ms for name, value in poll.late_ms.items()},
    )


async def ours(count: int) -> Burst:
    """Return how the pinger and agents on the bus do."""
    async with stage("full") as on:
        leases(on.path, count)
        async with fleet("answer", on.url) as agents, member(on, "pinger") as pinger:
            started = now_us() + LEAD_US
            due(on.path, first_us=started)
            async with asyncio.timeout(PATIENCE_S):
                while on.ask(RECORDED) < count:  # noqa: ASYNC110 - another process commits
                    await asyncio.sleep(LOOK_S)
                recorded = now_us()
                while on.ask(ANSWERED) < count:  # noqa: ASYNC110 - another process commits
                    await asyncio.sleep(LOOK_S)
                answered = now_us()
            agents.go()
            heard: list[tuple[int, int, int]] = await agents.result()
            pinger.go()
            await pinger.result()
        ended = max(recorded, *(at for _, _, at in heard))
        return Burst(
            rate(count, started, ended),
            late([(at - started) / 1_000 for _, _, at in heard]),
            rate(count, started, answered),
        )


async def polled(count: int) -> Burst:
    """Return how a poll does that has just woken up: its sleep comes on top."""
    with TemporaryDirectory(prefix="rollcall-bench-") as name:
        path = Path(name) / "tasks.db"
        async with fleet("http") as agents:
            polling.create(path, count, f"127.0.0.1:{await agents.line()}")
            started = now_us()
            sent = await asyncio.to_thread(polling.poll, path)
            ended = now_us()
            agents.go()
            heard: list[tuple[int, int, int]] = await agents.result()
        if sent != count or len(heard) != count:
            raise RuntimeError(f"{sent} sent, {len(heard)} heard of {count}")
        return Burst(rate(count, started, ended), late([(at - started) / 1_000 for _, _, at in heard]))
