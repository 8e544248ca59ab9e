"""A cable between somebody and the bus, which a test can cut and join again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.nats import kept


class Cable:
    """Forwards a local port to another, as long as it is whole."""

    def __init__(self, port: int) -> None:
        self._beyond = port
        self._server: asyncio.Server | None = None
        self._kept = kept()
        self._port: int = self._kept.getsockname()[1]
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def whole(self) -> bool:
        return self._server is not None

    async def join(self) -> None:
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", self._port)

    async def close(self) -> None:
        if self.whole:
            await self.cut()
        self._kept.close()

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._server = None
        for end in self._ends:
            end.transport.abort()

    def hang(self) -> None:
        """Let nothing through, and let nobody notice."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let through what was said, and what is."""
        self._flowing.set()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._beyond)
        except ConnectionError:  # nobody is there now: so the caller hears, as without a cable
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._ends |= ends
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._ends -= ends

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.close()
        with suppress(ConnectionError):
            await target.wait_closed()


@asynccontextmanager
async def cable(port: int) -> AsyncIterator[Cable]:
    """Lay a cable to a port on this machine."""
    laid = Cable(port)
    await laid.join()
    try:
        yield laid
    finally:
        await laid.close()
