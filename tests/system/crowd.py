"""So many agents in one process: each joins, beats once a second and accepts what it is given.

python crowd.py FIRST COUNT [INTERVAL_S]; it writes `ready:` once all have joined.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from rollcall import Agent


async def accept(agent: Agent) -> None:
    async for ping in agent.pings():
        await ping.ack()


async def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    interval_s = int(sys.argv[3]) if sys.argv[3:] else 1
    alone = os.environ.get("ROLLCALL_AGENT")
    names = [alone] if alone else [f"a{number}" for number in range(first, first + count)]
    agents = [Agent(name, interval_s=interval_s) for name in names]
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        await asyncio.gather(*(stack.enter_async_context(agent) for agent in agents))
        sys.stdout.write("ready:\n")
        sys.stdout.flush()
        for agent in agents:
            group.create_task(accept(agent))


if __name__ == "__main__":
    asyncio.run(main())
