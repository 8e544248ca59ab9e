"""What is done to the system: drawn from a seed as a plan, then carried out and counted, not guessed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from random import Random
from typing import Any, Final

from msgspec import Struct, field

from tests.chaos.disks import Disk
from tests.chaos.fleet import FULL, Fleet, Slot, freeze, until
from tests.support.nats import Server

INSIDE: Final = ("write", "commit")
BETWEEN: Final = ("publish", "partly")
ELSEWHERE: Final = ("confirm", "settle", "reply")
WORKERS: Final = ("pinger", "assigner", "escalator")
BUSY: Final = ("pinger", "assigner")  # who comes by every point many times a second
AT: Final[dict[str, tuple[str, ...]]] = {
    "write": WORKERS,
    "commit": WORKERS,
    "publish": WORKERS,
    "partly": WORKERS,
    "confirm": WORKERS,
    "settle": ("pinger",),
    "reply": ("pinger", "assigner"),
}
FREE_S: Final = 120.0
TRIES_MAX: Final = 10
POINT_S: Final = 3.0  # how long to wait until an armed process comes by
FROZEN_S: Final = (3.3, 4.5)
"""Longer than accept-by, progress-by and the hold, and than the bus waits for who has taken an answer."""
FULL_S: Final = 2.0
FULL_MAX_S: Final = 10.0
SHARES: Final = {"server": 0.08, "inside": 0.125, "between": 0.125, "elsewhere": 0.08, "house": 0.02}
HANGS_A_KILL: Final = 0.02  # times that nats-server is stopped: what was sent to it meanwhile happens later
HOUSE_KILLS: Final = 7  # at least, of the services that are all killed at once


class Blow(Struct, frozen=True):
    """One kill of the plan."""

    kind: str  # server, service, house (every service), or the name of a point
    pause_s: float
    nth: int = 1
    down_s: float = 0.0


class Plan(Struct, frozen=True):
    """All that is going to be done, in order."""

    blows: list[Blow]
    freezes: list[tuple[str, float]]  # service, seconds
    hangs: list[float]  # seconds for which nats-server is stopped
    full: list[str]  # store or bus


def draw(seed: int, kills: int, stops: int, full: int, pace_s: float) -> Plan:
    """Draw a plan."""
    rng = Random(f"{seed}:plan")
    counts = {name: max(1, round(share * kills)) for name, share in SHARES.items()}
    kinds = [name for name in ("server", "house") for _ in range(counts[name])]
    for name, points in (("inside", INSIDE), ("between", BETWEEN), ("elsewhere", ELSEWHERE)):
        kinds += [points[number % len(points)] for number in range(counts[name])]
    kinds += ["service"] * (kills - len(kinds) - (HOUSE_KILLS - 1) * counts["house"])
    rng.shuffle(kinds)
    blows = [
        Blow(kind, rng.uniform(0.2, 1.8) * pace_s, rng.randint(1, 12), rng.choice((0.0, 0.2, 0.5, 3.0)))
        for kind in kinds
    ]
    freezes = [(WORKERS[number % len(WORKERS)], rng.uniform(*FROZEN_S)) for number in range(stops)]
    rng.shuffle(freezes)
    hangs = [rng.uniform(*FROZEN_S) for _ in range(max(1, round(HANGS_A_KILL * kills)))]
    return Plan(blows, freezes, hangs, ["store" if number % 2 else "bus" for number in range(full)])


class Counts(Struct):
    """What really happened."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # points that an armed process did not come by
    marks: list[dict[str, Any]] = field(default_factory=list)
    frozen: list[tuple[str, float]] = field(default_factory=list)
    hung: list[float] = field(default_factory=list)  # nats-server
    full: Counter[str] = field(default_factory=Counter)
    outages: int = 0  # times that all services were killed at once


class Killer:
    """Carries out a plan."""

    def __init__(self, plan: Plan, seed: int, fleet: Fleet, server: Server, disks: dict[str, Disk]) -> None:
        self.plan = plan
        self.rng = Random(f"{seed}:killer")
        self.fleet = fleet
        self.server = server
        self.disks = disks
        self.counts = Counts()
        self._server_lock = asyncio.Lock()

    async def run(self) -> None:
        """Do all of it; freezes and full disks go on beside the kills."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._freeze_all())
            group.create_task(self._hang_all())
            group.create_task(self._fill_all())
            for blow in self.plan.blows:
                await asyncio.sleep(blow.pause_s)
                await self._strike(blow)

    async def _strike(self, blow: Blow) -> None:
        if blow.kind == "server":
            await self._kill_server(blow.down_s)
        elif blow.kind == "house":
            await self._kill_all(blow.down_s)
        elif blow.kind == "service":
            slot = await self._free_slot()
            if await self.fleet.kill(slot):
                self.counts.kills[f"service:{slot.service}"] += 1
            slot.busy = False
        else:
            await self._kill_at(blow)

    async def _kill_all(self, down_s: float) -> None:
        """Kill every service at once; the bus goes on taking answers."""
        self.fleet.open.clear()
        try:
            for slot in self.fleet.free():
                slot.busy = True
                if await self.fleet.kill(slot):
                    self.counts.kills[f"service:{slot.service}"] += 1
                slot.busy = False
            self.counts.outages += 1
            await asyncio.sleep(down_s)
        finally:
            self.fleet.open.set()

    async def _kill_at(self, blow: Blow) -> None:
        """Try one process after the other until one comes by the point."""
        for _ in range(TRIES_MAX):
            slot = await self._free_slot(*AT[blow.kind])
            try:
                nth = blow.nth if slot.service in BUSY else 1
                mark = await self.fleet.kill_at(slot, blow.kind, nth, POINT_S)
                if mark is not None:
                    self.counts.kills[f"point:{blow.kind}"] += 1
                    self.counts.marks.append(mark)
                    return
                self.counts.missed[blow.kind] += 1
                if slot.ready.is_set() and await self.fleet.kill(slot):  # it must not fire some time later
                    self.counts.kills[f"service:{slot.service}"] += 1
            finally:
                slot.busy = False

    async def _free_slot(self, *services: str) -> Slot:
        await until(lambda: bool(self.fleet.free(*services)), FREE_S)
        slot = self.rng.choice(self.fleet.free(*services))
        slot.busy = True
        return slot

    async def _kill_server(self, down_s: float) -> None:
        async with self._server_lock:
            await self._restart_server(down_s)

    async def _restart_server(self, down_s: float) -> None:
        await self.server.kill()
        if await self.server.exited() == -signal.SIGKILL:
            self.counts.kills["server"] += 1
        await asyncio.sleep(down_s)
        await self.server.start()

    async def _freeze_all(self) -> None:
        gap = sum(blow.pause_s for blow in self.plan.blows) / (len(self.plan.freezes) + 1)
        for service, seconds in self.plan.freezes:
            await asyncio.sleep(max(0.1, gap - seconds))
            measured = 0.0
            while not measured:
                slot = await self._free_slot(service)
                with contextlib.suppress(ProcessLookupError):
                    measured = await freeze(slot.pid, seconds)
                slot.busy = False
            self.counts.frozen.append((service, measured))

    async def _hang_all(self) -> None:
        gap = sum(blow.pause_s for blow in self.plan.blows) / (len(self.plan.hangs) + 1)
        for seconds in self.plan.hangs:
            await asyncio.sleep(max(0.1, gap - seconds))
            async with self._server_lock:
                if self.server.pid is not None:
                    self.counts.hung.append(await freeze(self.server.pid, seconds))

    async def _fill_all(self) -> None:
        gap = sum(blow.pause_s for blow in self.plan.blows) / (len(self.plan.full) + 1)
        for name in self.plan.full:
            await asyncio.sleep(gap)
            disk = self.disks[name]
            if not disk.own:
                continue
            await (self._fill_store(disk) if name == "store" else self._fill_bus(disk))
            self.counts.full[name] += 1

    async def _fill_store(self, disk: Disk) -> None:
        """Leave no room until somebody was refused: there may be some left in the write-ahead log."""
        before = self.fleet.heard(FULL)
        disk.fill()
        await asyncio.sleep(FULL_S)
        await until(lambda: self.fleet.heard(FULL) > before, FULL_MAX_S, 0.2)
        disk.free()

    async def _fill_bus(self, disk: Disk) -> None:
        """Leave no room for a while; a server whose disk was full writes again after a restart."""
        async with self._server_lock:  # it could not start meanwhile
            disk.fill()
            await asyncio.sleep(FULL_S)
            disk.free()
            await self._restart_server(0.0)

    async def calm(self) -> None:
        """Undo whatever is still being done."""
        for disk in self.disks.values():
            if disk.own:
                disk.free()
        async with self._server_lock:
            await self.server.start()
        for slot in self.fleet.slots:
            if slot.program is not None:
                with contextlib.suppress(ProcessLookupError):
                    slot.program.process.send_signal(signal.SIGCONT)
        await until(lambda: all(slot.ready.is_set() for slot in self.fleet.slots), 60.0)
