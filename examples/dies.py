"""An agent that accepts its first task and is killed at once, as a machine out of memory does it."""

import asyncio
import os
import signal
import sys

from rollcall import Agent


async def main(name: str) -> None:
    """Accept one task, and no more."""
    async with Agent(name, interval_s=1) as me:
        async for ping in me.pings():
            await ping.ack()
            os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main(*sys.argv[1:2] or ["dies"]))
