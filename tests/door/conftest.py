"""A real server, a responder that answers as it is told, and a door in front of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from rollcall.door import Hall, doors
from tests.cli.conftest import Bus
from tests.cli.conftest import bus as bus  # noqa: PLC0414 - a fixture is found by its name here
from tests.support.nats import connected
from tests.support.world import World, open_world

ROOT = "rollcall.v1"


class Reply(Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A client that writes what it is told to, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def post(self, verb: str, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        lines = [f"POST /api/v1/agent/{verb} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def reply(self) -> Reply:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Reply(int(line.split()[1]), headers, body)

    async def asks(self, verb: str, body: Any = None, **headers: str) -> Reply:
        self.post(verb, body, headers)
        return await self.reply()

    async def ended(self) -> bool:
        """Wait until the other side has closed."""
        async with asyncio.timeout(20):
            return await self.reader.read() == b""

    def leave(self) -> None:
        self.writer.close()


class Place:
    """A hall, and who stands at its doors."""

    def __init__(self, hall: Hall, folder: Path) -> None:
        self.hall = hall
        self.folder = folder
        self.callers: list[Caller] = []

    def leave(self) -> None:
        for caller in self.callers:
            caller.leave()

    async def call(self, agent: str = "ann") -> Caller:
        path = await self.hall.open(agent)
        caller = Caller(*await asyncio.open_unix_connection(str(path)))
        self.callers.append(caller)
        return caller


@pytest.fixture
async def place(bus: Bus, tmp_path: Path) -> AsyncIterator[Place]:
    folder = tmp_path / "doors"
    async with connected(bus.url) as connection, doors(folder, connection, root=ROOT) as hall:
        found = Place(hall, folder)
        yield found
        found.leave()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All services in one process, with the usual clocks."""
    async with open_world(tmp_path) as found:
        yield found
