"""A monitor that could not hear accuses nobody: cut off, paused, or just begun; beside others or alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.service import Service
from domain.timers import Timers
from services.monitor import Monitor
from tests.scenarios.test_presence import beat
from tests.support.cable import Cable, cable
from tests.support.held import Held
from tests.support.house import all_services
from tests.support.nats import until
from tests.support.world import World, open_world

SECOND = 1_000_000
TTL_US = 90_000_000


def deaf(timers: Timers) -> list[Service]:
    return [service for service in all_services(timers) if service.name != "monitor"]


def monitor(timers: Timers) -> list[Service]:
    return [Monitor(timers=timers)]


@asynccontextmanager
async def monitored(folder: Path, services: object = deaf) -> AsyncIterator[tuple[World, Cable]]:
    """Run a monitor on a line of its own, beside a process with the other services, or with all."""
    chosen = all_services if services is all_services else deaf
    async with (
        open_world(folder, services=chosen, gap_us=TTL_US) as world,
        cable(int(world.nats.address.rpartition(":")[2])) as line,
    ):
        world.services = monitor
        await world.start(line=line)
        yield world, line
        await world.stop()


async def join(world: World, *names: str, interval_s: int = 30) -> None:
    for name in names:
        await world.agent(name, beats="required")
        await world.asks(name, "agent.join", session="s1", interval_s=interval_s)


def suspects(world: World) -> list[str]:
    query = "SELECT name FROM agents WHERE suspect_at IS NOT NULL ORDER BY name"
    return [name for (name,) in world.rows(query)]


async def test_a_monitor_alone_cut_off_suspects_nobody(tmp_path: Path) -> None:
    """The others have a live bus: there is no outage, and the answers are all handled."""
    async with monitored(tmp_path) as (world, line):
        await join(world, "a1", "a2")
        await line.cut()
        await until(lambda: not world.houses[1].bus.connected)
        await world.forward(minutes=5)
        assert suspects(world) == []
        await line.join()
        await until(lambda: world.houses[1].bus.connected)
        await world.settle()
        assert world.rows("SELECT count(*) FROM holds") == [(0,)]
        await world.forward(seconds=88)
        assert suspects(world) == []
        await beat(world, "a1", session="s1")
        await world.forward(seconds=4)
        assert suspects(world) == ["a2"]


async def test_a_monitor_that_was_paused_reads_before_it_judges(tmp_path: Path) -> None:
    """Its timer fires before it has read the beats that were waiting: they were not missed."""
    async with monitored(tmp_path) as (world, _):
        names = [f"a{number}" for number in range(20)]
        await join(world, *names, interval_s=1)
        others, own = world.houses
        for _ in range(6):
            world.clock.move(world.clock.at + SECOND)
            others.runtime.pulse.look()
        await others.tell_the_time()
        duty = own.runtime.duties["monitor"][0]
        await duty.once()
        assert suspects(world) == []
        for name in names[1:]:
            await beat(world, name, session="s1", interval_s=1)
        await world.forward(seconds=2.9)
        assert suspects(world) == []
        for name in names[1:]:
            await beat(world, name, session="s1", interval_s=1)
        await world.forward(seconds=2)
        assert suspects(world) == ["a0"]


async def test_of_two_monitors_the_one_that_hears_judges(tmp_path: Path) -> None:
    """Whom the deaf one could not hear it leaves to the other, and neither accuses nor excuses anybody."""
    async with monitored(tmp_path, all_services) as (world, line):
        await join(world, "a1", "a2")
        await line.cut()
        await until(lambda: not world.houses[1].bus.connected)
        for _ in range(3):
            await world.forward(seconds=29)
            await beat(world, "a1", session="s1")
        assert suspects(world) == []
        await world.forward(seconds=4)
        assert suspects(world) == ["a2"]
        await line.join()
        await until(lambda: world.houses[1].bus.connected)
        await beat(world, "a2", session="s1")
        assert suspects(world) == []


async def test_messages_that_were_dropped_are_beats_that_were_not_missed(world: World) -> None:
    await join(world, "a1")
    await world.forward(seconds=60)
    world.house.bus.client.dropped += 1
    await world.forward(seconds=31)
    assert suspects(world) == []
    await world.forward(seconds=60)
    assert suspects(world) == ["a1"]


async def test_beats_that_wait_for_the_store_were_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is judged past the first beat in hand."""
    await join(world, "a1", "a2", "late")
    await world.forward(seconds=80)
    listener, store = world.house.runtime.listeners["hb.*"], Held(world, monkeypatch)
    duty = world.house.runtime.duties["monitor"][0]
    world.live_until(world.clock.at + 8 * SECOND)
    await world.bus.publish("rollcall.v1.hb.a1", b'{"session":"s1"}')
    await until(lambda: bool(store.asked))
    world.live_until(world.clock.at + SECOND)
    await world.bus.publish("rollcall.v1.hb.a2", b'{"session":"s1"}')
    await until(lambda: listener.in_hand == 1)
    world.live_until(world.clock.at + 5 * SECOND)
    await world.house.tell_the_time()
    await duty.once()
    assert suspects(world) == []
    store.open()
    await until(lambda: listener.waiting_since is None)
    await world.forward(seconds=1)
    assert suspects(world) == ["late"]
