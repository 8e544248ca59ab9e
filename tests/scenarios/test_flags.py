"""What operators say: an agent paused, drained, quarantined, retired; the fleet frozen and thawed."""

import pytest

from tests.support.world import Refused, World


async def test_whoever_is_paused_gets_nothing_and_is_not_pinged_until_it_is_resumed(world: World) -> None:
    task, _ = await world.given("a1")
    said = await world.operator("agent.pause", name="a1", reason="its disk is full")
    assert (said.flags, said.leases) == (("paused",), 1)
    shown = await world.who("a1")
    assert (shown.flags, shown.flag_reason, shown.flagged_by) == (("paused",), "its disk is full", "tester")
    other = await world.task("another")
    assert (await world.lease(other)).agent == "Ruto"
    await world.forward(minutes=20)
    assert world.pinged("a1") == [0]
    with pytest.raises(Refused, match="409 conflict"):
        await world.operator("task.assign", task=other, agent="a1")
    await world.operator("agent.resume", name="a1")
    await world.settle()
    assert world.pinged("a1") == [0, 20]
    assert [event["actor"] for event in world.events("paused", "a1")] == ["operator:tester"]
    assert len(world.events("resumed", "a1")) == 1
    assert (await world.lease(task)).agent == "a1"


async def test_whoever_is_drained_finishes_and_can_be_retired_then(world: World) -> None:
    task, lease = await world.given("a1")
    await world.operator("agent.drain", name="a1", reason="an upgrade")
    with pytest.raises(Refused, match=f"409 conflict.*a1 still holds task {task}"):
        await world.operator("agent.retire", name="a1", reason="an upgrade")
    await world.says("a1", "complete", lease)
    said = await world.operator("agent.retire", name="a1", reason="an upgrade")
    assert said.flags == ("retired", "draining")
    assert (await world.who("a1")).status == "offline"
    with pytest.raises(Refused, match="404 not_found"):
        await world.asks("a1", "agent.join", session="s9")
    assert (await world.lease(await world.task("another"))).agent == "Ruto"


async def test_whoever_is_quarantined_answers_and_is_no_step_s_target(world: World) -> None:
    task, lease = await world.given("a1")
    await world.operator("agent.quarantine", name="Ruto", reason="it answers nonsense")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=31)
    held = await world.lease(task)
    assert (held.agent, held.exhausted) == ("a1", True)
    (step,) = (await world.show(task)).steps
    assert (step.outcome, step.reason) == ("skipped", "Ruto is quarantined")


async def test_while_frozen_nothing_is_offered_and_answers_are_taken(world: World) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    said = await world.operator("fleet.freeze", reason="a release")
    assert (said.frozen, said.by, said.reason) == (True, "tester", "a release")
    waiting = await world.task("another")
    assert (await world.show(waiting)).task.status_why == "frozen by tester: a release"
    with pytest.raises(Refused, match="409 frozen"):
        await world.operator("task.assign", task=waiting, agent="a2")
    with pytest.raises(Refused, match="409 frozen"):
        await world.asks("a1", "assignment.handoff", assignment=lease.id, to="a2")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=45)
    assert (await world.lease(task)).id == lease.id  # its clock ran out, and nothing moved
    assert len(world.pinged("a1")) > 1
    assert not (await world.operator("fleet.thaw")).frozen
    await world.forward(seconds=30)
    assert (await world.lease(task)).agent == "Ruto"
    assert (await world.lease(waiting)).agent == "a2"
    assert [len(world.events(name, "fleet")) for name in ("frozen", "thawed")] == [1, 1]


async def test_after_a_thaw_steps_come_at_their_pace(world: World) -> None:
    """Fifty promises are broken while frozen: each gets one step, and one ping follows it."""
    await world.operator("agent.set", name="Ruto", capacity=100)
    await world.agent("a1", capacity=50)
    tasks = [await world.task(f"task {number}") for number in range(50)]
    await world.operator("fleet.freeze", reason="a release")
    await world.forward(hours=1)
    await world.operator("fleet.thaw")
    await world.forward(minutes=1)
    moved = [await world.lease(task) for task in tasks]
    assert {(row.agent, row.level) for row in moved} == {("Ruto", 1)}
    assert len(world.pings("Ruto")) == 50
