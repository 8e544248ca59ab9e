"""Write down every message under `rollcall.v1`, a JSON object a line, with a plain subscription."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TextIO

import nats
from nats.aio.msg import Msg


async def main(path: Path) -> None:
    """Record until the bus closes, or until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)

    async def closed() -> None:
        over.set()

    with path.open("w", encoding="utf-8") as file:
        bus = await nats.connect(
            os.environ["NATS_URL"],
            user_credentials=os.environ.get("NATS_CREDS"),
            allow_reconnect=False,
            closed_cb=closed,
        )
        await bus.subscribe("rollcall.v1.>", cb=writer(file), pending_msgs_limit=-1, pending_bytes_limit=-1)
        await bus.flush()
        file.write(
            json.dumps({"at": time.time(), "subject": "recording", "headers": {}, "data": "{}"}) + "\n"
        )
        print("recording", flush=True)
        await over.wait()
        if not bus.is_closed:
            await bus.drain()


def writer(file: TextIO) -> Callable[[Msg], Awaitable[None]]:
    """Return what writes one message."""

    async def write(message: Msg) -> None:
        data = message.data.decode("utf-8", "replace")
        line = {"at": time.time(), "subject": message.subject, "headers": message.headers or {}, "data": data}
        file.write(json.dumps(line) + "\n")
        file.flush()

    return write


asyncio.run(main(Path(sys.argv[1])))
