"""The play from beginning to end: start everything, watch, stop everything, look at the evidence."""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bus.api import BusUnavailable, Incoming, NoResponders
from bus.nats import NatsBus
from rollcall.demo.fleet import fleet
from rollcall.demo.guest import OPERATOR, Guest
from rollcall.demo.processes import Ended, Processes, environment
from rollcall.demo.screen import Screen
from rollcall.demo.summary import Summary

ROOT: Final = "rollcall.v1"
START_S: Final = 20.0
STOP_S: Final = 20.0
JOIN_S: Final = 15.0
POLL_S: Final = 0.1
THINKS_S: Final = 600.0  # in the time of promises: long enough to see who has not answered yet
STAYS_S: Final = 60.0  # from the beginning, for whoever has opened the dashboard
SESSION: Final = "rcl_session_"


class Stage:
    """One run of the demonstration in a folder of its own."""

    def __init__(self, folder: Path, examples: Path, *, main_agent: str, scale: float) -> None:
        self.folder = folder
        self.examples = examples
        self.players = fleet(examples, main_agent, THINKS_S * scale)
        self.main_agent = main_agent
        self.scale = scale
        self.env = environment(folder, scale)
        self.processes = Processes(folder)
        backlog = (examples / "backlog.jsonl").read_text("utf-8")
        self.tasks: list[dict[str, Any]] = [json.loads(line) for line in backlog.splitlines()]
        self.screen = Screen(len(self.tasks))
        self.stays_s = STAYS_S
        self.opened = False  # whether somebody has followed the link into the dashboard

    async def run(self, seconds: float, plant: str | None) -> int:
        """Play, and return 0 if every promise was kept."""
        ends = time.monotonic() + min(seconds, self.stays_s)
        try:
            async with asyncio.timeout(seconds):
                await self._play()
            await self._stay(ends - time.monotonic())
        except TimeoutError:
            self.screen.say("the time is up")
        except Ended as error:
            self.screen.say(str(error))
        finally:
            await self._stop()
        return self._judge(plant)

    @property
    def silent(self) -> list[str]:
        """Those who never finish anything."""
        return [player.name for player in self.players if not player.finishes]

    def _open(self) -> None:
        half_hour = 30 * 60 * self.scale
        self.screen.say(
            f"{len(self.tasks)} tasks of a real backlog, {len(self.players)} agents, one bus, one store. "
            f"Half an hour of promises takes {half_hour:.0f} s here."
        )
        self.screen.say()
        for player in self.players:
            self.screen.say(f"  {player.name:<8} {player.about}")
        self.screen.say()
        self.screen.legend()

    async def _play(self) -> None:
        bus = await self._raise()
        self._open()
        try:
            await bus.request("$SRV.PING", b"", timeout_s=START_S)
            await self._cast(bus)
            await bus.subscribe(f"{ROOT}.evt.>", self._on_event)
            await bus.subscribe(f"{ROOT}.ping.*.*", self._on_ping)
            await bus.flush()
            created = await self._ask(bus, "assigner.task-import", {"tasks": self.tasks})
            pairs = zip(created["created"], self.tasks, strict=True)
            self.screen.begin({task: (spec["key"], spec["title"]) for task, spec in pairs})
            await self.screen.all_done.wait()
            tokens = (await self._ask(bus, "monitor.token-ls", {}))["items"]
            self.opened = any(token["prefix"].startswith(SESSION) for token in tokens)
        finally:
            await bus.drain()

    async def _stay(self, left_s: float) -> None:
        """Let whoever looks at the dashboard look on; where nobody does, end at once."""
        if not self.opened or left_s <= 0:
            return
        self.screen.say(f"all is done; the dashboard stays for {left_s:.0f} s more, as somebody looks at it")
        await asyncio.sleep(left_s)

    async def _raise(self) -> NatsBus:
        """Start the bus and all services, and the recording."""
        await self.processes.start("up", (sys.executable, "-m", "rollcall", "up"), self.env)
        ready = await self.processes.until_says("up", "ready", START_S)
        await self.processes.until_says("up", "http:", START_S)
        await self.processes.start("link", (sys.executable, "-m", "rollcall", "dashboard"), self.env)
        link = (await self.processes.until_says("link", "link ", START_S)).split()[-1]
        self.screen.say(f"dashboard: {link} (works once, for 10 minutes)")
        self.screen.say(ready)
        url = (self.folder / "state/nats.url").read_text("utf-8").strip()
        self.env["NATS_URL"] = url
        guest = Guest(self.folder / "state", url)
        bus = await guest.connect()
        record = (sys.executable, str(self.examples / "record.py"), str(self.folder / "recording.jsonl"))
        recorder = await guest.admit(bus, "admin", "recorder")
        await self.processes.start("record", record, self.env | {"NATS_CREDS": recorder})
        await self.processes.until_says("record", "recording", START_S)
        self.guest = guest
        return bus

    async def _cast(self, bus: NatsBus) -> None:
        """Register the agents, start them, and wait until all are there."""
        for player in self.players:
            if player.name == self.main_agent:
                continue  # it was made with the store
            agent = {name: getattr(player, name) for name in ("name", "capabilities", "capacity", "beats")}
            await self._ask(bus, "monitor.agent-add", agent)
        for player in self.players:
            env = self.env | {"NATS_CREDS": await self.guest.admit(bus, "agent", player.name)}
            await self.processes.start(player.name, (*player.command, player.name, *player.more), env)
        async with asyncio.timeout(JOIN_S):
            while absent := await self._absent(bus):
                self.processes.check(*absent)
                await asyncio.sleep(POLL_S)

    async def _absent(self, bus: NatsBus) -> set[str]:
        agents = (await self._ask(bus, "monitor.agent-ls", {}))["items"]
        joined = {agent["name"] for agent in agents if agent["joined_at"] or agent["beats"] == "none"}
        return {player.name for player in self.players} - joined

    def _on_event(self, message: Incoming) -> None:
        self.screen.event(message.data)

    def _on_ping(self, message: Incoming) -> None:
        self.screen.ping(message.data)

    async def _ask(self, bus: NatsBus, command: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask as an operator, until somebody answers."""
        query = command.endswith("-ls")
        data = json.dumps(body if query else body | {"command_id": str(uuid.uuid4())}).encode()
        while True:
            try:
                reply = await bus.request(f"{ROOT}.cmd.{command}.{OPERATOR}", data, timeout_s=5)
            except (BusUnavailable, NoResponders):
                await asyncio.sleep(POLL_S)
                continue
            if "Nats-Service-Error-Code" in reply.headers:
                raise RuntimeError(f"{command}: {reply.data.decode()}")
            answer: dict[str, Any] = json.loads(reply.data)
            return answer

    async def _stop(self) -> None:
        """Let the agents leave, then the services, then whoever wrote it all down."""
        self.screen.say()
        agents = [player.name for player in self.players]
        await self.processes.stop(*agents, number=signal.SIGINT)
        await self.processes.stop("up", timeout_s=STOP_S)
        await self.processes.stop("record", timeout_s=STOP_S)
        await self.processes.stop_all()

    def _judge(self, plant: str | None) -> int:
        store, recording = self.folder / "store.db", self.folder / "recording.jsonl"
        original = self.folder / "state/rollcall.db"
        if not (original.exists() and recording.exists()):
            self.screen.say("it did not come up")
            return 1
        copy(original, store)
        for line in Summary(store, self.scale).lines(self.silent):
            self.screen.say(line)
        self.screen.say()
        if plant is not None:
            shutil.copy(recording, self.folder / "planted.jsonl")
            recording = self.folder / "planted.jsonl"
            self.screen.say(f"planting {plant} in a copy of the evidence")
        return judged(self.examples, store, recording, self.silent, plant)


def copy(store: Path, to: Path) -> None:
    """Copy a store with all that is still in its log."""
    source, target = sqlite3.connect(store), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def judged(examples: Path, store: Path, recording: Path, silent: Sequence[str], plant: str | None) -> int:
    """Ask the checker, which shares no code with us, and return its verdict."""
    sys.stdout.flush()
    if plant is not None:
        planting = [sys.executable, str(examples / "plant_fault.py"), plant, str(store), str(recording)]
        if subprocess.run(planting, check=False).returncode:
            return 1
    evidence = [store, recording, examples / "backlog.jsonl"]
    checking = [sys.executable, str(examples / "check_demo.py"), *map(str, evidence), *silent]
    return subprocess.run(checking, check=False).returncode
