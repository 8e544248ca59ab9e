"""`rollcall up`: from the start of the process to the first operation answered."""

import statistics
import time

from bench.harness import Figure
from bench.program import folder, up
from bench.stage import raw_client

STATUS = "rollcall.v1.cmd.monitor.system-status.bench"
GOAL_S = 1.0
RUNS = 5


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    runs = [await once() for _ in range(2 if quick else RUNS)]
    ready, answered = (statistics.median(run[place] for run in runs) for place in (0, 1))
    return [
        Figure(
            name="`rollcall up` on an empty folder to ready / first answer",
            value=f"{ready:.2f} s / {answered:.2f} s",
            goal=f"< {GOAL_S:g} s",
            reached=answered < GOAL_S,
        )
    ]


async def once() -> tuple[float, float]:
    """Return the seconds to `ready:`, and to the first answer."""
    async with folder() as state, up(state) as running:
        said = time.perf_counter()
        async with raw_client(running.url) as client:
            reply = await client.request(STATUS, b"{}", timeout=5)
            if reply.headers and "Nats-Service-Error" in reply.headers:
                raise RuntimeError(reply.data.decode())
        return running.ready_s, running.ready_s + time.perf_counter() - said
