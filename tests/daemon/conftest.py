"""What tests of the daemon share: agents that are processes, a machine, and that nothing of them is left."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from contracts.views import AgentView
from rollcall.daemon import procfs
from rollcall.daemon.journal import Entry
from tests.support.cable import Cable, cable
from tests.support.nats import until as sooner_or_later
from tests.support.processes import Program, start
from tests.support.world import World, open_world

CHILD = str(Path(__file__).with_name("child.py"))
MARK = "DAEMON_TEST_MARK"
QUICK = {"pause": "50ms", "steady": "50ms"}


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, giving way between two looks."""
    with anyio.fail_after(20):
        while not condition():
            await anyio.lowlevel.checkpoint()


def child(*words: str) -> list[str]:
    """Return the command of an agent that does as it is told."""
    return [sys.executable, CHILD, *words]


def alive(pid: int) -> bool:
    return procfs.identity(pid) is not None


class Box:
    """One machine: its file, and the daemon that runs now."""

    def __init__(self, world: World, line: Cable, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.home = folder / "machines/box"
        self.url = line.url
        self.cable = line
        self.machine: dict[str, Any] = {"name": "box", "beat": "1h"}  # the world's time stands still
        self.agents: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, str] = {}
        self.program: Program | None = None

    async def agent(self, name: str, *words: str, **more: Any) -> None:
        """Register an agent, and define how it is run."""
        await self.world.agent(name, beats="required")
        self.define(name, *words, **more)

    def define(self, name: str, *words: str, **more: Any) -> None:
        self.agents[name] = {"name": name, "command": child(*words), "restart": QUICK, "stop": "5s", **more}

    async def once(self, name: str, flag: Path) -> None:
        """Define an agent that lives only if nobody lived here before, and else dies at once."""
        restart = {"pause": "50ms", "steady": "2s"}
        command = ["sh", "-c", f"mkdir {flag} 2>/dev/null || exit 3; exec sleep 1d"]
        await self.agent(name, command=command, restart=restart)

    async def start(self, *, wait: bool = True) -> Program:
        """Start the daemon with what is defined now."""
        body = {"machine": self.machine, "agent": list(self.agents.values())}
        path = self.folder / "daemon.json"
        path.write_bytes(msgspec.json.encode(body))
        settings = {"nats.url": self.url, **self.settings}
        self.program = await start(
            "-m", "rollcall", "daemon", str(path), state=self.folder, settings=settings
        )
        if wait:
            await self.program.ready()
        return self.program

    async def kill(self) -> None:
        """End the daemon as a crash does; its agents live on."""
        assert self.program is not None
        self.program.process.kill()
        assert await self.program.ended() == -signal.SIGKILL

    async def is_told(self, name: str, status: str, **more: Any) -> AgentView:
        """Wait until an operator is shown this status, and return all that is shown."""

        async def shown() -> bool:
            view = await self.world.who(name)
            return view.status == status and all(getattr(view, key) == value for key, value in more.items())

        await sooner_or_later(shown)
        return await self.world.who(name)

    async def pid(self, name: str) -> int:
        """Wait until an agent is there and says so itself, and return its process."""
        if self.agents[name]["command"][0] == sys.executable:
            await self.speaks(name)
        found = (await self.is_told(name, "ready")).pid
        assert found is not None
        assert alive(found)
        return found

    async def speaks(self, name: str) -> list[str]:
        """Wait until an agent is ready by its own word, and return its words."""
        path = self.home / "logs" / f"{name}.log"
        await until(lambda: path.exists() and "ready" in path.read_text())
        return path.read_text().split()

    def said(self, name: str) -> str:
        """Return what an agent has written."""
        return (self.home / "logs" / f"{name}.log").read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what the daemon has logged under this name."""
        assert self.program is not None
        lines = [msgspec.json.decode(line) for line in self.program.said if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    @property
    def journal(self) -> dict[str, Entry]:
        return msgspec.json.decode((self.home / "journal.json").read_bytes(), type=dict[str, Entry])

    async def told(self, event: str, key: str, name: str = "a1") -> list[str]:
        """Return what was said in all events of this kind about an agent, in their order."""
        await self.world.settle()
        return [event["data"][key] for event in self.world.events(event, name)]


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Return the environment of every process of a test; what carries its mark at the end is an orphan."""
    mark = secrets.token_hex(8)
    monkeypatch.setenv(MARK, mark)
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    yield {"PATH": os.environ["PATH"], MARK: mark, **coverage}
    left = procfs.leaders_with(MARK, mark)
    for leader in left:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    assert not left, f"groups {left} were left behind"


@pytest.fixture
async def world(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[World]:
    async with open_world(tmp_path / "world") as found:
        yield found


@pytest.fixture
async def box(world: World, tmp_path: Path) -> AsyncIterator[Box]:
    async with cable(int(world.nats.address.rpartition(":")[2])) as line:
        made = Box(world, line, tmp_path / "box")
        made.folder.mkdir()
        yield made
        if made.program is not None and made.program.process.returncode is None:
            await made.program.stop()
