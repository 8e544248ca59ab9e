"""The sockets: one per agent, opened and closed while their owner lives."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from bus.api import Bus
from contracts.errors import OverloadedError
from rollcall.door import http
from rollcall.door.bridge import Bridge
from rollcall.door.http import Answer, BadRequestError

log = structlog.get_logger(__name__)

CALLERS_MAX: Final = 64  # connections at one door
IDLE_S: Final = 60.0  # for a request to come, whole
LEAVING_S: Final = 2.0  # for what was asked to be answered when a door closes
_PATH_BYTES_MAX: Final = 100  # the kernel takes 107; a longer path goes through a descriptor of its folder
_BACKLOG: Final = 64
_FILES_MAX: Final = 65_536  # where the system sets no limit


class DoorError(Exception):
    """No door could be opened: the message says why."""


class Seats:
    """Half of the files that this process may have open: for doors, and for who stands in them."""

    def __init__(self) -> None:
        files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.left = _FILES_MAX if files_max == resource.RLIM_INFINITY else files_max // 2

    def take(self) -> bool:
        """Take one, if there is one."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        """Give one back."""
        self.left += 1


class Door:
    """One agent's socket."""

    def __init__(self, bridge: Bridge, path: Path, seats: Seats) -> None:
        self.path = path
        self._bridge = bridge
        self._seats = seats
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Listen; only the owner of the process can connect."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # of a life before this one
            bind(listener, self.path)
            self.path.chmod(0o600)  # nobody can connect before it listens
            self._server = await asyncio.start_unix_server(
                self._on_caller, sock=listener, limit=http.HEAD_BYTES_MAX, backlog=_BACKLOG
            )
        except OSError as error:
            listener.close()
            raise DoorError(f"{self.path}: {error.strerror or error}") from error

    async def close(self) -> None:
        """Take no new request, answer what was asked, and remove the socket."""
        self._closing.set()
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)
        if self._callers:
            _, late = await asyncio.wait(self._callers, timeout=LEAVING_S)
            for caller in late:
                caller.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _on_caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None  # noqa: S101 - for the type checkers
        full = len(self._callers) >= CALLERS_MAX
        seated = not full and self._seats.take()
        self._callers.add(caller)
        try:
            if seated:
                await self._serve(reader, writer)
            else:
                refused = OverloadedError(f"{CALLERS_MAX} connections at this door" if full else "")
                await self._say(writer, Answer.of(refused.problem()), keeps=False)
        except (ConnectionError, TimeoutError):
            pass  # gone, or idle for too long
        finally:
            self._callers.discard(caller)
            if seated:
                self._seats.give()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        begun, keeps = b"", True
        while keeps and not self._closing.is_set():
            try:
                request = await self._next(reader, begun)
            except BadRequestError as error:
                await self._say(writer, Answer.of(error.problem), keeps=False)
                return
            if request is None:
                return
            keeps = request.keeps
            answer, begun = await self._answered(request, reader)
            keeps = keeps and not self._closing.is_set()
            await self._say(writer, answer, keeps=keeps)

    async def _next(self, reader: asyncio.StreamReader, begun: bytes) -> http.Request | None:
        """Return the next request, or None when there will be none: they left, or the door closes."""
        async with asyncio.timeout(IDLE_S):
            reading = asyncio.ensure_future(http.read(reader, begun))
            closing = asyncio.ensure_future(self._closing.wait())
            try:
                await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
                return await reading if reading.done() else None
            finally:
                reading.cancel()
                closing.cancel()

    async def _answered(self, request: http.Request, reader: asyncio.StreamReader) -> tuple[Answer, bytes]:
        """Return the answer, and what came meanwhile of the next request; who leaves is not waited for."""
        gone = asyncio.Event()
        answering = asyncio.ensure_future(self._bridge.answer(request, gone))
        hearing = asyncio.ensure_future(reader.read(1))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({answering, hearing, closing}, return_when=asyncio.FIRST_COMPLETED)
            more = hearing.result() if hearing.done() else b""
            if closing.done() or (hearing.done() and not more):
                gone.set()
            answer = await answering
            return answer, hearing.result() if hearing.done() else b""
        finally:
            for one in (answering, hearing, closing):
                one.cancel()

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, answer: Answer, *, keeps: bool) -> None:
        async with asyncio.timeout(IDLE_S):
            writer.write(http.written(answer, keeps=keeps))
            await writer.drain()


class Hall:
    """The doors of several agents, in one folder that is theirs alone."""

    def __init__(self, folder: Path, bus: Bus, *, root: str) -> None:
        """Name the folder; use `doors`, which also makes it and clears it away."""
        self._folder = folder
        self._bus = bus
        self._root = root
        self._doors: dict[str, Door] = {}
        self._seats = Seats()

    @property
    def agents(self) -> frozenset[str]:
        """Who has a door."""
        return frozenset(self._doors)

    async def open(self, agent: str, bus: Bus | None = None) -> Path:
        """Open the agent's door, if it is not open, and return its path; raises DoorError or InvalidError.

        What is said there goes out over `bus`, a connection under the agent's own credential, where there is
        one; else over the hall's own, which must be allowed to speak for all of them.
        """
        bridge = Bridge(agent, bus or self._bus, root=self._root)
        path = self._folder / f"{agent}.sock"
        if agent in self._doors:
            return path
        if not self._seats.take():
            raise DoorError(f"{path}: too many files are open here: `ulimit -n` says how many there may be")
        door = Door(bridge, path, self._seats)
        try:
            await door.open()
        except DoorError:
            self._seats.give()
            raise
        self._doors[agent] = door
        return path

    async def close(self, agent: str) -> None:
        """Close the agent's door; what was asked there is answered first."""
        if door := self._doors.pop(agent, None):
            await door.close()
            self._seats.give()

    async def close_all(self) -> None:
        """Close all doors."""
        await asyncio.gather(*(self.close(agent) for agent in list(self._doors)))


@asynccontextmanager
async def doors(folder: Path, bus: Bus, *, root: str) -> AsyncGenerator[Hall]:
    """Yield a hall without doors in a folder of its own; all that were opened are closed at the end.

    `root` is what every subject begins with. Raises DoorError when the folder cannot be made ours alone.
    """
    own(folder)
    hall = Hall(folder, bus, root=root)
    try:
        yield hall
    finally:
        await asyncio.shield(hall.close_all())


def own(folder: Path) -> None:
    """Make the folder, for us alone, and remove what a life before this one left in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for left in folder.glob("*.sock"):
            left.unlink()
    except OSError as error:
        raise DoorError(f"{folder}: {error.strerror or error}") from error


def bind(listener: socket.socket, path: Path) -> None:
    """Give a socket its path, however long that is."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        listener.bind(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
