"""An agent that is there, beats, hears every ping, and never answers."""

import asyncio
import sys

from rollcall import Agent


async def main(name: str) -> None:
    """Listen."""
    async with Agent(name, interval_s=1) as me:
        async for _ping in me.pings():
            pass


asyncio.run(main(*sys.argv[1:2] or ["silent"]))
