"""Suspicion before death, the daemon's word, and the brake, on a real bus and a real store."""

import msgspec
import pytest

from tests.scenarios.test_machines import asks
from tests.scenarios.test_presence import beat, joined
from tests.support.nats import until
from tests.support.world import Refused, World


async def sing(world: World) -> None:
    """Let the canary be heard once."""
    query = "SELECT version FROM brakes"
    before = world.rows(query)
    await world.bus.publish("rollcall.v1.hb.rollcall-canary", b"{}")
    await until(lambda: world.rows(query) != before)


async def test_silence_is_suspicion_then_death_then_somebody_else_has_the_work(world: World) -> None:
    await joined(world)
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.says("a1", "ack", lease)
    await world.forward(seconds=149)
    assert (await world.who("a1")).status == "suspect"
    await world.forward(seconds=1)
    shown = await world.who("a1")
    assert (shown.status, shown.leases, shown.status6) == ("dead", 1, "dead")
    await world.forward(seconds=60)
    assert (await world.lease(task)).agent == "Ruto"
    assert (await world.refused("a1", "complete", lease)).code == "superseded"
    await beat(world, session="s1")
    assert (await world.who("a1")).status == "ready"
    assert [event["event"] for event in world.events("died")] == ["died"]
    await world.forward(hours=25)
    assert [row.name for row in (await world.operator("agent.ls")).items] == ["Ruto"]
    assert len((await world.operator("agent.ls", all=True)).items) == 2


async def test_beats_are_lost_but_the_daemon_says_that_it_runs(world: World) -> None:
    """Scenario 4: suspect, no reassignment; on return the same lease and epoch, and working."""
    await world.agent("a1", beats="required")
    process = {"agent": "a1", "state": "running", "pid": 7, "session": "b1"}
    await asks(world, "join", session="d1", processes=[process])
    await world.asks("a1", "agent.join", session="b1")
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.says("a1", "ack", lease)
    body = msgspec.json.encode({"session": "d1", "processes": [process]})
    for _ in range(6):
        await world.forward(seconds=30)
        await world.bus.publish("rollcall.v1.hb.machine.m1", body)
        await until(lambda: world.rows("SELECT beat_at FROM machines") == [(world.clock.at,)])
    shown = await world.who("a1")
    assert (shown.status, shown.status_why) == ("suspect", "missed its beats; m1 says it runs")
    await beat(world, session="b1")
    assert (await world.who("a1")).status == "working"
    found = await world.lease(task)
    assert (found.id, found.epoch, found.status) == (lease.id, lease.epoch, "acknowledged")


async def test_many_at_once_are_held_until_the_canary_was_heard_then_found_one_by_one(world: World) -> None:
    for number in range(4):
        await world.agent(f"a{number}", beats="required")
        await world.asks(f"a{number}", "agent.join", session="s1")
    await world.forward(seconds=160)
    (brake,) = (await world.operator("presence.brakes")).items
    assert (brake.scope, brake.members, brake.silent) == ("fleet", 4, 4)
    for _ in range(19):
        await sing(world)
        await world.forward(seconds=5)
    (brake,) = (await world.operator("presence.brakes")).items
    assert brake.released_at is not None
    await world.forward(seconds=120)
    assert (await world.operator("presence.brakes")).items == ()
    assert {(await world.who(f"a{number}")).status for number in range(4)} == {"dead"}
    for word in ("put_on", "released", "taken_off"):
        assert len(world.events(word, of="brake")) == 1


async def test_an_operator_lets_a_brake_go_and_sees_who_is_there(world: World) -> None:
    for number in range(3):
        await world.agent(f"a{number}", beats="required")
        await world.asks(f"a{number}", "agent.join", session="s1")
    told = await world.operator("team.ready", names=["a0", "ghost"])
    assert (told.ready, told.expected, told.there, told.able) == (False, 2, 1, 1)
    await world.forward(seconds=160)
    assert (await world.operator("presence.release", reason="they are gone")).scopes == ("fleet",)
    await world.forward(seconds=100)
    assert (await world.operator("team.ready", names=["a0"])).items[0].status == "dead"


async def test_while_one_brake_lets_go_too_many_more_are_held_anew(world: World) -> None:
    names = [f"a{number}" for number in range(8)]
    for name in names:
        await world.agent(name, beats="required")
        await world.asks(name, "agent.join", session="s1")
    for _ in range(5):
        await world.forward(seconds=31)
        for name in names[4:]:
            await beat(world, name, session="s1")
    await world.operator("presence.release", reason="they are gone")
    await world.forward(seconds=160)
    (brake,) = (await world.operator("presence.brakes")).items
    assert (brake.members, brake.silent, brake.released_at) == (4, 4, None)
    assert {(await world.who(name)).status for name in names[4:]} == {"suspect"}
    assert len(world.events("put_on", of="brake")) == 2


async def test_nobody_may_have_the_name_of_the_canary(world: World) -> None:
    with pytest.raises(Refused) as refused:
        await world.operator("agent.add", name="rollcall-CANARY")
    assert refused.value.problem.code == "invalid"
