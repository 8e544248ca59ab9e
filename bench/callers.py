"""Callers over HTTP, in a process of their own: who reads, who acknowledges, and who listens to changes."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path
from urllib.parse import urlsplit

from bench.peer import say

READERS = 32  # connections, each with one request under way
AGENTS = 256  # the same, of those who acknowledge
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_CHANGE = re.compile(rb"id: \w+:(\d+)\n")
Request = Callable[[int], bytes]


class Caller(asyncio.Protocol):
    """A connection that asks again as soon as it is answered."""

    def __init__(self, following: Callable[[], bytes | None], done: Callable[[int], None]) -> None:
        """Take where the next request comes from, and who is told the status of each."""
        self._following = following
        self._done = done
        self._said = b""
        self._wire: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it; `go` begins."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checkers
        self._wire = transport

    def go(self) -> None:
        """Ask, if there is anything left to ask."""
        request = self._following()
        if request is not None and self._wire is not None:
            self._wire.write(request)

    def data_received(self, data: bytes) -> None:
        """Take the answer, whole, and ask the next."""
        self._said += data
        head, found, body = self._said.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._said = b""
        self._done(int(head[9:12]))
        self.go()


async def call(url: str, request: Request, count: int, lines: int) -> None:
    """Wait for a line, send `count` requests over so many connections.

    Says when the last was answered, and how many not with 200.
    """
    loop, complete = asyncio.get_running_loop(), asyncio.Event()
    place = _place(url)
    left, wrong, sent = count, 0, numbers(1)

    def following() -> bytes | None:
        number = next(sent)
        return request(number) if number <= count else None

    def done(status: int) -> None:
        nonlocal left, wrong
        left, wrong = left - 1, wrong + (status != 200)
        if not left:
            complete.set()

    callers = []
    for _ in range(lines):
        _, one = await loop.create_connection(lambda: Caller(following, done), *place)
        callers.append(one)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for one in callers:
        one.go()
    await complete.wait()
    say(json.dumps([time.time_ns() // 1_000, wrong]))


def read(path: str, token: str) -> Request:
    """Return the same question each time."""
    question = _head("GET", path, token) + b"\r\n"
    return lambda _: question


def acknowledge(tokens: list[str]) -> Request:
    """Return the acknowledgement of one assignment after the other, each by its own agent."""

    def made(number: int) -> bytes:
        body = b'{"assignment":%d,"attempt":1}' % number
        head = _head("POST", f"/api/v1/agents/agent-{number}/acknowledge", tokens[number - 1])
        return head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    return made


def _place(url: str) -> tuple[str, int]:
    found = urlsplit(url)
    assert found.hostname and found.port  # noqa: S101, PT018 - for the type checkers
    return found.hostname, found.port


def _head(method: str, path: str, token: str) -> bytes:
    proof = f"authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{proof}".encode()


class Ear(asyncio.Protocol):
    """A stream of changes, and when each of them came."""

    def __init__(self, token: str) -> None:
        """Listen as whoever holds the token."""
        self._token = token
        self._rest = b""
        self.open = asyncio.Event()
        self.ended_us = 0
        self.heard: list[tuple[int, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checkers
        transport.write(_head("GET", "/api/v1/events", self._token) + b"\r\n")

    def data_received(self, data: bytes) -> None:
        """Note each change that is whole."""
        now = time.time_ns() // 1_000
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            if found := _CHANGE.search(frame):
                self.heard.append((int(found[1]), now))
            elif b"retry:" in frame:
                self.open.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; one that did not come in order counts as none."""
        self.ended_us = time.time_ns() // 1_000 if exc is None else -1
        self.open.set()


async def listen(url: str, token: str, count: int) -> None:
    """Open `count` streams; at a line say what each heard and when, and when it ended: 0 for not yet."""
    loop, place, ears = asyncio.get_running_loop(), _place(url), list[Ear]()
    for _ in range(count):
        _, ear = await loop.create_connection(lambda: Ear(token), *place)
        await ear.open.wait()
        ears.append(ear)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    say(json.dumps([[ear.heard, ear.ended_us] for ear in ears]))


def main() -> None:
    """Play the role."""
    match sys.argv[1:]:
        case ["read", url, path, token, count]:
            asyncio.run(call(url, read(path, token), int(count), READERS))
        case ["acknowledge", url, tokens, count]:
            drawn = Path(tokens).read_text("utf-8").split()
            asyncio.run(call(url, acknowledge(drawn), int(count), AGENTS))
        case ["listen", url, token, count]:
            asyncio.run(listen(url, token, int(count)))
        case other:
            raise SystemExit(f"no such role: {other}")


if __name__ == "__main__":
    main()
