"""The other end, in a process of its own: `hear` pings as a subscriber, `beat` or `ask` like a fleet."""

import asyncio
import json
import sys
import time
from uuid import uuid4

import nats
from nats.aio.msg import Msg

IN_FLIGHT = 1_000  # requests under way


async def hear(url: str, subject: str, count: int) -> None:
    """Note when each of `count` messages arrives, by the last token of its subject."""
    client = await nats.connect(url)
    heard: list[tuple[str, int]] = []
    complete = asyncio.Event()

    async def on_message(message: Msg) -> None:
        heard.append((message.subject, time.time_ns() // 1_000))
        if len(heard) == count:
            complete.set()

    await client.subscribe(subject, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    say("ready")
    await complete.wait()
    say(json.dumps([[int(name.rpartition(".")[2]), at] for name, at in heard]))
    await client.close()


async def beat(url: str, subject: str, count: int) -> None:
    """Wait for a line, then send `count` beats of agents 1 to 1000 in turn, and a last one of agent 1001."""
    client = await nats.connect(url, pending_size=64 << 20)
    body = b'{"session":"bench","interval_s":30}'
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        await client.publish(f"{subject}{number % 1_000 + 1}", body)
    await client.publish(f"{subject}1001", body)
    await client.flush()
    say(json.dumps(count))
    await client.close()


async def ask(url: str, subject: str, count: int) -> None:
    """Wait for a line, then acknowledge with `IN_FLIGHT` requests under way, each agent its own assignment.

    Says when the last was answered, and how many were refused; `subject` holds `{}` for the agent's number.
    """
    client = await nats.connect(url, pending_size=64 << 20)
    inbox, left, refused = client.new_inbox(), count, 0
    room, complete = asyncio.Semaphore(IN_FLIGHT), asyncio.Event()

    async def on_reply(message: Msg) -> None:
        nonlocal left, refused
        left, refused = left - 1, refused + bool(message.headers)
        room.release()
        if not left:
            complete.set()

    await client.subscribe(f"{inbox}.*", cb=on_reply, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(1, count + 1):
        await room.acquire()
        body = b'{"assignment":%d,"attempt":1,"command_id":"%s"}' % (number, str(uuid4()).encode())
        await client.publish(subject.format(number), body, f"{inbox}.{number}")
    await complete.wait()
    say(json.dumps([time.time_ns() // 1_000, refused]))
    await client.close()


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    role = {"hear": hear, "beat": beat, "ask": ask}[sys.argv[1]]
    asyncio.run(role(sys.argv[2], sys.argv[3], int(sys.argv[4])))
