"""A real nats-server for one test: about 25 ms to start, and nothing is left of it."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path

import anyio
import anyio.lowlevel

from bus.api import Incoming
from bus.embedded import Durability, EmbeddedServer
from bus.nats import NatsBus
from bus.streams import Topology, ensure, topology


class Server(EmbeddedServer):
    """An embedded server that can be killed."""

    async def kill(self) -> None:
        """End it as a crash does; `start` brings it back on the same port with the same streams."""
        assert self._process is not None
        self._process.kill()
        await self.exited()


def kept(port: int = 0) -> socket.socket:
    """Keep a port, or that port: servers can listen there, and nobody is given it while none does."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with suppress(OSError, OverflowError):  # it is taken, or there is no such port: then nothing is kept
        holder.bind(("127.0.0.1", port))
    return holder


@contextmanager
def own_port(folder: Path) -> Iterator[None]:
    """Let whoever runs over `folder` find its port free again, however often it is killed."""
    file = folder / "nats.port"
    if file.exists():
        word = file.read_text("utf-8")
        with kept(int(word)) if word.isdigit() else nullcontext():
            yield
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with kept() as holder:
        file.write_text(str(holder.getsockname()[1]), "utf-8")
        yield


@asynccontextmanager
async def server(folder: Path, *, durability: Durability = "relaxed") -> AsyncIterator[Server]:
    """Run a server over `folder` for the length of the block."""
    running = Server(folder, durability=durability)
    with own_port(folder):
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


@asynccontextmanager
async def connected(url: str, *, name: str = "test", atomic: bool = False) -> AsyncIterator[NatsBus]:
    """Connect for the length of the block."""
    bus = await NatsBus.open(url, name=name, atomic=atomic, timeout_s=5)
    try:
        yield bus
    finally:
        await bus.drain()


@asynccontextmanager
async def ready(
    folder: Path, *, root: str = "rollcall.v1", durability: Durability = "relaxed", atomic: bool = False
) -> AsyncIterator[tuple[Server, NatsBus, Topology]]:
    """Run a server with the streams of `root` in place, and a connection to it."""
    async with server(folder, durability=durability) as running, connected(running.url, atomic=atomic) as bus:
        streams = topology(root)
        await ensure(bus.client, streams)
        yield running, bus, streams


class Seen(list[Incoming]):
    """A handler that keeps what it is handed, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._more = anyio.Event()

    def __call__(self, message: Incoming) -> None:
        self.append(message)
        self._more.set()

    async def have(self, expected: int) -> list[Incoming]:
        """Wait until so many have come."""
        with anyio.fail_after(20):
            while len(self) < expected:
                self._more = anyio.Event()
                await self._more.wait()
        return self


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until the condition holds, giving way between two looks."""
    with anyio.fail_after(20):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await anyio.lowlevel.checkpoint()
