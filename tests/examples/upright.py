"""The real thing for a test: `rollcall up` in a folder, and an operator who asks it."""

import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from bus.api import BusError
from bus.nats import NatsBus
from rollcall.demo.guest import OPERATOR, Guest
from rollcall.demo.processes import Processes, environment
from tests.support.nats import own_port

START_S = 30.0
STOP_S = 20.0


class Upright:
    """A running Rollcall."""

    def __init__(self, folder: Path, scale: float = 1.0) -> None:
        self.folder = folder
        self.env = environment(folder, scale)
        self.processes = Processes(folder)
        self.events: list[dict[str, Any]] = []
        self._stirred = anyio.Event()
        self._bus: NatsBus | None = None

    async def start(self) -> None:
        await self.processes.start("up", (sys.executable, "-m", "rollcall", "up"), self.env)
        await self.processes.until_says("up", "ready", START_S)
        self.env |= {"NATS_URL": self.url, "ROLLCALL_NATS__URL": ""}

    async def kill(self) -> None:
        """End it as a crash does; its bus follows."""
        await self.processes.stop("up", number=signal.SIGKILL)

    @property
    def url(self) -> str:
        return (self.folder / "state/nats.url").read_text("utf-8").strip()

    async def listen(self) -> None:
        self._guest = Guest(self.folder / "state", self.url)
        self._bus = await self._guest.connect()

        def on_event(message: Any) -> None:
            self.events.append(json.loads(message.data))
            self._stirred.set()

        await self._bus.subscribe("rollcall.v1.evt.>", on_event)
        await self._bus.flush()

    async def ask(self, command: str, **body: Any) -> dict[str, Any]:
        """Ask as an operator, until it answers."""
        assert self._bus is not None
        data = json.dumps({**body, "command_id": str(uuid.uuid4())}).encode()
        with anyio.fail_after(START_S):
            while True:
                try:
                    reply = await self._bus.request(
                        f"rollcall.v1.cmd.{command}.{OPERATOR}", data, timeout_s=2
                    )
                except BusError:
                    await anyio.lowlevel.checkpoint()
                    continue
                assert "Nats-Service-Error-Code" not in reply.headers, reply.data
                answer: dict[str, Any] = json.loads(reply.data)
                return answer

    async def admit(self, agent: str) -> dict[str, str]:
        """Give an agent credentials, and return its environment."""
        assert self._bus is not None
        return self.env | {"NATS_CREDS": await self._guest.admit(self._bus, "agent", agent)}

    async def happened(self, event: str, times: int = 1) -> None:
        """Wait until the event has been told of as many assignments."""
        with anyio.fail_after(START_S):
            while len(self._told(event)) < times:
                self._stirred = anyio.Event()
                await self._stirred.wait()

    async def said(self, event: str, *agents: str) -> None:
        """Wait until the event has been told of all of these agents."""
        with anyio.fail_after(START_S):
            while set(agents) - {told["id"] for told in self.events if told["event"] == event}:
                self._stirred = anyio.Event()
                await self._stirred.wait()

    def _told(self, event: str) -> set[str]:
        ours = (told for told in self.events if told["aggregate"] == "assignment")
        return {told["id"] for told in ours if told["event"] == event}

    def logs(self) -> dict[str, str]:
        return {path.name: path.read_text("utf-8")[-2_000:] for path in self.folder.glob("*.log")}

    async def close(self) -> None:
        if self._bus is not None:
            await self._bus.drain()
        await self.processes.stop_all(timeout_s=STOP_S)  # what is measured writes that down at its end


@asynccontextmanager
async def upright(folder: Path, scale: float = 1.0) -> AsyncIterator[Upright]:
    """Run it for the length of the block."""
    running = Upright(folder, scale)
    with own_port(folder / "state"):
        try:
            await running.start()
            await running.listen()
            yield running
        finally:
            await running.close()
            print(running.logs())
