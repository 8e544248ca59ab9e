"""One process of the system inside a test: its own store, connection and runtime, under a shared clock."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import anyio
from msgspec import structs

from bus import streams
from bus.actor import Ports, Runtime
from bus.api import Backlog, Incoming, Outgoing, Refused
from bus.client import connect
from bus.nats import NatsBus
from bus.puller import StandingPuller
from bus.service import Service
from contracts.notifying import Receivers
from contracts.work import StoreFaultError
from domain.addresses import Reach
from domain.timers import Timers
from services.assigner import Assigner
from services.cleanup import Cleanup
from services.courier import Courier
from services.escalator import Escalator
from services.intake import Intake
from services.monitor import Monitor
from services.notifier import Notifier
from services.pinger import Pinger
from services.relay import Relay
from store.open import open_store
from store.sqlite import SqliteStore

START = 1_800_000_000_000_000
ROOT = "rollcall.v1"
Services = Callable[[Timers], Sequence[Service]]
Once = Callable[[], Coroutine[Any, Any, bool]]


def all_services(timers: Timers, reach: Reach | None = None) -> list[Service]:
    reach = reach or Reach()
    return [
        Assigner(timers=timers),
        Pinger(timers=timers),
        Escalator(timers=timers),
        Monitor(timers=timers, reach=reach),
        Cleanup(),
        Relay(),
        Intake(timers=timers),
        Courier(timers=timers, reach=reach),
        Notifier(receivers=Receivers(log=False)),
    ]


class HandClock:
    """Time that moves only when told to; while `told` is not set, nobody looks what became due by it."""

    def __init__(self, at: int = START) -> None:
        self.at = at
        self.told = anyio.Event()
        self.told.set()
        self._stepped = 0
        self._moves = [(0, at)]

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return (self.at - self._stepped) / 1e6

    def step(self, by: int) -> None:
        """Let the wall clock alone step, as when it is set, or when the machine was suspended."""
        self._stepped += by
        self.move(self.at + by)

    def move(self, at: int) -> None:
        self.at = at
        self._moves.append((time.time_ns() // 1_000, at))

    def translated(self, real_us: int) -> int:
        """Return what this clock showed at a real instant: the server's own clock cannot be moved."""
        place = bisect_right(self._moves, real_us, key=lambda move: move[0])
        return self._moves[max(0, place - 1)][1]


class HandPuller(StandingPuller):
    """A puller whose messages were stored at the hand clock's time."""

    clock: HandClock

    async def take(self, batch: int, *, expires_s: float) -> list[Incoming]:
        taken = await super().take(batch, expires_s=expires_s)
        return [structs.replace(message, at_us=self.clock.translated(message.at_us)) for message in taken]


class HandBus(NatsBus):
    """A connection to a real server that tells the hand clock's time."""

    clock: HandClock

    async def pull(self, stream: str, durable: str, *, batch: int) -> HandPuller:
        puller = HandPuller(self.client, stream, durable, batch=batch)
        puller.clock = self.clock
        await puller.start()
        return puller

    async def publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 1.0
    ) -> list[Refused]:
        """Publish with less patience than the usual ten seconds."""
        return await super().publish_batch(items, stream=stream, timeout_s=timeout_s)

    async def backlog(self, stream: str) -> Backlog:
        """Ask the server; an answer from before the clock moved is none, for it would be told as of then."""
        asked_at = self.clock.at
        found = await super().backlog(stream)
        if self.clock.at != asked_at:
            raise StoreFaultError("asked again in a second")
        return structs.replace(found, oldest_at_us=self.clock.translated(found.oldest_at_us))


async def hand_bus(url: str, clock: HandClock, *, name: str) -> HandBus:
    bus = HandBus(await connect(url, name=name, timeout_s=5))
    bus.clock = clock
    await bus.start()
    return bus


def in_turn(once: Once, clock: HandClock) -> Once:
    """Let a duty be done by the test or by its own loop, not by both at once, nor before all are told."""
    turn = anyio.Lock()

    async def one_after_the_other() -> bool:
        async with turn:
            await clock.told.wait()
            return await once()

    return one_after_the_other


class House:
    """A process: started and stopped by the test."""

    def __init__(self, store: SqliteStore, bus: HandBus, runtime: Runtime) -> None:
        self.store = store
        self.bus = bus
        self.runtime = runtime
        self.stopping = anyio.Event()
        self._running: asyncio.Task[None] | None = None

    @classmethod
    async def build(
        cls,
        name: str,
        path: Path,
        url: str,
        clock: HandClock,
        *,
        timers: Timers,
        services: Services,
        hold_gap_us: int,
    ) -> House:
        began = clock.now() - 1  # what a store begins with is there before anybody runs
        store = await open_store(path, durability="relaxed", now=began, main_timeout_us=timers.accept_main_us)
        bus = await hand_bus(url, clock, name=name)
        topology = streams.topology(ROOT)
        ports = Ports(
            bus=bus,
            ledger=store,
            clock=clock,
            root=ROOT,
            streams=topology.name,
            ensure=lambda: streams.ready(bus.client, topology),
            process=name,
            version="0.0.0",
            hold_gap_us=hold_gap_us,
        )
        runtime = Runtime(services(timers), ports)
        for duties in runtime.duties.values():
            for duty in duties:
                duty.once = in_turn(duty.once, clock)  # type: ignore[method-assign]
        return cls(store, bus, runtime)

    async def start(self) -> None:
        ready = anyio.Event()
        self._running = asyncio.create_task(self._run(ready))
        with anyio.fail_after(10):
            await ready.wait()

    async def _run(self, ready: anyio.Event) -> None:
        try:
            await self.runtime.run(self.stopping, ready=ready.set)
        finally:
            await self.bus.drain()
            await self.store.close()

    async def stop(self) -> None:
        """Stop as at SIGTERM, and wait until it has."""
        assert self._running is not None
        self.stopping.set()
        with anyio.fail_after(25):
            await self._running

    async def kill(self) -> None:
        """End it where it stands: nothing more is sent or written."""
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running], timeout=25)

    @property
    def idle(self) -> bool:
        """Whether nothing that was committed waits to be sent."""
        return not len(self.runtime.outbox) and not self.runtime.casts.waiting

    async def do_what_is_due(self) -> int:
        """Run every duty once; return how many rows were done that had been due."""
        did = 0
        for service in self.runtime.services:
            for declared, duty in zip(service.duties, self.runtime.duties[service.name], strict=True):
                before = duty.done
                await duty.once()
                did += (duty.done - before) * (declared.due_query is not None)
        return did

    async def tell_the_time(self) -> None:
        """Do what the runtime does once a second: stamp, and say which answers were handled."""
        now = self.runtime.ports.clock.now()
        await self.runtime.pulse.tell()
        for service in self.runtime.services:
            for chore in service.chores:
                if chore.name == "answered":
                    await chore.run(self.runtime.context, now)
