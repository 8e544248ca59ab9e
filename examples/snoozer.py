"""An agent that puts every task off once, for five minutes, and does it when it is asked again."""

import asyncio
import sys

from rollcall import Agent


async def main(name: str) -> None:
    """Put off, then do."""
    put_off: set[int] = set()
    async with Agent(name, interval_s=1) as me:
        async for ping in me.pings():
            if ping.assignment not in put_off:
                put_off.add(ping.assignment)
                await ping.snooze(5, "first my coffee")
            else:
                await ping.ack()
                await ping.complete("done after all")


asyncio.run(main(*sys.argv[1:2] or ["snoozer"]))
