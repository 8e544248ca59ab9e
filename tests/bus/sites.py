"""Two places where a bus is to be had: a real server behind cables, and the one in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from bus import streams
from bus.api import Incoming, Outgoing, Puller
from bus.client import SafeClient, js_api
from bus.memory import MemoryBus, MemoryServer
from bus.nats import NatsBus
from rollcall.clock import SystemClock
from tests.support.cable import Cable
from tests.support.cable import cable as lay
from tests.support.nats import Server, server, until

ACKS, PINGS, EVENTS, DLQ = (f"ROLLCALL_{short}" for short in ("ACKS", "PINGS", "EVENTS", "DLQ"))
AnyBus = NatsBus | MemoryBus


class Site(ABC):
    """A server, and connections to it that end with the test."""

    @abstractmethod
    async def connect(self, name: str = "test", *, cable: bool = False) -> AnyBus:
        """Connect; behind a cable the connection can be cut."""

    @abstractmethod
    async def kill(self) -> None: ...

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def cut(self, bus: AnyBus) -> None: ...

    @abstractmethod
    async def join(self, bus: AnyBus) -> None: ...

    async def ready(self, *, cable: bool = False, answers: Mapping[str, Any] | None = None) -> AnyBus:
        """Return a connection, with the streams in place; `answers` changes how the queue is consumed."""
        bus = await self.connect(cable=cable)
        names = streams.topology()
        names.durables[0].config.update(answers or {})
        await streams.ensure(cast("SafeClient", bus.client), names)
        return bus

    async def api(self, bus: AnyBus, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return await js_api(cast("SafeClient", bus.client), verb, body)


class RealSite(Site):
    def __init__(self, nats: Server, stack: AsyncExitStack) -> None:
        self._nats = nats
        self._stack = stack
        self._cables: dict[AnyBus, Cable] = {}

    async def connect(self, name: str = "test", *, cable: bool = False) -> AnyBus:
        line, url = None, self._nats.url
        if cable:
            port = int(self._nats.address.rpartition(":")[2])
            line = await self._stack.enter_async_context(lay(port))
            url = line.url
        bus = await NatsBus.open(url, name=name, timeout_s=5)
        self._stack.push_async_callback(bus.drain)
        if line is not None:
            self._cables[bus] = line
        return bus

    async def kill(self) -> None:
        await self._nats.kill()

    async def start(self) -> None:
        await self._nats.start()

    async def cut(self, bus: AnyBus) -> None:
        await self._cables[bus].cut()

    async def join(self, bus: AnyBus) -> None:
        await self._cables[bus].join()


class MemorySite(Site):
    def __init__(self, stack: AsyncExitStack) -> None:
        self.server = MemoryServer(SystemClock())
        self._stack = stack

    async def connect(self, name: str = "test", *, cable: bool = False) -> AnyBus:
        bus = await MemoryBus.open(self.server, name=name)
        self._stack.push_async_callback(bus.drain)
        return bus

    async def kill(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()

    async def cut(self, bus: AnyBus) -> None:
        self.server.cut(cast("MemoryBus", bus))

    async def join(self, bus: AnyBus) -> None:
        self.server.join(cast("MemoryBus", bus))


@asynccontextmanager
async def open_site(kind: str, folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        if kind == "memory":
            yield MemorySite(stack)
        else:
            yield RealSite(await stack.enter_async_context(server(folder)), stack)


async def put(bus: AnyBus, *bodies: bytes) -> None:
    items = [Outgoing(f"rollcall.v1.ack.ann.{body.decode()}", body, f"ack:{body!r}") for body in bodies]
    assert await bus.publish_batch(items, stream=ACKS) == []


async def take(puller: Puller, count: int) -> list[Incoming]:
    """Take exactly so many, in as many pieces as they come."""
    taken: list[Incoming] = []
    while len(taken) < count:
        got = await puller.take(count - len(taken), expires_s=10)
        assert got, taken
        taken += got
    return taken


async def stored(bus: AnyBus, stream: str) -> int:
    return (await bus.backlog(stream)).count


async def settled(bus: AnyBus) -> None:
    """Wait until the work queue is empty."""

    async def empty() -> bool:
        return not await stored(bus, ACKS)

    await until(empty)


async def back(bus: AnyBus) -> None:
    await until(lambda: bus.connected)


async def lost(bus: AnyBus) -> None:
    await until(lambda: not bus.connected)
