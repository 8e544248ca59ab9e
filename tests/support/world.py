"""A small world on a real bus and a real store, with a clock in the test's hand.

`await world.forward(minutes=30)` moves time from one due instant to the next, and waits at each until all
that became due has been done, committed, published and heard: no test sleeps. Asserted is what a plain
subscriber heard, what an operator is shown, and what stands in the file.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
from msgspec import Struct

from bus.api import BusError, Incoming
from bus.nats import NatsBus
from contracts.views import AssignmentView
from domain.timers import Timers
from tests.support.asking import Asking, Refused
from tests.support.cable import Cable, cable
from tests.support.house import ROOT, START, HandClock, House, Services, all_services
from tests.support.nats import Server, connected, server, until

__all__ = ["MINUTE", "Refused", "World", "open_world"]

MINUTE = 60_000_000
TICK = 1_000_000
NEVER = 10**17  # a gap that no test reaches: without a word to the contrary the bus is up all the time
DUE = (
    "next_ping_at",
    "next_deadline_at",
    "next_assign_at",
    "next_silent_at",
    "next_silent_machine_at",
    "next_brake_at",
    "next_reminder_at",
)


class Heard(Struct, frozen=True):
    """What a plain subscriber to everything heard, and when."""

    minute: float
    subject: str
    body: dict[str, Any]
    headers: dict[str, str]


class World(Asking):
    """Everything that runs, and what the agents have heard."""

    def __init__(
        self,
        nats: Server,
        line: Cable,
        path: Path,
        clock: HandClock,
        *,
        timers: Timers,
        services: Services,
        gap_us: int,
    ) -> None:
        super().__init__()
        self.nats = nats
        self.cable = line
        self.path = path
        self.clock = clock
        self.began = clock.at
        self.timers = timers
        self.services = services
        self.gap_us = gap_us
        self.ears: NatsBus
        self.bus: NatsBus
        self.heard: list[Heard] = []
        self.houses: list[House] = []

    # running and stopping

    async def start(self, houses: int = 1, *, line: Cable | None = None) -> None:
        """Start so many processes, each with all services, on the common line or one of their own."""
        for number in range(houses):
            house = await House.build(
                f"house-{len(self.houses) + number}",
                self.path,
                (line or self.cable).url,
                self.clock,
                timers=self.timers,
                services=self.services,
                hold_gap_us=self.gap_us,
            )
            await house.start()
            self.houses.append(house)

    async def stop(self) -> None:
        """Stop every process; the bus stays."""
        for house in self.houses:
            await house.stop()
        self.houses.clear()

    async def cut_off(self) -> None:
        """Cut all processes off from the bus; who listens still hears it."""
        await self.cable.cut()
        await until(lambda: not any(house.bus.connected for house in self.houses))

    async def start_bus_anew(self) -> None:
        """Kill the bus and start it again with what it had stored."""
        await self.nats.kill()
        await self.nats.start()
        await until(lambda: self.ears.connected and self.bus.connected)
        await self.ears.flush()

    async def join_again(self) -> None:
        """Let the processes reach the bus again, and wait until they have."""
        await self.cable.join()
        await until(lambda: all(house.bus.connected for house in self.houses))
        await self.settle()

    @property
    def house(self) -> House:
        return self.houses[0]

    # time

    @property
    def minute(self) -> float:
        """Minutes since the world began."""
        return (self.clock.at - self.began) / MINUTE

    async def forward(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock, doing what becomes due on the way at its time."""
        target = self.clock.at + round((hours * 60 + minutes + seconds / 60) * MINUTE)
        while self.clock.at < target:
            ahead = [at for at in await self._due() if at > self.clock.at]
            self.clock.told = anyio.Event()  # first it is told up to when answers are handled, then judged
            self.live_until(min([target, self.clock.at + self.gap_us * 2 // 3, *ahead]))
            await self.settle()

    def live_until(self, at: int) -> None:
        """Move the clock to an instant that every process lives to see."""
        while self.clock.at < at:
            self.clock.move(min(at, self.clock.at + TICK))
            for house in self.houses:
                house.runtime.pulse.look()

    async def forward_blindly(self, *, minutes: int) -> None:
        """Move the clock though answers lie unhandled: what is due is done, nobody waits for the rest."""
        for _ in range(minutes):
            self.clock.told = anyio.Event()
            self.live_until(self.clock.at + MINUTE)
            await self._tell_the_time()
            for house in self.houses:
                await house.do_what_is_due()

    async def _due(self) -> list[int]:
        if not self.houses:
            return []
        return [at for query in DUE if (at := await self.house.store.due_at(query)) is not None]

    async def settle(self) -> None:
        """Wait until nothing is due, nothing is unpublished, no answer is unhandled, and all was heard."""
        if not self.houses:
            self.clock.told.set()
            return
        with anyio.fail_after(30):
            while not await self._is_settled():
                await anyio.lowlevel.checkpoint()
        await self.hear()

    async def _is_settled(self) -> bool:
        up = self.cable.whole
        if up and (await self.bus.backlog("ROLLCALL_ACKS")).count:
            return False
        await self._tell_the_time()
        did: list[int] = []

        async def work(house: House) -> None:
            did.append(await house.do_what_is_due())

        async with anyio.create_task_group() as group:
            for house in self.houses:
                group.start_soon(work, house)
        return not any(did) and (not up or all(house.idle for house in self.houses))

    async def _tell_the_time(self) -> None:
        for house in self.houses:
            await house.tell_the_time()
        self.clock.told.set()

    async def hear(self) -> None:
        """Wait until everything that was said has been heard."""
        for house in self.houses:
            if house.bus.connected:
                with suppress(BusError):  # it is being cut off
                    await house.bus.flush()  # the mark goes another way, and must not overtake
        mark = f"mark.{next(self._numbers)}"
        await self.bus.publish(f"{ROOT}.{mark}", b"{}")
        await until(lambda: any(heard.subject == mark for heard in reversed(self.heard)))

    def on_message(self, message: Incoming) -> None:
        body = msgspec.json.decode(message.data) if message.data and b"{" in message.data[:1] else {}
        subject = message.subject.removeprefix(f"{ROOT}.")
        self.heard.append(Heard(self.minute, subject, body, dict(message.headers)))

    # what was heard

    def on(self, prefix: str) -> list[Heard]:
        """Return what was heard on the subjects that begin so."""
        return [heard for heard in self.heard if heard.subject.startswith(prefix)]

    def pings(self, agent: str, lease: AssignmentView | int | None = None) -> list[Heard]:
        """Return the pings that a plain subscriber in the agent's place has got."""
        number = lease if isinstance(lease, int) or lease is None else lease.id
        prefix = f"ping.{agent}." if number is None else f"ping.{agent}.{number}"
        return [heard for heard in self.on(prefix) if heard.body["kind"] == "ping"]

    def pinged(self, agent: str, lease: AssignmentView | int | None = None) -> list[float]:
        """Return the minutes at which the agent was pinged."""
        return [heard.minute for heard in self.pings(agent, lease)]

    def events(self, name: str, identity: int | str = "", of: str = "") -> list[dict[str, Any]]:
        """Return the published facts of one kind: about one thing, if it is named."""
        found = {
            heard.headers["ce-id"]: heard.body for heard in self.on("evt.") if heard.body["event"] == name
        }
        return [
            body
            for body in found.values()
            if str(identity) in ("", body["id"]) and of in ("", body["aggregate"])
        ]

    def expect_each_ping_once(self) -> None:
        """No attempt was heard twice, and each that is in the history was heard."""
        pings = (heard.body for heard in self.on("ping.") if heard.body["kind"] == "ping")
        heard = Counter((body["assignment"], body["attempt"]) for body in pings)
        assert heard == Counter(self.rows("SELECT assignment_id, attempt FROM pings"))

    # what stands in the file

    @property
    def incarnation(self) -> str:
        found: str = self.rows("SELECT value FROM meta WHERE key = 'incarnation'")[0][0]
        return found

    def rows(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        """Read the store's file with other eyes than the store's own."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as file:
            return file.execute(query, params).fetchall()


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    start: int = START,
    houses: int = 1,
    timers: Timers | None = None,
    services: Services = all_services,
    gap_us: int = NEVER,
) -> AsyncIterator[World]:
    """Run `houses` processes, each with all services, on a server and a store in `folder`."""
    async with (
        server(folder / "bus") as nats,
        cable(int(nats.address.rpartition(":")[2])) as line,
        connected(nats.url, name="ears") as ears,
    ):
        clock = HandClock(start)
        found = World(
            nats,
            line,
            folder / "rollcall.db",
            clock,
            timers=timers or Timers(),
            services=services,
            gap_us=gap_us,
        )
        found.ears = ears
        await ears.subscribe(f"{ROOT}.>", found.on_message)
        await ears.flush()
        async with connected(nats.url, name="hands") as hands:
            found.bus = hands
            await found.start(houses)
            try:
                yield found
            finally:
                await found.stop()
