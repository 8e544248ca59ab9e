"""A main agent: whatever nobody else answered for reaches it, and it sees to it."""

import asyncio
import sys

from rollcall import Agent


async def main(name: str, thinks_s: str = "0") -> None:
    """See to everything, one after the other; the first takes some thought before it is answered."""
    left_s = float(thinks_s)
    async with Agent(name, interval_s=1) as me:
        async for ping in me.pings():
            await asyncio.sleep(left_s)
            left_s = 0
            await ping.ack()
            await asyncio.sleep(1)
            whose = f", which {ping.escalated_from} left" if ping.escalated_from else ""
            await ping.complete(f"saw to it{whose}")


asyncio.run(main(*sys.argv[1:3] or ["Ruto"]))
