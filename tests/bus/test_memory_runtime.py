"""The whole system on the in-memory bus: the real runtime, the real services, a file of SQLite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec

from bus import streams
from bus.actor import Ports, Runtime
from bus.api import Incoming
from bus.memory import MemoryBus, MemoryServer
from bus.nats import NatsBus
from domain.timers import Timers
from rollcall.clock import SystemClock
from store.open import open_store
from tests.support.asking import Asking
from tests.support.house import ROOT, all_services
from tests.support.nats import until


class Circle(Asking):
    """Who asks, over a connection of its own."""

    def __init__(self, bus: MemoryBus, incarnation: str) -> None:
        super().__init__()
        self.bus = cast("NatsBus", bus)  # it asks for no more than a `Bus`
        self._incarnation = incarnation

    @property
    def incarnation(self) -> str:
        return self._incarnation

    async def settle(self) -> None:
        """Wait for nothing: each look below waits for what it looks for."""


@asynccontextmanager
async def circle(server: MemoryServer, path: Path) -> AsyncIterator[Circle]:
    clock, topology = SystemClock(), streams.topology(ROOT)
    store = await open_store(path, durability="relaxed", now=clock.now())
    bus = await MemoryBus.open(server, name="house")

    ports = Ports(
        bus=bus,
        ledger=store,
        clock=clock,
        root=ROOT,
        streams=topology.name,
        ensure=lambda: bus.ready(topology),
        process="house",
        version="0.0.0",
    )
    stop, ready = anyio.Event(), anyio.Event()
    running = asyncio.create_task(Runtime(all_services(Timers()), ports).run(stop, ready=ready.set))
    with anyio.fail_after(10):
        await ready.wait()
    try:
        yield Circle(await MemoryBus.open(server, name="hands"), await store.incarnation())
    finally:
        stop.set()
        with anyio.fail_after(20):
            await running
        await bus.drain()
        await store.close()


async def test_a_task_is_given_pinged_answered_and_recorded(tmp_path: Path) -> None:
    server = MemoryServer(SystemClock())
    async with circle(server, tmp_path / "rollcall.db") as hands:
        heard: list[dict[str, Any]] = []

        def hear(message: Incoming) -> None:
            heard.append(msgspec.json.decode(message.data))

        await hands.bus.subscribe(f"{ROOT}.ping.a1.*", hear)
        await hands.agent("a1")
        task = await hands.task("ship it")
        await until(lambda: any(body["kind"] == "ping" for body in heard))
        lease = await hands.lease(task)
        assert (lease.agent, heard[0]["assignment"]) == ("a1", lease.id)
        await hands.leaves("a1", "ack", lease)

        async def recorded() -> bool:
            return (await hands.lease(task)).status == "acknowledged"

        await until(recorded)
        await until(lambda: not server.streams["ROLLCALL_ACKS"].messages)
        stored = [message.subject for message in server.streams["ROLLCALL_EVENTS"].messages.values()]
        assert any(subject.startswith(f"{ROOT}.evt.assignment.") for subject in stored)
