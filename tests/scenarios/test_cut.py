"""Scenario 9: the bus is cut for five minutes under 200 agents: one alarm, nobody dies, all are back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from contracts.operations import BY_NAME
from rollcall.watching import Watch
from tests.scenarios.test_monitors import TTL_US, monitored
from tests.support.nats import until
from tests.support.world import World, open_world

NAMES = [f"a{number}" for number in range(200)]
INTERVAL_S = 30
SIX = ("assigner", "pinger", "escalator", "monitor", "cleanup", "relay")


async def crowd(world: World) -> None:
    """Let 200 agents join, and give every fourth of them something to do."""

    async def ask(subject: str, operation: str, body: dict[str, Any]) -> None:
        await world.ask(subject, BY_NAME[operation].result, body)

    async with anyio.create_task_group() as group:
        for name in NAMES:
            params = {"name": name, "beats": "required"}
            group.start_soon(ask, "cmd.monitor.agent-add.tester", "agent.add", params)
    async with anyio.create_task_group() as group:
        for name in NAMES:
            hello = {"session": "s1", "interval_s": INTERVAL_S}
            group.start_soon(ask, f"cmd.agent.{name}.join", "agent.join", hello)
    tasks = [{"title": f"task {number}"} for number in range(50)]
    await ask("cmd.assigner.task-import.tester", "task.import", {"tasks": tasks})
    await world.settle()
    assert len(statuses(world)) == len(NAMES)


async def beats(world: World) -> None:
    """Let everybody beat once, and wait until all that could be heard was taken."""
    for name in NAMES:
        await world.bus.publish(f"rollcall.v1.hb.{name}", b'{"session":"s1"}')
    await world.bus.flush()
    hearing = [house for house in world.houses if house.bus.connected and house.runtime.listeners]

    def taken() -> bool:
        kept = {name for house in hearing for name in resting(house.runtime.listeners["hb.*"])}
        query = "SELECT name FROM agents WHERE beat_at = ?"
        return kept | {name for (name,) in world.rows(query, world.clock.at)} >= set(NAMES)

    def resting(listener: Any) -> list[str]:
        waiting = listener._resting._waiting
        return [name for name, word in waiting.items() if word.at_us == world.clock.at]

    if hearing:
        await until(taken)


def statuses(world: World) -> dict[str, str]:
    return dict(world.rows("SELECT name, status FROM agents WHERE beats = 'required'"))


def changes(world: World) -> list[tuple[str, str]]:
    """Return every change of an agent's status, as it stands in the audit."""
    query = "SELECT CAST(data AS TEXT) FROM audit WHERE event = 'status_changed' AND aggregate = 'agent'"
    told = [json.loads(text) for (text,) in world.rows(query)]
    return [(data["before"], data["status"]) for data in told]


async def passes(world: World, seconds: int) -> None:
    """Let time pass, and let everybody be judged by it: beats that hold judgement up are written."""
    await world.forward(seconds=seconds)
    for house in world.houses:
        if listener := house.runtime.listeners.get("hb.*"):
            listener.ring()
            await until(lambda found=listener: found.waiting_since is None)  # type: ignore[misc]
    await world.settle()


async def live(world: World, watches: list[Watch], *, minutes: int) -> None:
    """Let time pass in which agents beat, and every process looks whether the house is well."""
    for _ in range(minutes * 60 // INTERVAL_S):
        await passes(world, INTERVAL_S)
        await beats(world)
        for house in world.houses:
            for gauge in (gauge for found in house.runtime.vitals._gauges.values() for gauge in found):
                gauge.turn()  # no loop stood still: it was the clock that sprang
            await house.tell_the_time()
        for watch, house in zip(watches, world.houses, strict=True):
            await watch.run(house.runtime.context, world.clock.at)


def alarms(world: World) -> list[tuple[str, str]]:
    return world.rows("SELECT event, aggregate_id FROM audit WHERE aggregate = 'system' ORDER BY seq")


@pytest.mark.parametrize("whole", [True, False], ids=["everybody is cut off", "the monitor alone is cut off"])
async def test_a_cut_of_five_minutes_under_200_agents_kills_nobody_and_is_one_alarm(
    tmp_path: Path, *, whole: bool
) -> None:
    async with monitored(tmp_path) as (world, line):
        watches = [Watch(SIX, settling_s=0) for _ in world.houses]
        await crowd(world)
        await live(world, watches, minutes=1)
        before, changed = statuses(world), changes(world)
        lines = [world.cable, line] if whole else [line]
        for one in lines:
            await one.cut()
        cut = world.houses if whole else world.houses[1:]
        await until(lambda: not any(house.bus.connected for house in cut))
        await live(world, watches, minutes=5)
        assert statuses(world) == before
        assert alarms(world) == [("alarm_raised", "bus")]
        for one in lines:
            await one.join()
        await until(lambda: all(house.bus.connected for house in world.houses))
        await world.settle()
        assert statuses(world) == before
        await live(world, watches, minutes=3)
        assert statuses(world) == before
        assert changes(world) == changed
        assert alarms(world) == [("alarm_raised", "bus"), ("alarm_over", "bus")]
        assert len(world.events("alarm_raised", of="system")) == 1
        assert world.rows("SELECT count(*) FROM brakes") == [(0,)]
        assert world.rows("SELECT count(*) FROM audit WHERE event = 'died'") == [(0,)]


async def test_after_a_cut_that_keeps_the_agents_away_one_brake_holds_until_they_are_back(
    tmp_path: Path,
) -> None:
    """The monitor is back first: it hears nobody, and takes that for a mishap and not for 200 deaths."""
    async with open_world(tmp_path, houses=2, gap_us=TTL_US) as world:
        await crowd(world)
        before = statuses(world)
        await world.cut_off()
        await world.forward(minutes=5)
        await world.join_again()
        for _ in range(60):  # a TTL in which all are awaited, and the grace, as long as our health makes it
            await passes(world, 10)
            if world.rows("SELECT 1 FROM brakes"):
                break
        assert set(statuses(world).values()) == {"suspect"}
        (brake,) = (await world.operator("presence.brakes")).items
        assert (brake.scope, brake.members, brake.silent) == ("fleet", 200, 200)
        await beats(world)
        assert statuses(world) == before
        await passes(world, 10)
        assert (await world.operator("presence.brakes")).items == ()
        for word in ("put_on", "taken_off"):
            assert len(world.events(word, of="brake")) == 1
        assert world.rows("SELECT count(*) FROM audit WHERE event = 'died'") == [(0,)]
        assert world.rows("SELECT max(epoch), count(*) FROM assignments") == [(1, 50)]
