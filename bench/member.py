"""Services in a process of their own, wired as `rollcall run` does, that say in the end how much they did."""

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import msgspec

from bench.peer import say
from bus.embedded import Durability
from bus.work import Worker
from contracts.work import Committed, Failed, Unit
from rollcall import log, wiring
from rollcall.settings import Limits, Settings


class Counting(Worker):
    """Counts the answers that this process took from the bus."""

    answered = 0

    async def run(self, units: Sequence[Unit], traces: Sequence[str]) -> list[Committed | Failed]:
        """Do the units."""
        results = await super().run(units, traces)
        self.answered += len(results)
        return results


async def serve(
    services: Sequence[str], state: Path, url: str, durability: Durability, limits: Limits
) -> None:
    """Run until a line comes, then say how many rows each duty did, and how many answers it took."""
    settings = Settings(state_dir=state, durability=durability, limits=limits)
    stop = anyio.Event()
    async with wiring.runtime(services, settings, url) as actors:
        actors.worker = counting = Counting(
            ledger=actors.ports.ledger, outbox=actors.outbox, clock=actors.ports.clock, casts=actors.casts
        )
        async with anyio.create_task_group() as group:
            group.start_soon(partial(actors.run, stop, ready=partial(say, "ready")))
            await asyncio.to_thread(sys.stdin.readline)
            stop.set()
        done = {
            duty.name: loop.done
            for service in actors.services
            for duty, loop in zip(service.duties, actors.duties[service.name], strict=True)
        }
    say(json.dumps(done | {"answers": counting.answered}))


def main() -> None:
    """Read who and where."""
    services, state, url, durability, limits = sys.argv[1:]
    log.setup("warning")
    how: Durability = "full" if durability == "full" else "relaxed"
    asyncio.run(serve(services.split(","), Path(state), url, how, msgspec.json.decode(limits, type=Limits)))


if __name__ == "__main__":
    main()
