"""Three hours without services, the bus up: what ten thousand overdue promises cost when they are back."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
from msgspec import Struct

from domain.timers import Timers
from tests.simulation.client import Client
from tests.simulation.fate import DrawnFate
from tests.simulation.history import History
from tests.simulation.house import SimHouse
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.net import Net, SimClock
from tests.simulation.plan import ALL, Faults, Plan

IMPORTED = 200
CAPACITY = 20
DOWN_S = 3 * 3_600
PATIENCE_S = 600
_OVERDUE = "SELECT count(*) FROM assignments WHERE ended_at IS NULL AND deadline_at <= ?"
_WAITING = "SELECT count(*) FROM assignments WHERE ping_at <= ?"


class Back(Struct, kw_only=True):
    """What happened after the services were back."""

    overdue: int
    seconds: float  # of virtual time until nothing was overdue and every ping was sent
    steps: int
    steps_each_max: int  # of one assignment
    pings_each_max: int
    pings_per_s_max: int


def outage(folder: Path, promises: int) -> Back:
    """Let so many promises fall due while no service lives, and tell what came of it."""
    found: list[Back] = []

    async def main(loop: VirtualLoop) -> None:
        found.append(await _live(loop, folder / "rollcall.db", promises))

    run(main)
    return found[0]


async def _live(loop: VirtualLoop, path: Path, promises: int) -> Back:
    clock, calm = SimClock(loop), DrawnFate(_CALM, random.Random(1))
    net = Net(clock, calm, random.Random(1))
    house = SimHouse(
        "house", ALL, path=path, net=net, clock=clock, fate=calm, timers=Timers(), dice=random.Random(1)
    )
    house.start(loop)
    operator = Client("op", await net.connect("op"), clock, History(), random.Random(1))
    await _fill(operator, path, promises)
    house.kill()
    await anyio.sleep(DOWN_S)
    overdue = _one(path, _OVERDUE, clock.now())
    back_at, before = clock.now(), _one(path, "SELECT count(*) FROM escalation_steps")
    house.start(loop)
    await _until(lambda: not (_one(path, _OVERDUE, clock.now()) or _one(path, _WAITING, clock.now())))
    most = "SELECT max(n) FROM (SELECT count(*) AS n FROM {} WHERE {} >= ? GROUP BY {})"
    return Back(
        overdue=overdue,
        seconds=(clock.now() - back_at) / 1e6,
        steps=_one(path, "SELECT count(*) FROM escalation_steps") - before,
        steps_each_max=_one(path, most.format("escalation_steps", "at", "assignment_id"), back_at),
        pings_each_max=_one(path, most.format("pings", "sent_at", "assignment_id"), back_at),
        pings_per_s_max=_one(path, most.format("pings", "sent_at", "sent_at / 1000000"), back_at),
    )


async def _fill(operator: Client, path: Path, promises: int) -> None:
    for number in range(-(-promises // CAPACITY)):
        body: dict[str, Any] = {"name": f"a{number}", "capacity": CAPACITY, "beats": "none"}
        await operator.ask("cmd.monitor.agent-add.op", "register", 0, body)
    for first in range(0, promises, IMPORTED):
        tasks = [{"title": f"task {first + number}"} for number in range(IMPORTED)]
        await operator.ask("cmd.assigner.task-import.op", "import", 0, {"tasks": tasks})
    await _until(lambda: _one(path, "SELECT count(*) FROM pings") >= promises)


async def _until(done: Callable[[], bool]) -> None:
    """Look once a second of virtual time."""
    for _ in range(PATIENCE_S):
        if done():
            return
        await anyio.sleep(1.0)
    raise TimeoutError(f"not in {PATIENCE_S} s")


def _one(path: Path, query: str, *params: object) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute(query, params).fetchone()[0] or 0)


_CALM = Plan(
    seed=0,
    processes=(ALL,),
    fleet=(),
    steps=("main",),
    tasks_per_s=0.0,
    aligned=True,
    shuffled=False,
    safety_s=0.0,
    faults=Faults(),
    timers=Timers(),
)
