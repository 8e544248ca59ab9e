"""A service that stops or stands still is seen within two ticks and the vitals' interval; its return too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from bus.api import BusError
from bus.errands import ErrandLoop
from bus.service import Service
from bus.vitals import TELL_S
from contracts.codec import decode
from contracts.messages import Vital
from domain.timers import Timers
from rollcall.watching import Outside, Watch
from tests.support.held import Held
from tests.support.house import House, all_services
from tests.support.nats import until
from tests.support.world import TICK, World, open_world

EACH = ("assigner", "pinger", "escalator", "monitor", "cleanup", "relay", "intake", "courier", "notifier")
SEEN_S = 2 + TELL_S


class Calls:
    """Counts the calls to the address outside."""

    def __init__(self) -> None:
        self.count = 0

    def call(self) -> None:
        self.count += 1


class Watcher:
    """The watch of one process, at work once a second of the hand's clock."""

    def __init__(self, world: World, house: House) -> None:
        self.world = world
        self.house = house
        self.watch = Watch(EACH)
        self.calls = Calls()
        self.outside = Outside(self.watch, self.calls)  # type: ignore[arg-type] # stands for the caller

    async def second(self) -> None:
        """Let a second pass in which everybody who lives does what is done each second."""
        self.world.clock.move(self.world.clock.at + TICK)
        for house in self.world.houses:
            await turned(house)
            await house.runtime.pulse.tell()
        now, context = self.world.clock.at, self.house.runtime.context
        await self.watch.run(context, now)
        await self.outside.run(context, now)

    async def seconds(self, count: int) -> None:
        for _ in range(count):
            await self.second()

    async def until(self, condition: Callable[[], bool]) -> float:
        """Return after how many seconds it was so."""
        for passed in range(1, 60):
            await self.second()
            if condition():
                return passed
        raise AssertionError("it was never so")

    def alarms(self) -> list[str]:
        return [name for (name,) in self.world.rows("SELECT name FROM alarms ORDER BY name")]

    def heard(self, event: str) -> list[str]:
        return [body["id"] for body in self.world.events(event, of="system")]


async def turned(house: House) -> None:
    """Wait until every loop of the process that can has come round at this time of the hand's clock."""
    gauges = [gauge for found in house.runtime.vitals._gauges.values() for gauge in found]
    stuck = getattr(house, "stuck", ())
    house.runtime._ring_all()
    with suppress(BusError):  # cut off, it looks at its own tick
        await house.runtime.ports.bus.publish("rollcall.v1.wake.courier", b"")
    await until(
        lambda: all(gauge.rested_s == 0 or gauge._every_s > 1 or gauge.name in stuck for gauge in gauges)
    )


def only(names: Sequence[str]) -> Callable[[Timers], list[Service]]:
    return lambda timers: [service for service in all_services(timers) if service.name in names]


@asynccontextmanager
async def watched(folder: Path, apart: str) -> AsyncIterator[Watcher]:
    """Run one service in a process of its own, the five others in one that watches."""
    async with open_world(folder, houses=0) as world:
        for names in ([name for name in EACH if name != apart], [apart]):
            world.services = only(names)
            await world.start()
        watcher = Watcher(world, world.houses[0])
        await watcher.seconds(12)  # it has settled
        assert watcher.alarms() == []
        yield watcher


async def end(world: World, number: int) -> None:
    await world.houses.pop(number).stop()


@pytest.mark.parametrize("service", ["pinger", "monitor", "relay"])
async def test_a_service_that_stops_is_an_alarm_and_a_call_that_is_missed(
    tmp_path: Path, service: str
) -> None:
    async with watched(tmp_path, service) as watcher:
        assert watcher.calls.count == 12
        await end(watcher.world, 1)
        seen_s = await watcher.until(lambda: bool(watcher.alarms()))
        assert (watcher.alarms(), seen_s <= SEEN_S) == ([service], True)
        calls = watcher.calls.count
        await watcher.seconds(10)
        assert watcher.calls.count == calls
        await watcher.world.settle()
        assert watcher.heard("alarm_raised") == [service]
        watcher.world.services = only([service])
        await watcher.world.start()
        await watcher.until(lambda: not watcher.alarms())
        await watcher.second()
        assert watcher.calls.count > calls
        await watcher.world.settle()
        assert (watcher.heard("alarm_raised"), watcher.heard("alarm_over")) == ([service], [service])


async def test_a_loop_that_stands_still_is_an_alarm_though_its_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(tmp_path, "pinger") as watcher:
        house = watcher.world.houses[1]
        duty = house.runtime.duties["pinger"][0]
        free = anyio.Event()

        async def stand_still() -> bool:
            await free.wait()
            return False

        monkeypatch.setattr(duty, "once", stand_still)
        house.stuck = ("pings",)  # type: ignore[attr-defined] # whom nobody waits for
        duty.ring()
        seen_s = await watcher.until(lambda: bool(watcher.alarms()))
        assert (watcher.alarms(), seen_s <= SEEN_S) == (["pinger"], True)
        (detail,) = watcher.world.rows("SELECT detail FROM alarms")[0]
        assert detail.startswith("pings stands still since")
        monkeypatch.undo()
        free.set()
        house.stuck = ()  # type: ignore[attr-defined]
        await watcher.until(lambda: not watcher.alarms())


async def test_a_courier_that_stands_still_is_an_alarm_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(tmp_path, "courier") as watcher:
        house, free = watcher.world.houses[1], anyio.Event()

        async def stand_still(*_: object) -> int:
            await free.wait()
            return 0

        monkeypatch.setattr(ErrandLoop, "_take", stand_still)
        house.stuck = ("deliveries",)  # type: ignore[attr-defined] # whom nobody waits for
        await watcher.until(lambda: bool(watcher.alarms()))
        ((name, detail),) = watcher.world.rows("SELECT name, detail FROM alarms")
        assert (name, detail.startswith("deliveries stands still since")) == ("courier", True)
        monkeypatch.undo()
        free.set()
        house.stuck = ()  # type: ignore[attr-defined]
        await watcher.until(lambda: not watcher.alarms())


async def test_of_two_watchers_each_alarm_comes_once(tmp_path: Path) -> None:
    async with watched(tmp_path, "pinger") as watcher:
        second = Watcher(watcher.world, watcher.world.houses[0])
        second.watch = Watch(EACH, settling_s=0)
        await end(watcher.world, 1)
        for _ in range(9):
            await watcher.second()
            await second.watch.run(second.house.runtime.context, watcher.world.clock.at)
        await watcher.world.settle()
        assert watcher.heard("alarm_raised") == ["pinger"]
        assert watcher.world.rows("SELECT count(*) FROM audit WHERE event = 'alarm_raised'") == [(1,)]


async def test_nobody_is_missed_while_the_house_is_being_started(tmp_path: Path) -> None:
    async with open_world(tmp_path, houses=0) as world:
        world.services = only(["monitor"])
        await world.start()
        watcher = Watcher(world, world.houses[0])
        await watcher.seconds(10)
        assert (watcher.alarms(), watcher.calls.count) == ([], 0)
        await watcher.second()
        assert watcher.alarms() == sorted(set(EACH) - {"monitor"})


async def test_what_is_late_by_its_own_rule_is_not_behind(world: World) -> None:
    """A deadline that waits for answers is held, not forgotten: its loop looked, and took all that it may."""
    await world.given("a1")
    watcher = Watcher(world, world.house)
    await watcher.second()
    await world.forward(minutes=31)
    world.house.runtime.pulse.look()
    (vital,) = [one for one in await read(world.house) if one.service == "escalator"]
    assert vital.lag_s == 0.0


async def test_a_backlog_is_named_with_its_age(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.given("a1")
    (duty, _) = world.house.runtime.duties["pinger"]
    monkeypatch.setattr(duty, "_allowance", lambda _: 0)  # the cap lets nothing pass
    world.clock.move(world.clock.at + 400 * TICK)  # the second ping was due after five minutes
    await duty.once()
    vital = next(one for one in await read(world.house) if one.service == "pinger")
    loop = next(one for one in vital.loops if one.name == "pings")
    assert loop.lag_s == pytest.approx(100, abs=2)
    assert vital.lag_s == max(one.lag_s for one in vital.loops)


async def read(house: House) -> Sequence[Vital]:
    await turned(house)
    return await house.runtime.vitals.read()


async def test_each_service_says_on_the_bus_how_it_is(world: World) -> None:
    def said() -> list[Any]:
        return [heard.subject for heard in world.on("vital.")]

    await until(lambda: len(said()) >= len(EACH))
    assert set(said()) >= {f"vital.{name}.house-0" for name in EACH}
    raw = next(heard.body for heard in world.on("vital.pinger"))
    assert {loop["name"] for loop in raw["loops"]} == {"pings", "restates", "commands", "answers", "answered"}
    await world.house.tell_the_time()
    stored = world.rows("SELECT vitals FROM processes")[0][0]
    assert {vital.service for vital in decode(stored, tuple[Vital, ...])} == set(EACH)
    status = await world.operator("system.status")
    assert {vital.service for vital in status.services} == set(EACH)


async def test_mailbox_depth_counts_what_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, free = world.house.runtime.commands["pinger"], anyio.Event()

    async def wait(_: object) -> None:
        await free.wait()

    monkeypatch.setattr(commands, "batch", wait)
    for _ in range(3):
        await world.bus.publish("rollcall.v1.cmd.agent.a1.next", b"{}", reply="_INBOX.nobody")
    await until(lambda: sum(commands.in_hand.values()) == 3)
    vital = next(one for one in await world.house.runtime.vitals.read() if one.service == "pinger")
    assert vital.waiting == 3
    free.set()


async def test_answers_in_work_are_counted_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, lease = await world.given("a1")
    held = Held(world, monkeypatch)
    await world.leaves("a1", "ack", lease)
    await until(lambda: bool(held.asked))
    vital = next(one for one in await world.house.runtime.vitals.read() if one.service == "pinger")
    held.open()
    assert {loop.name: loop.waiting for loop in vital.loops}["answers"] == 1


async def test_a_short_cut_of_the_bus_silences_no_vitals(world: World) -> None:
    """No stamp is written, for it would make an outage of it; who reads the store still knows who lives."""
    await world.house.tell_the_time()
    await world.cut_off()
    before = world.rows("SELECT alive_at FROM processes")
    world.clock.move(world.clock.at + TICK)
    await world.house.runtime.pulse.tell()
    assert world.rows("SELECT alive_at FROM processes") == before
    assert world.rows("SELECT vitals_at FROM processes") == [(world.clock.at,)]
