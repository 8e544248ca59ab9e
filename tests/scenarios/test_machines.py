"""A machine's daemon over the bus: it joins, beats for its agents, reports, leaves; operators see it."""

import msgspec
import pytest

from tests.support.nats import until
from tests.support.world import World

RUNNING = {"agent": "a1", "state": "running", "pid": 7, "session": "b1"}


async def asks(world: World, verb: str, machine: str = "m1", **params: object) -> dict[str, object]:
    reply = await world.raw(f"cmd.machine.{machine}.{verb}", msgspec.json.encode(params))
    found: dict[str, object] = msgspec.json.decode(reply.data)
    return found


async def test_a_daemon_s_beats_keep_its_agents_present(world: World) -> None:
    await world.agent("a1", beats="required")
    told = await asks(world, "join", session="d1", processes=[RUNNING], release="1.0")
    assert told["incarnation"] == world.incarnation
    assert (await world.who("a1")).status == "ready"
    body = msgspec.json.encode({"session": "d1", "processes": [RUNNING]})
    query = "SELECT beat_at FROM machines"
    for _ in range(4):
        await world.forward(seconds=60)
        await world.bus.publish("rollcall.v1.hb.machine.m1", body)
        await until(lambda: world.rows(query) == [(world.clock.at,)])
    assert (await world.who("a1")).status == "ready"
    await world.forward(seconds=150)
    shown = await world.operator("machine.show", name="m1")
    assert (shown.machine.connected, shown.agents[0].status) == (False, "suspect")
    assert [row.name for row in (await world.operator("machine.ls")).items] == ["m1"]


async def test_a_crash_is_seen_at_once_and_a_stop_is_offline(world: World) -> None:
    await world.agent("a1", beats="required")
    await asks(world, "join", session="d1", processes=[RUNNING])
    crash = {"agent": "a1", "state": "restarting", "why": "exit code 137", "exits": 1}
    assert await asks(world, "report", session="d1", processes=[crash]) == {"taken": 1, "refused": []}
    found = await world.who("a1")
    assert (found.status, found.status6, found.status4) == ("restarting", "restarting", "offline")
    await asks(world, "report", session="d1", processes=[{"agent": "a1", "state": "stopped"}])
    assert (await world.who("a1")).status_why == "stopped"
    assert await asks(world, "leave", session="d1") == {"agents": 1}


@pytest.mark.parametrize("body", [b"{}", b"{", b'{"session":"d1","processes":[{"agent":"a1"}]}', b"[]"])
async def test_an_unreadable_beat_of_a_machine_harms_nobody(world: World, body: bytes) -> None:
    await asks(world, "join", session="d1")
    await world.bus.publish("rollcall.v1.hb.machine.m1", body)
    await world.bus.publish("rollcall.v1.hb.machine.m*1", b'{"session":"d1"}')
    reply = await world.raw("hb.machine.ghost", b'{"session":"d1"}')
    assert msgspec.json.decode(reply.data)["code"] == "rejoin_required"
    assert (await world.operator("machine.show", name="m1")).machine.connected


async def test_work_without_progress_is_stalled_until_there_is_some(world: World) -> None:
    await world.agent("a1")
    lease = await world.lease(await world.task("ship it"))
    await world.says("a1", "ack", lease)
    await world.forward(minutes=9)
    assert (await world.who("a1")).status == "working"
    await world.forward(minutes=1)
    found = await world.who("a1")
    assert (found.status, found.stalled, found.status4) == ("stalled", 1, "working")
    await world.says("a1", "progress", lease, note="half")
    assert (await world.who("a1")).status == "working"
