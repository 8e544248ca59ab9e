"""The fleet, in a process of its own: agents who answer after 10 ms, on the bus or over HTTP, or never.

`answer` and `silent` hear pings on the bus, `http` is posted to. At a line on standard input each says what
it heard, and when.
"""

import asyncio
import json
import sys
import time
from collections import deque
from uuid import uuid4

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.peer import say
from bench.raw_bus import Item, RawPublisher
from contracts.codec import encode
from contracts.messages import Ack, Ping, Withdrawn

TAKES_S = 0.01
LOOK_S = 0.001
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

Heard = list[tuple[int, int, int]]  # assignment or task, attempt, instant of arrival in microseconds


class Ears:
    """A plain subscriber to all pings."""

    def __init__(self) -> None:
        """Have heard nothing yet."""
        self.heard: Heard = []
        self.owed: deque[tuple[float, Item]] = deque()
        self._decoder = msgspec.json.Decoder(Ping | Withdrawn)

    async def on_message(self, message: Msg) -> None:
        """Note a ping, and what is to be answered when."""
        said = self._decoder.decode(message.data)
        if isinstance(said, Withdrawn):
            return
        self.heard.append((said.assignment, said.attempt, time.time_ns() // 1_000))
        agent, command_id = message.subject.split(".")[-2], str(uuid4())
        ack = Ack(incarnation=said.incarnation, command_id=command_id, attempt=said.attempt)
        item = (f"rollcall.v1.ack.{agent}.{said.assignment}", encode(ack), f"{command_id}:1")
        self.owed.append((time.monotonic() + TAKES_S, item))

    async def answer(self, client: Client) -> None:
        """Store on the bus what agents say, each 10 ms after it was asked."""
        publisher = await RawPublisher(client).start()
        while True:
            await asyncio.sleep(LOOK_S)
            now, ready = time.monotonic(), []
            while self.owed and self.owed[0][0] <= now:
                ready.append(self.owed.popleft()[1])
            if ready:
                await publisher.counted(ready)


async def on_bus(url: str, *, silent: bool) -> None:
    """Hear pings, and answer them or not, until told to stop."""
    client, ears = await nats.connect(url, pending_size=64 << 20), Ears()
    await client.subscribe(
        "rollcall.v1.ping.>", cb=ears.on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    await client.flush()
    answering = None if silent else asyncio.create_task(ears.answer(client))
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    if answering is not None:
        answering.cancel()
    await client.drain()  # what the server sent before is heard
    say(json.dumps(ears.heard))


async def over_http(port: int) -> None:
    """Take posts on 127.0.0.1 until told to stop; as many at once as anybody cares to make."""
    heard: Heard = []

    async def on_post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        task = json.loads(await reader.readexactly(length))["task_id"]
        heard.append((task, 1, time.time_ns() // 1_000))
        await asyncio.sleep(TAKES_S)
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(on_post, "127.0.0.1", port)
    say("ready")
    say(str(server.sockets[0].getsockname()[1]))
    await asyncio.to_thread(sys.stdin.readline)
    say(json.dumps(heard))
    server.close()


def main() -> None:
    """Play the role."""
    match sys.argv[1:]:
        case ["http"]:
            asyncio.run(over_http(0))
        case ["answer" | "silent" as role, url]:
            asyncio.run(on_bus(url, silent=role == "silent"))
        case other:
            raise SystemExit(f"no such role: {other}")


if __name__ == "__main__":
    main()
