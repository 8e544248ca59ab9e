"""One schedule from its seed to its verdict: a rough time, a quiet end, and a look at what is left."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio
import structlog
from msgspec import Struct

from tests.simulation.agents import Agent
from tests.simulation.checks import breaches
from tests.simulation.counts import moments
from tests.simulation.evidence import Evidence
from tests.simulation.fate import DrawnFate
from tests.simulation.history import History
from tests.simulation.house import SimHouse
from tests.simulation.loop import PROCESS, Process, VirtualLoop, run
from tests.simulation.net import Net, SimClock
from tests.simulation.operator import Operator
from tests.simulation.plan import STOPS_S, Plan, plan

AGAIN_ODDS: Final = 0.2  # twice a second: a dead process is started again after about 2.5 s
QUIET_S: Final = 100.0  # three waits for an ack of the bus, each of which may be what holds up the next
CALM_FOLDER: Final = Path("/dev/shm")


class Verdict(Struct, kw_only=True):
    """What came of a schedule."""

    seed: int
    told: str
    breaches: list[str]
    moments: dict[str, int]
    digest: str  # of all that was stored and heard: equal for equal runs
    tasks: int
    answers: int

    def checks(self) -> list[str]:
        """Name the checks that failed, or `ended` if it did not come to its end."""
        return sorted({breach.partition(":")[0] for breach in self.breaches})


class World:
    """Everything that runs in one schedule."""

    def __init__(self, loop: VirtualLoop, drawn: Plan, folder: Path) -> None:
        """Build it from its plan; nothing runs yet."""
        self.loop = loop
        self.plan = drawn
        self.path = folder / "rollcall.db"
        self.dice = random.Random(f"world {drawn.seed}")
        self.clock = SimClock(loop)
        self.fate = DrawnFate(drawn, random.Random(f"fate {drawn.seed}"))
        self.net = Net(self.clock, self.fate, random.Random(f"net {drawn.seed}"))
        self.history = History()
        self.outages: list[tuple[int, int]] = []  # of all services at once, with the bus up
        self.bus_outages: list[tuple[int, int]] = []
        self.stops: list[float] = []
        self._kept: list[asyncio.Task[None]] = []
        self.houses = [
            SimHouse(
                f"house{number}",
                names,
                path=self.path,
                net=self.net,
                clock=self.clock,
                fate=self.fate,
                timers=drawn.timers,
                dice=random.Random(f"store {drawn.seed} {number}"),
            )
            for number, names in enumerate(drawn.processes)
        ]
        self.agents: list[Agent] = []

    async def live(self) -> None:
        """Live through the rough time, then through the quiet one."""
        for house in self.houses:
            house.start(self.loop)
            if not self.plan.aligned:
                await anyio.sleep(self.dice.random())
        self._spawn("keeper", self._start_again)
        operator = Operator("op", await self.net.connect("op"), self.clock, self.history, self._dice("op"))
        with anyio.fail_after(120):
            await operator.begin(self.plan)
        for who in self.plan.fleet:
            bus = await self.net.connect(who.name)
            agent = Agent(who, bus, self.clock, self.history, self._dice(who.name))
            self.agents.append(agent)
            self._spawn(who.name, agent.live)
        self.fate.rough = True
        working = self._spawn("op", lambda: operator.work(self.plan))
        saying = self._spawn("op", lambda: operator.say(self.plan))
        with anyio.move_on_after(self.plan.safety_s):
            async with anyio.create_task_group() as group:
                for trouble in (
                    self._stop_some,
                    self._all_down,
                    self._bus_down,
                    self._cut,
                    self._lose,
                    self._rewind,
                ):
                    group.start_soon(trouble)
        working.state = saying.state = "dead"
        await self._calm_down()
        again = Operator("op", await self.net.connect("op"), self.clock, self.history, self._dice("again"))
        await again.let_go(self.plan)
        await anyio.sleep(QUIET_S)

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{name} {self.plan.seed}")

    def _spawn(self, name: str, main: Callable[[], Awaitable[None]]) -> Process:
        process = Process(name)
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)

        async def live() -> None:
            await main()

        self._kept.append(self.loop.create_task(live(), context=context))
        return process

    async def _calm_down(self) -> None:
        """End all faults, and bring back whoever is away."""
        self.fate.rough = False
        self._bus_up()
        for house in self.houses:
            self.net.join(house.process.name)
            if house.process.state == "stopped":
                house.process.go_on(self.loop)
            if not house.alive:
                house.start(self.loop)
        for agent in self.agents:
            agent.mended = True

    # troubles, each at its own rate

    async def _every(self, rate: float) -> None:
        await anyio.sleep(self.dice.expovariate(rate) if rate > 0 else 1e6)

    async def _start_again(self) -> None:
        """Start whoever died, sooner or later."""
        while True:
            await anyio.sleep(0.5)
            for house in self.houses:
                if house.process.state == "dead" and (self.dice.random() < AGAIN_ODDS or not self.fate.rough):
                    house.start(self.loop)

    async def _stop_some(self) -> None:
        while True:
            await self._every(self.plan.faults.stopped * len(self.houses))
            house = self.dice.choice(self.houses)
            if house.alive:
                self.loop.create_task(self._stop(house, self.dice.choice(STOPS_S)))

    async def _stop(self, house: SimHouse, length_s: float) -> None:
        stopped = house.process
        stopped.state = "stopped"
        self.stops.append(length_s)
        await anyio.sleep(length_s)
        if stopped.state == "stopped":
            stopped.go_on(self.loop)

    async def _all_down(self) -> None:
        while True:
            await self._every(self.plan.faults.all_down)
            began = self.clock.now()
            until = self.loop.time() + self.dice.uniform(4, 50)
            while self.loop.time() < until:
                for house in self.houses:
                    house.kill()
                await anyio.sleep(0.1)
            self.outages.append((began, self.clock.now()))

    async def _bus_down(self) -> None:
        while True:
            await self._every(self.plan.faults.bus_down)
            self.net.down()
            self.fate.counts["bus down"] += 1
            began = self.clock.now()
            self.bus_outages.append((began, began + round(self.plan.safety_s * 1e6)))
            await anyio.sleep(self.dice.uniform(0.5, 20))
            self._bus_up(put_back=self.dice.choice((0, 0, 3, 20)))

    def _bus_up(self, *, put_back: int = 0) -> None:
        """Start the server, and note how long it was down."""
        if not self.net.server.up:
            self.net.up(put_back=put_back)
            self.bus_outages[-1] = (self.bus_outages[-1][0], self.clock.now())

    async def _cut(self) -> None:
        while True:
            await self._every(self.plan.faults.cut_off)
            name = self.dice.choice(self.houses).process.name
            self.net.cut(name)
            self.fate.counts["cut off"] += 1
            await anyio.sleep(self.dice.uniform(0.5, 15))
            self.net.join(name)

    async def _lose(self) -> None:
        while True:
            await self._every(self.plan.faults.stream_lost)
            self.fate.counts["bus refilled from the store"] += self.net.lose("ROLLCALL_EVENTS")

    async def _rewind(self) -> None:
        while True:
            await self._every(self.plan.faults.redelivered)
            self.fate.counts["delivered twice"] += self.net.repeat("ROLLCALL_ACKS", "answers")


def simulate(seed: int, *, drawn: Plan | None = None, level: int = logging.CRITICAL) -> Verdict:
    """Run the schedule of a seed in virtual time, and judge it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    drawn = plan(seed) if drawn is None else drawn
    memory = CALM_FOLDER if CALM_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="rollcall-sim-") as folder:
        worlds: list[World] = []

        async def main(loop: VirtualLoop) -> None:
            worlds.append(World(loop, drawn, Path(folder)))
            await worlds[0].live()

        run(main, random.Random(f"order {seed}") if drawn.shuffled else None)
        return _judge(worlds[0])


def _judge(world: World) -> Verdict:
    notes = [*world.fate.breaches, *world.net.raised]
    notes += [
        f"{house.name} ended by itself: {house.ended_badly!r}" for house in world.houses if house.ended_badly
    ]
    seen = Evidence(
        world.path,
        history=world.history,
        stored=world.net.stored,
        standing={short: world.net.standing(short) for short in ("PINGS", "EVENTS", "ACKS")},
        now=world.clock.now(),
        timers=world.plan.timers,
        outages=world.bus_outages,
        notes=notes,
    )
    world.fate.counts["redelivered after an ack"] += world.net.again
    digest = hashlib.sha256()
    for message in world.net.stored:
        digest.update(f"{message.at_us} {message.subject} {message.message_id}\n".encode())
    counts: Counter[str] = world.fate.counts + moments(seen, outages=world.outages, stops=world.stops)
    return Verdict(
        seed=world.plan.seed,
        told=world.plan.told(),
        breaches=breaches(seen),
        moments=dict(sorted(counts.items())),
        digest=digest.hexdigest()[:16],
        tasks=len(seen.tables["tasks"]),
        answers=len(world.history.said),
    )
