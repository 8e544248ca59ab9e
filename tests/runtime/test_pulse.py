"""A process was paused when it did not look, and not when it waited for its store."""

from typing import Any

import anyio
import pytest

from bus.pulse import Pulse
from tests.support.nats import until
from tests.support.world import TICK, World


async def test_a_slow_store_makes_nobody_deaf(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, written, stop = anyio.Event(), anyio.Event(), anyio.Event()
    looks = 0

    async def slowly(_: Any) -> None:
        asked.set()
        await written.wait()
        stop.set()

    class Watched(Pulse):
        def look(self) -> None:
            nonlocal looks
            super().look()
            looks += 1

    def looked(count: int) -> bool:
        return looks > count

    monkeypatch.setattr("bus.pulse.STAMP_S", 0.001)
    monkeypatch.setattr(world.house.store, "stamp", slowly)
    pulse = Watched(
        bus=world.bus, ledger=world.house.store, clock=world.clock, process="p", services="x", gap_us=TICK
    )
    began = pulse.hearing_since
    async with anyio.create_task_group() as group:
        group.start_soon(pulse.run, stop)
        await asked.wait()
        for _ in range(10):
            before = looks
            world.clock.move(world.clock.at + TICK)
            await until(lambda count=before: looked(count))  # type: ignore[misc]
        written.set()
    assert pulse.hearing_since == began
    world.clock.move(world.clock.at + 4 * TICK)  # and nobody looked
    pulse.look()
    assert pulse.hearing_since == world.clock.at
