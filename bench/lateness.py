"""Due to delivered: how late a plain subscriber hears a ping, against the instant it was due."""

from bench.harness import Figure, late
from bench.pings import PINGS
from bench.seed import due, leases, now_us
from bench.stage import peer, running, stage, wired

LEAD_US = 1_500_000  # the first is due so long after the start: longer than the pinger sleeps at most
RATES = {100: None, 1_000: 50.0, 5_000: 250.0}  # due a second, and the goal of its p99 in ms


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    seconds = 2 if quick else 6
    figures: list[Figure] = []
    for per_second, goal_ms in RATES.items():
        found = late(await lateness(per_second, per_second * seconds))
        p99 = found["p99_ms"]
        figures.append(
            Figure(
                name=f"due → delivered at {per_second:,}/s, full",
                value=f"p50 {found['p50_ms']:.1f} ms, p99 {p99:.1f} ms",
                goal="" if goal_ms is None else f"p99 < {goal_ms:g} ms",
                reached=None if goal_ms is None else p99 < goal_ms,
                numbers=found | ({} if goal_ms is None else {"goal_p99_ms": goal_ms}),
            )
        )
    return figures


async def lateness(per_second: int, count: int) -> list[float]:
    """Return by how many milliseconds each ping came late."""
    async with stage("full") as on:
        leases(on.path, count)
        step_us = 1e6 / per_second
        async with (
            wired(on, "pinger") as actors,
            running(actors),
            peer("hear", on.url, PINGS, str(count)) as hearer,
        ):
            first_us = now_us() + LEAD_US
            due(on.path, first_us=first_us, step_us=step_us)
            heard: list[tuple[int, int]] = await hearer.result()
        return [(at - first_us - int((number - 1) * step_us)) / 1000 for number, at in heard]
