"""A process of the system inside the simulator: real services, a real store, and a death at any step."""

from __future__ import annotations

import asyncio
import contextvars
import random
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import anyio

from bus import streams
from bus.actor import Ports, Runtime
from bus.api import Bus, BusError, BusUnavailable, Outgoing, Refused
from bus.memory import MemoryBus
from bus.service import Service
from contracts.work import StoreFaultError
from domain.timers import Timers
from rollcall.settings import Limits
from services.assigner import Assigner
from services.cleanup import Cleanup
from services.escalator import Escalator
from services.monitor import Monitor
from services.pinger import Pinger
from services.relay import Relay
from store.connection import Setup
from store.open import open_store
from store.sqlite import SqliteStore
from tests.simulation.loop import PROCESS, Process, VirtualLoop
from tests.simulation.plan import GAP_S
from tests.support.inline import InlineLink, connected

if TYPE_CHECKING:
    from tests.simulation.net import Net, SimClock

T = TypeVar("T")
ROOT = "rollcall.v1"
TOPOLOGY = streams.topology(ROOT)
Moment = Literal["step", "committed", "before_publish", "published"]


class Fate(Protocol):
    """Decides what befalls a process, and looks on."""

    def dies(self, house: SimHouse, moment: Moment) -> bool:
        """Tell whether the process dies at this moment."""
        ...

    def stopped_s(self) -> float:
        """Return for how many seconds the process is stopped with a batch in hand; 0: it is not."""
        ...

    def store_fails(self) -> bool:
        """Tell whether a transaction fails."""
        ...

    def committed(self, house: SimHouse, connection: sqlite3.Connection) -> None:
        """Look at the file after a commit."""
        ...


def services(names: Sequence[str], timers: Timers) -> list[Service]:
    """Return the services of these names."""
    known: dict[str, Callable[[], Service]] = {
        "assigner": lambda: Assigner(timers=timers),
        "pinger": lambda: Pinger(timers=timers, pings_per_second=Limits().pings_per_second),
        "escalator": lambda: Escalator(timers=timers, steps_per_second=Limits().steps_per_second),
        "monitor": lambda: Monitor(timers=timers),
        "cleanup": Cleanup,
        "relay": Relay,
    }
    return [known[name]() for name in names]


class SimHouse:
    """One process: begun, killed, stopped, and begun again."""

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        *,
        path: Path,
        net: Net,
        clock: SimClock,
        fate: Fate,
        timers: Timers,
        dice: random.Random,
    ) -> None:
        """Name it; nothing runs yet."""
        self.name = name
        self.names = names
        self.path = path
        self.net = net
        self.clock = clock
        self.fate = fate
        self.timers = timers
        self.dice = dice
        self.life = 0
        self.process = Process(name)
        self.process.state = "dead"
        self.store: SqliteStore | None = None
        self.ended_badly: Exception | None = None

    @property
    def alive(self) -> bool:
        return self.process.state == "alive"

    def start(self, loop: VirtualLoop) -> None:
        """Begin a new life; the file and the bus are as the last one left them."""
        self.life += 1
        self.process = Process(f"{self.name}.{self.life}")
        self.process.on_step = self._step
        context = contextvars.copy_context()
        context.run(PROCESS.set, self.process)
        loop.create_task(self._live(), context=context)

    def _step(self) -> None:
        if self.fate.dies(self, "step"):
            self.kill()

    def kill(self) -> None:
        """End it as `kill -9` does: no step more, what was not committed is gone."""
        if self.process.state == "dead":
            return
        self.process.state = "dead"
        self.net.abandon(self.process.name)
        if self.store is not None:
            self.store.abandon()
            self.store = None

    async def moment(self, name: Moment) -> None:
        """Go on, or die here: whoever waits for this never hears of it."""
        if self.fate.dies(self, name):
            self.kill()
            await asyncio.get_running_loop().create_future()

    async def held_up(self) -> None:
        """Go on, or stand still here for a while, as after SIGSTOP."""
        if (length_s := self.fate.stopped_s()) and self.alive:
            loop, process = asyncio.get_running_loop(), self.process
            assert isinstance(loop, VirtualLoop)
            process.state = "stopped"
            nobody = contextvars.Context()  # who lets it go on is none of its own steps
            loop.call_later(length_s, _go_on, process, loop, context=nobody)
            await asyncio.sleep(0)

    async def _live(self) -> None:
        try:
            await self._work()
        except* (BusError, StoreFaultError):
            pass  # it could not begin; whoever keeps processes running starts it again
        except* Exception as errors:  # noqa: BLE001 - a process that ends by itself is a finding
            self.ended_badly = errors
        finally:
            self.kill()  # what is open closes with the process

    async def _connected(self) -> MemoryBus:
        """Knock until the bus is there, as a service's supervisor does."""
        while True:
            try:
                return await self.net.connect(self.process.name)
            except BusUnavailable:
                await anyio.sleep(0.5)

    async def _work(self) -> None:
        self.store = store = await open_store(
            self.path,
            durability="relaxed",
            now=self.clock.now(),
            main_timeout_us=self.timers.accept_main_us,
            rng=self.dice,
            open_link=partial(SimLink.begin, self),
        )
        raw = await self._connected()
        bus = cast("Bus", SimBus(self, raw))
        ports = Ports(
            bus=bus,
            ledger=store,
            clock=self.clock,
            root=ROOT,
            streams=TOPOLOGY.name,
            ensure=lambda: raw.ready(TOPOLOGY),
            process=self.process.name,
            version="0.0.0",
            hold_gap_us=round(GAP_S * 1e6),
        )
        await Runtime(services(self.names, self.timers), ports).run(anyio.Event())


def _go_on(process: Process, loop: VirtualLoop) -> None:
    if process.state == "stopped":
        process.go_on(loop)


class SimLink(InlineLink):
    """A connection to the store at which the process may die, and which may fail."""

    house: SimHouse

    @classmethod
    async def begin(cls, house: SimHouse, path: Path, setup: Setup) -> SimLink:
        """Open the file and make it ready."""
        await asyncio.sleep(0)
        link = cls(connected(path, setup))
        link.house = house
        return link

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give way, then do it, or fail, or die before or after."""
        await asyncio.sleep(0)
        if self.house.fate.store_fails():
            raise StoreFaultError("disk I/O error")
        before = self.connection.total_changes
        done = work(self.connection)
        if self.connection.total_changes != before:
            self.house.fate.committed(self.house, self.connection)
            await self.house.moment("committed")
        return done


class SimBus:
    """A connection to the bus at which the process may die; else what it wraps."""

    def __init__(self, house: SimHouse, bus: Bus) -> None:
        """Wrap a connection."""
        self._house = house
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        """Be the connection in everything else."""
        return getattr(self._bus, name)

    async def publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 2.0
    ) -> list[Refused]:
        """Publish, and stop or die before, or die after it is stored and before anybody was told."""
        await self._house.held_up()
        await self._house.moment("before_publish")
        refused = await self._bus.publish_batch(items, stream=stream, timeout_s=timeout_s)
        await self._house.moment("published")
        return refused
