"""A world in which people are told, and who is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP

from bus.service import Service
from contracts.notifying import Manner, Receivers
from domain.addresses import Reach
from domain.deliveries import Patience
from domain.timers import Timers
from services.courier import Courier
from services.notifier import Notifier
from tests.support.house import all_services
from tests.support.nats import until
from tests.support.world import World, open_world


class Hook:
    """A receiver over HTTP: it keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.raw: list[bytes] = []
        self.status = 200
        self.hangs = False
        self.asked = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        return [body.get("title") or body["text"] for _, _, body in self.got]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(fields["content-length"]))
        self.asked += 1
        if self.hangs:
            await reader.read()  # until the other side gives up
        elif self.status < 300:
            self.raw.append(body)
            self.got.append((head[0].split()[1], fields, msgspec.json.decode(body)))
        if not self.hangs:
            writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


class Postbox:
    """A mail server."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.refuses = ""
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuses:
            return self.refuses
        self.letters.append(envelope)
        return "250 taken"


@asynccontextmanager
async def receiving() -> AsyncIterator[Hook]:
    found = Hook()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def other() -> AsyncIterator[Hook]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    found = Postbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(found, hostname="test"), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


class Told:
    """A world whose people are told."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def exhausted(self, agent: str = "bob") -> int:
        """Let a task find nobody who answers."""
        task, _ = await self.world.given(agent)
        await self.world.forward(hours=6)
        assert self.world.rows("SELECT exhausted FROM assignments WHERE ended_at IS NULL") == [(1,)]
        return task

    async def listed(self, **asked: Any) -> Any:
        return await self.world.operator("notification.ls", **asked)

    async def sent(self) -> list[Any]:
        return list((await self.world.operator("notification.sent")).items)

    async def until(self, count: int, *, over: bool = False) -> None:
        """Wait until so many have begun, or are over."""
        where = "over" if over else "NOT over"
        await until(
            lambda: len(self.world.rows(f"SELECT 1 FROM notifications WHERE {where}")) >= count,
        )

    async def until_sent(self, count: int, *, ok: bool = True) -> None:
        await until(
            lambda: len(self.world.rows("SELECT 1 FROM notify_sends WHERE ok = ?", ok)) >= count,
        )

    async def until_failed(self, ways: int, *, times: int) -> None:
        """Wait until so many ways have failed so often, each of them."""
        query = "SELECT way FROM notify_sends WHERE NOT ok GROUP BY way HAVING count(*) >= ?"
        await until(lambda: len(self.world.rows(query, times)) == ways)


Open = Callable[..., AbstractAsyncContextManager[Told]]


@pytest.fixture
def told(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def opened(
        receivers: Receivers,
        *,
        manner: Callable[[int], Manner] = lambda _: Manner(),
        port: int = 80,
        ports: tuple[int, ...] = (),
        **more: Any,
    ) -> AsyncIterator[Told]:
        reach = Reach(allow=("127.0.0.0/8",), http=True, ports=(port, *ports))
        notifier = Notifier(receivers=receivers, reach=reach, manner=manner, every_s=0.02)

        def services(timers: Timers) -> list[Service]:
            courier = Courier(timers=timers, reach=reach, patience=Patience(tries=1))
            own: dict[str, Service] = {notifier.name: notifier, courier.name: courier}
            return [own.get(one.name, one) for one in all_services(timers, reach)]

        async with open_world(tmp_path, services=services, **more) as world:
            yield Told(world)

    return opened
