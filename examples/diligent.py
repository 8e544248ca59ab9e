"""A diligent agent: it says that it has the task, how far it is, and that it is done."""

import asyncio
import sys

from rollcall import Agent
from rollcall.client import Ping


async def work(ping: Ping) -> None:
    """Do one task."""
    await ping.ack()
    for done in ("read the task", "wrote the change", "tests pass"):
        await asyncio.sleep(1)  # here a real agent would work
        if ping.ended:
            return  # somebody else has the task now
        await ping.progress(done)
    await ping.complete("built and tested")


async def main(name: str) -> None:
    """Work on everything that is asked for, side by side."""
    async with Agent(name, interval_s=1) as me, asyncio.TaskGroup() as jobs:
        busy: dict[int, asyncio.Task[None]] = {}
        async for ping in me.pings():
            job = busy.get(ping.assignment)
            if job is None or job.done():  # else it was only asked again
                busy[ping.assignment] = jobs.create_task(work(ping))


asyncio.run(main(*sys.argv[1:2] or ["diligent"]))
