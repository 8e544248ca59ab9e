"""The other end, in a process of its own: a subscriber who hears pings, or a fleet that talks."""

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from uuid import uuid4

import nats
from nats import errors as ne
from nats.aio.client import Client
from nats.aio.msg import Msg

from rollcall.client.line import TRY_S

IN_FLIGHT = 1_000  # requests under way
BEAT = b'{"session":"bench","interval_s":%d}'
SESSION = "anew"  # of those who join
AGAIN_S = 1.0  # until who is not answered asks again


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
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        await client.publish(f"{subject}{number % 1_000 + 1}", BEAT % 30)
    await client.publish(f"{subject}1001", BEAT % 30)
    await client.flush()
    say(json.dumps(count))
    await client.close()


async def waves(url: str, subject: str, wave: int, agents: int) -> None:
    """At each line send a wave of beats: of the agents up to `agents` in turn, and of one more at the end."""
    client = await nats.connect(url, pending_size=64 << 20)
    say("ready")
    for number in itertools.count():
        await asyncio.to_thread(sys.stdin.readline)
        first = number * wave % agents
        last = agents + 1 + number % (2 * agents // wave)
        for agent in (*range(first + 1, first + wave + 1), last):
            await client.publish(f"{subject}{agent}", BEAT % 30)
        await client.flush()


async def keep(url: str, subject: str, agents: int, interval_s: int, others: int, other_s: int) -> None:
    """From the first line on let `agents` beat at an even pace, and `others` until a second line comes."""
    client = await nats.connect(url, pending_size=64 << 20)
    loop = asyncio.get_running_loop()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    started, stopped, sent, sent_others = loop.time(), False, 0, 0
    while True:
        since_s = loop.time() - started
        while sent < since_s * agents / interval_s:
            await client.publish(f"{subject}{sent % agents + 1}", BEAT % interval_s)
            sent += 1
        while not stopped and sent_others < since_s * others / other_s:
            number = agents + sent_others % others + 1
            await client.publish(f"{subject}{number}", BEAT % other_s)
            sent_others += 1
        if stop.done() and not stopped:
            stopped = True
            say(str(time.time_ns() // 1_000))
        await asyncio.sleep(0.02)


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


async def join(url: str, subject: str, count: int, lines: int) -> None:
    """Wait for a line, then let `count` agents join at once, over so many connections.

    Says when the last was told that it has joined, and how many tries found nobody (`unheard`), were
    `refused` as too many, or were not answered in time (`unanswered`).
    """
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    clients = [await nats.connect(url, pending_size=64 << 20) for _ in range(lines)]
    joining = (joined(clients[number % lines], subject.format(number)) for number in range(1, count + 1))
    failed = Counter(itertools.chain(*await asyncio.gather(*joining)))
    say(json.dumps([time.time_ns() // 1_000, failed]))
    for client in clients:
        await client.close()


async def joined(client: Client, subject: str) -> list[str]:
    """Join, as a client does again and again while that may help; return what became of the tries before."""
    body = b'{"session":"%s","command_id":"%s"}' % (SESSION.encode(), str(uuid4()).encode())
    failed: list[str] = []
    while True:
        pause_s = random.uniform(0.5, 1.0) * AGAIN_S
        try:
            reply = await client.request(subject, body, TRY_S)
        except ne.NoRespondersError:
            failed.append("unheard")
        except ne.TimeoutError:
            failed.append("unanswered")
        else:
            if not reply.headers:
                return failed
            problem = json.loads(reply.data)
            if not problem["retryable"]:
                raise RuntimeError(f"{subject}: {problem}")
            failed.append("refused")
            pause_s += problem.get("retry_after_s") or 0
        await asyncio.sleep(pause_s)


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    roles: dict[str, Callable[..., Coroutine[None, None, None]]] = {
        "hear": hear,
        "beat": beat,
        "waves": waves,
        "keep": keep,
        "ask": ask,
        "join": join,
    }
    _, asked, where, about, numbers = sys.argv
    asyncio.run(roles[asked](where, about, *map(int, numbers.split())))
