"""Callers who hold a connection in their hands, and say on it what no client would."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

import anyio

from tests.gateway.web import FIXED

BEARER = f"authorization: Bearer {FIXED}\r\n"


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str, *, buffer: int | None = None) -> Self:
        """Connect; `buffer` is how many bytes are taken in before they are read."""
        place = urlsplit(url)
        plug = socket.socket()
        if buffer is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, (place.hostname, place.port))
        return cls(*await asyncio.open_connection(sock=plug, limit=buffer or 2**16))

    async def say(self, text: str | bytes) -> None:
        """Say something; it is no matter whether anybody listens still."""
        self.writer.write(text if isinstance(text, bytes) else text.encode())
        with suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """Return all that is heard until the other side ends it."""
        found = bytearray()
        with anyio.fail_after(20), suppress(ConnectionError):
            while part := await self.reader.read(2**16):
                found += part
        return bytes(found)

    def close(self) -> None:
        self.writer.close()


async def told(url: str, text: str | bytes) -> tuple[int, bytes]:
    """Say something as the last thing on a connection; return the status and all that was answered."""
    wire = await Wire.to(url)
    try:
        await wire.say(text)
        answer = await wire.rest()
    finally:
        wire.close()
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(status[1]) if status else 0, answer
