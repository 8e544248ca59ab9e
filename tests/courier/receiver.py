"""A receiver of pings: a real server that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec import Struct

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Got(Struct, frozen=True):
    """One request."""

    line: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


def status(number: int, *more: str, body: bytes = b"") -> Answer:
    """Answer with a status."""
    head = [f"HTTP/1.1 {number} x", f"Content-Length: {len(body)}", *more, "", ""]

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(head).encode() + body)
        await writer.drain()

    return answer


def until_set(free: asyncio.Event) -> Answer:
    """Say nothing until the event is set."""

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await free.wait()

    return answer


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side has gone."""
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say one letter after the other, as long as somebody listens."""
    writer.write(b"HTTP/1.1 200 ok\r\nX-")
    while not writer.is_closing():
        writer.write(b"a")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.01)


async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a gigabyte, after no status."""
    for _ in range(16_384):
        writer.write(b"a" * 65_536)
        await writer.drain()


async def flood_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer well, with a gigabyte."""
    writer.write(b"HTTP/1.1 200 ok\r\nContent-Length: 1073741824\r\n\r\n")
    await flood(reader, writer)


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close without a word."""


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak another language."""
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


class Receiver:
    """What arrived, and what is answered."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Answer = status(200)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
            }
            raw = await reader.readexactly(int(headers["content-length"]))
            self.got.append(Got(head[0], headers, raw))
            await self.answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
