"""Orders of operators: done once, refused when they come too late, and a stop is a stop."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.codec import instant
from contracts.errors import Problem
from contracts.messages import Ordered
from rollcall.clock import SystemClock
from tests.daemon.conftest import Box, alive, until
from tests.support.world import Refused, World


async def refused(world: World, operation: str, **params: Any) -> Problem:
    with pytest.raises(Refused) as caught:
        await world.operator(operation, **params)
    return caught.value.problem


async def test_a_stopped_agent_stays_stopped_until_somebody_starts_it(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    taken = await world.operator("agent.stop", name="a1", reason="lunch", command_id="stop-1")
    assert (taken.agent, taken.machine, taken.why) == ("a1", "box", "stopped by tester: lunch")
    await box.is_told("a1", "offline", process_why="stopped by tester: lunch")
    assert not alive(pid)
    await box.kill()
    await box.agent("a2", "wait")
    program = await box.start()
    await box.pid("a2")
    assert (await world.who("a1")).status == "offline"
    await program.stop()
    program = await box.start()
    await box.is_told("a2", "ready", process_why="started with the daemon")
    assert (await world.who("a1")).status == "offline"
    assert box.said("a1").split() == ["ready"]
    await world.operator("agent.start", name="a1")
    await box.is_told("a1", "ready", process_why="started by tester")
    (first, second) = world.events("ordered", "a1")
    assert first["actor"] == "operator:tester"
    assert first["data"] == {"verb": "stop", "machine": "box", "reason": "lunch"}
    assert second["data"] == {"verb": "start", "machine": "box"}


async def test_a_restart_gives_a_new_process_and_takes_no_work(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    lease = await world.lease(await world.task("ship it"))
    await world.says("a1", "ack", lease)
    taken = await world.operator("agent.restart", name="a1")
    assert taken.process == "restarting"
    shown = await box.is_told("a1", "working", process_why="restarted by tester")
    assert shown.pid != pid
    assert not alive(pid)
    assert (await world.lease(lease.task_id)).id == lease.id


async def test_who_was_given_up_is_started_by_an_order(world: World, box: Box, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.mkdir()
    await box.once("a1", flag)
    await box.start()
    await box.is_told("a1", "dead_failed_revive")
    flag.rmdir()
    await world.operator("agent.start", name="a1")
    await box.is_told("a1", "ready", process_why="started by tester")


async def test_orders_that_nobody_can_carry_out_say_why(world: World, box: Box) -> None:
    await world.agent("by-hand")
    await box.agent("a1", "wait")
    await box.start()
    await box.pid("a1")
    assert (await refused(world, "agent.stop", name="nobody")).status == 404
    problem = await refused(world, "agent.stop", name="by-hand")
    assert (problem.status, problem.detail) == (
        409,
        "no machine keeps by-hand: its process is started and stopped by hand",
    )
    await box.kill()
    problem = await refused(world, "agent.stop", name="a1")
    assert (problem.status, "daemon" in problem.detail) == (503, True)
    await world.forward(hours=4)
    problem = await refused(world, "agent.stop", name="a1")
    assert (problem.status, problem.detail) == (503, "the daemon of box is not heard: is it running there?")
    del box.agents["a1"]
    await box.start()
    await box.is_told("a1", "offline")
    problem = await refused(world, "agent.start", name="a1")
    assert (problem.status, problem.detail) == (409, "box: no agent of this machine is called a1")


async def ordered(world: World, agent: str, **order: Any) -> Ordered:
    """Give an order as the monitor does."""
    now = instant(SystemClock().now())
    body = {"deadline": now + timedelta(seconds=120), "command_id": "c-1", "by": "operator:olga", **order}
    reply = await world.raw(f"order.box.{agent}", msgspec.json.encode(body))
    return msgspec.json.decode(reply.data, type=Ordered)


async def test_an_order_is_done_once_and_not_too_late(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    late = await ordered(world, "a1", verb="stop", deadline=instant(SystemClock().now() - 5_000_000))
    assert (late.accepted, late.state, late.why) == (False, "running", "the order came 5 s too late")
    first = await ordered(world, "a1", verb="restart")
    assert (first.accepted, first.state, first.why) == (True, "restarting", "restarted by olga")
    shown = await box.is_told("a1", "ready", process_why="restarted by olga")
    assert shown.pid != pid
    await box.kill()
    await box.start()  # also the next daemon knows what was done
    await box.is_told("a1", "ready", process_why=f"adopted: process {shown.pid} ran on without a daemon")
    again = await ordered(world, "a1", verb="restart")
    assert (again.accepted, again.state) == (True, "running")
    assert (await world.who("a1")).pid == shown.pid
    other = await ordered(world, "a1", verb="stop")
    assert (other.accepted, other.why) == (False, "the command id was used before, for restart")
    assert (await ordered(world, "a1", verb="start", command_id="c-2")).state == "running"
    for number in range(10):
        assert (await ordered(world, "a1", verb="start", command_id=f"d-{number}")).accepted
    assert len(box.journal["a1"].orders) == 8
    assert alive(shown.pid or 0)


async def test_an_order_that_cannot_be_read_or_answered_changes_nothing(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    for wrong in (b"{", b"{}", b'{"verb":"kill"}', b"\xff"):
        reply = await world.raw("order.box.a1", wrong)
        answer = msgspec.json.decode(reply.data, type=Ordered)
        assert not answer.accepted
        assert answer.why.startswith("the order cannot be read: ")
    assert (await ordered(world, "a2", verb="stop")).why == "no agent of this machine is called a2"
    body = {
        "verb": "stop",
        "deadline": instant(SystemClock().now() + 60_000_000),
        "command_id": "c",
        "by": "x",
    }
    await world.bus.publish("rollcall.v1.order.box.a1", msgspec.json.encode(body), reply="rollcall.v1.evt.x")
    assert (await ordered(world, "a1", verb="start")).state == "running"
    assert alive(pid)


async def test_a_daemon_that_stops_takes_no_orders(world: World, box: Box) -> None:
    await box.agent("a1", "deaf", stop="2s")
    program = await box.start()
    await box.pid("a1")
    program.ask_to_stop()
    await until(lambda: bool(box.logged("runtime.stopping")))
    answer = await ordered(world, "a1", verb="restart")
    assert (answer.accepted, answer.why) == (False, "the daemon is stopping")
    assert await program.ended() == 0
    assert (await world.who("a1")).status == "offline"
