"""What a measurement stands on: a fresh bus and store, and processes that end with it."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
import msgspec
import nats
from msgspec import Struct
from nats.aio.client import Client

from bus import streams
from bus.actor import Runtime
from bus.client import connect
from bus.embedded import Durability, EmbeddedServer
from rollcall import wiring
from rollcall.settings import Limits, Settings

DURABILITIES: Final[tuple[Durability, ...]] = ("full", "relaxed")
PATIENCE_S = 60.0
# the caps guard agents after an outage; where nobody looks at them, they would be all that is measured
UNCAPPED: Final = Limits(pings_per_second=1_000_000, steps_per_second=1_000_000)


class Stage(Struct, frozen=True, kw_only=True):
    """A bus with its streams and a store with its tables."""

    url: str
    settings: Settings
    server: EmbeddedServer

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.settings.store_path

    def ask(self, query: str) -> Any:
        """Return the first value of a query, over a connection of its own."""
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(query).fetchone()[0]

    @property
    def incarnation(self) -> str:
        """The store's."""
        return str(self.ask("SELECT value FROM meta WHERE key = 'incarnation'"))


@asynccontextmanager
async def stage(durability: Durability, limits: Limits = UNCAPPED) -> AsyncIterator[Stage]:
    """Set up, and leave nothing behind."""
    with TemporaryDirectory(prefix="rollcall-bench-") as name:
        folder = Path(name)
        server = EmbeddedServer(folder / "bus", durability=durability)
        await server.start()
        try:
            settings = Settings(state_dir=folder, durability=durability, limits=limits)
            async with wiring.opened(settings):
                pass
            client = await connect(server.url, name="bench")
            await streams.ensure(client, streams.topology())
            await client.close()
            yield Stage(url=server.url, settings=settings, server=server)
        finally:
            await server.stop()


def wired(stage: Stage, *services: str) -> AbstractAsyncContextManager[Runtime]:
    """Wire the services as `rollcall run` does, in this process; nothing runs yet."""
    return wiring.runtime(services, stage.settings, stage.url)


@asynccontextmanager
async def running(actors: Runtime) -> AsyncIterator[Runtime]:
    """Run the services until the block ends."""
    ready, stop = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(actors.run, stop, ready=ready.set))
        await ready.wait()
        try:
            yield actors
        finally:
            stop.set()


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[Client]:
    """Connect with nothing of ours."""
    client = await nats.connect(url, pending_size=64 << 20)
    try:
        yield client
    finally:
        await client.close()


class Peer:
    """Another process at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Keep it."""
        self._process = process

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def line(self) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checkers
        with anyio.fail_after(PATIENCE_S):
            return (await self._process.stdout.readline()).decode().strip()

    async def result(self) -> Any:
        """Return what it says in the end."""
        return msgspec.json.decode(await self.line())

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checkers
        self._process.stdin.write(b"\n")


async def last_heard(hearer: Peer) -> int:
    """Return when the last of all messages arrived there."""
    heard: list[tuple[int, int]] = await hearer.result()
    return max(at for _, at in heard)


def fleet(role: str, *words: str) -> AbstractAsyncContextManager[Peer]:
    """Start agents (`answer`, `silent` or `http`) in a process of their own."""
    return peer(role, *words, program="bench.agents")


def member(stage: Stage, *services: str) -> AbstractAsyncContextManager[Peer]:
    """Start services in a process of their own; `go` stops them, and then they say what they did."""
    settings = stage.settings
    limits = msgspec.json.encode(settings.limits).decode()
    words = (",".join(services), str(settings.state_dir), stage.url, settings.durability, limits)
    return peer(*words, program="bench.member")


@asynccontextmanager
async def peer(*words: str, program: str = "bench.peer") -> AsyncIterator[Peer]:
    """Start another program of the bench and wait until it is ready; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 << 20,  # what was heard comes in one line
    )
    try:
        other = Peer(process)
        if await other.line() != "ready":
            raise RuntimeError("the other process did not start")
        yield other
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
