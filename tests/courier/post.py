"""A world with a courier in it, and time that goes on as deliveries need it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from bus.sending import Limits, Resolve
from bus.service import Service
from contracts.operations.webhooks import DeliveryView
from domain.addresses import Reach
from domain.deliveries import Patience
from domain.timers import Timers
from services.courier import Courier
from services.monitor import Monitor
from tests.support.house import START, all_services
from tests.support.world import World, open_world

HASTE = Limits(connect_s=1.0, whole_s=0.5, rest_s=0.2)


class Post:
    """Whoever is told over HTTP in a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def agent(self, name: str, url: str, **more: Any) -> None:
        await self.world.agent(name, endpoint_url=url, capabilities=[name], **more)

    async def task(self, title: str, agent: str) -> int:
        """Add a task that only this agent can do, and wait until it was given."""
        task = await self.world.task(title, capabilities=[agent])
        await self.world.settle()
        return task

    async def deliveries(self, **asked: Any) -> list[DeliveryView]:
        return list((await self.world.operator("webhook.ls", **asked)).items)

    async def until(self, done: Callable[[], bool]) -> None:
        """Let deliveries go on, each try at its time, until `done`."""
        with anyio.fail_after(30):
            while not done():
                await self._on()

    async def until_over(self) -> None:
        """Let deliveries go on until none is queued."""
        await self.until(lambda: not self.world.rows("SELECT 1 FROM deliveries WHERE state = 'queued'"))

    async def _on(self) -> None:
        leased = self.world.rows(
            "SELECT 1 FROM deliveries WHERE leased_until > ? AND next_at IS NOT NULL", self.world.clock.at
        )
        waiting = self.world.rows("SELECT min(next_at) FROM deliveries WHERE next_at IS NOT NULL")
        due = waiting[0][0]
        if not leased and due is not None and due > self.world.clock.at:
            await self.world.forward(seconds=(due - self.world.clock.at) / 1e6)
        await self.ring()
        await self.world.settle()

    async def ring(self) -> None:
        await self.world.bus.publish("rollcall.v1.wake.courier", b"")


@asynccontextmanager
async def open_post(
    folder: Path,
    *ports: int,
    patience: Patience | None = None,
    limits: Limits = HASTE,
    resolve: Resolve | None = None,
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    reach: Reach | None = None,
    start: int = START,
    timers: Timers | None = None,
) -> AsyncIterator[Post]:
    own = reach or Reach(allow=("127.0.0.0/8",), http=True, ports=(443, *ports))

    def services(clocks: Timers) -> list[Service]:
        others = [service for service in all_services(clocks) if service.name not in {"monitor", "courier"}]
        courier = Courier(
            timers=clocks,
            reach=own,
            patience=patience or Patience(),
            limits=limits,
            resolve=resolve,
            trust=trust,
        )
        return [*others, Monitor(timers=clocks, reach=own), courier]

    async with open_world(folder, services=services, start=start, timers=timers) as world:
        yield Post(world)
