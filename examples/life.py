"""The whole life of an agent in Python: it joins, works, waits for a person, finishes and leaves.

rollcall agent add pythia && python examples/life.py pythia
"""

import asyncio
import os
import sys

from rollcall import Agent
from rollcall.client import Ping, RollcallError

PAUSE_S = float(os.environ.get("PAUSE_S", "1"))


async def work(ping: Ping) -> None:
    """Do one task; each answer returns when it was decided on, and raises when it was refused."""
    await ping.ack(outcome=True)
    await asyncio.sleep(PAUSE_S)  # here a real agent would work
    await ping.progress("read the task", outcome=True)
    await ping.wait("human", "olga", reason="green or blue?", outcome=True)
    await asyncio.sleep(PAUSE_S)  # here it would ask her
    await ping.resume(outcome=True)
    await ping.progress("painted it green", outcome=True)
    await ping.complete("it is green", outcome=True)


async def main(name: str, tasks: int) -> None:
    """Join, which also beats; leave at the end of the block."""
    async with Agent(name, interval_s=1) as me:
        async for ping in me.pings():
            try:
                await work(ping)
                tasks -= 1
            except RollcallError as error:  # taken from us, or never heard: the next ping says what is owed
                print(f"assignment {ping.assignment}: {error}", file=sys.stderr)
            if tasks <= 0:
                return


asyncio.run(main(sys.argv[1] if sys.argv[1:] else "pythia", int(sys.argv[2]) if sys.argv[2:] else 1))
