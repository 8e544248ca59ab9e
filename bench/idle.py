"""`rollcall up` with a million assignments that sleep: what it costs while nothing is due."""

import asyncio

from bench.harness import Figure
from bench.program import cpu_s, folder, rss_mib, up
from bench.seed import leases, now_us
from rollcall import wiring
from rollcall.settings import Settings

AGENTS = 1_000
GOAL = 0.01  # of a core
FLAT_MIB = 32  # what looking at a small file as a whole may leave in caches


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    count, seconds = (50_000, 3) if quick else (1_000_000, 10)
    _, empty_mib, _ = await watch(0, 1)
    cores, mib, server_cores = await watch(count, seconds)
    return [
        Figure(
            name=f"idle with {count:,} sleeping: services' CPU",
            value=f"{cores:.1%} of a core (and the bus {server_cores:.1%})",
            goal=f"< {GOAL:.0%}",
            reached=cores < GOAL,
        ),
        Figure(
            name=f"idle with {count:,} sleeping: services' memory",
            value=f"{mib:.0f} MiB ({empty_mib:.0f} with none)",
            goal=f"flat (+ {FLAT_MIB} MiB)",
            reached=mib < empty_mib + FLAT_MIB,
        ),
    ]


async def watch(count: int, seconds: float) -> tuple[float, float, float]:
    """Return the services' cores, their memory and the bus's cores over some seconds of sleep."""
    async with folder() as state:
        settings = Settings(state_dir=state)
        async with wiring.opened(settings):
            pass
        if count:
            leases(settings.store_path, count, agents=AGENTS)
        async with up(state) as running:
            await asyncio.sleep(2)  # what is done once, at the start
            started, before = now_us(), [cpu_s(pid) for pid in (running.pid, running.server_pid)]
            await asyncio.sleep(seconds)
            wall_s = (now_us() - started) / 1e6
            ours, server = (
                (cpu_s(pid) - was) / wall_s
                for pid, was in zip((running.pid, running.server_pid), before, strict=True)
            )
            return ours, rss_mib(running.pid), server
