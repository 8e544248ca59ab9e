"""Handoffs: offered, taken, declined or missed; and with nobody able nothing changes."""

import pytest

from contracts.views import AssignmentView
from tests.support.world import Refused, World


async def offered(world: World) -> tuple[int, AssignmentView, AssignmentView]:
    """Let a1, which has accepted, offer its task to a2."""
    task, old = await world.given("a1")
    await world.says("a1", "ack", old)
    await world.agent("a2")
    result = await world.asks("a1", "assignment.handoff", assignment=old.id, to="a2", reason="your field")
    new = await world.lease(task)
    assert (result.assignment, result.agent) == (new.id, "a2")
    return task, old, new


async def test_it_is_offered_to_the_receiver(world: World) -> None:
    task, old, new = await offered(world)
    assert (new.status, new.offered_by, new.epoch) == ("pending", "a1", old.epoch + 1)
    assert world.pings("a2")[0].body["offered_by"] == "a1"
    assert [notice.kind for notice in (await world.sync("a2")).notices] == ["offered"]
    ended = next(row for row in (await world.show(task)).assignments if row.id == old.id)
    assert ended.end_reason == "superseded"
    assert (await world.refused("a1", "progress", old, note="still here")).code == "superseded"
    await world.says("a2", "ack", new)
    await world.says("a2", "complete", new)
    assert (await world.show(task)).task.status == "done"


async def test_declined_it_goes_back_to_the_giver(world: World) -> None:
    task, old, new = await offered(world)
    await world.says("a2", "decline", new)
    back = await world.lease(task)
    assert (back.agent, back.status, back.epoch, back.level) == ("a1", "pending", old.epoch + 2, 0)
    assert world.rows("SELECT count(*) FROM escalations") == [(0,)]


async def test_missed_it_goes_back_to_the_giver(world: World) -> None:
    task, _, new = await offered(world)
    await world.forward(minutes=30, seconds=1)
    back = await world.lease(task)
    assert (back.agent, back.previous_id) == ("a1", new.id)
    assert (await world.who("a2")).leases == 0


@pytest.mark.parametrize("refusal", ["declined", "missed"])
async def test_it_goes_back_to_a_giver_that_has_its_hands_full_by_now(world: World, refusal: str) -> None:
    task, _, new = await offered(world)
    other = await world.task("another")
    assert (await world.lease(other)).agent == "a1"
    if refusal == "declined":
        await world.says("a2", "decline", new)
    else:
        await world.says("a1", "ack", await world.lease(other))
        await world.forward(minutes=29)
        await world.says("a1", "progress", await world.lease(other), note="still on it")
        await world.forward(minutes=1, seconds=1)
    assert (await world.lease(task)).agent == "a1"


async def test_missed_with_the_giver_gone_the_policy_goes_on(world: World) -> None:
    task, _, _ = await offered(world)
    await world.operator("agent.set", name="a1", active=False)
    await world.forward(minutes=30, seconds=1)
    assert (await world.lease(task)).agent == "Ruto"


async def test_a_capability_is_enough(world: World) -> None:
    task, old = await world.given("a1")
    await world.agent("reviewer", capabilities=["review"])
    await world.agent("writer", capabilities=["writing"])
    result = await world.asks("a1", "assignment.handoff", assignment=old.id, capability="review")
    assert result.agent == "reviewer"
    assert (await world.lease(task)).offered_by == "a1"


async def test_rollcall_chooses_when_nobody_is_named(world: World) -> None:
    task, old = await world.given("a1")
    result = await world.asks("a1", "assignment.handoff", assignment=old.id)
    assert result.agent == "Ruto"
    assert (await world.lease(task)).agent == "Ruto"


@pytest.mark.parametrize(
    ("to", "refusal"),
    [("a1", "422 invalid"), ("nobody", "404 not_found"), ("full", "409 nobody_eligible"), (None, "409")],
)
async def test_with_nobody_able_nothing_changes(world: World, to: str | None, refusal: str) -> None:
    await world.agent("full", capacity=0)
    await world.operator("agent.set", name="Ruto", capacity=0)
    task, lease = await world.given("a1")
    with pytest.raises(Refused, match=refusal):
        await world.asks("a1", "assignment.handoff", assignment=lease.id, to=to)
    assert await world.lease(task) == lease


async def test_only_the_holder_can_hand_off(world: World) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    with pytest.raises(Refused, match="404 not_found"):
        await world.asks("a2", "assignment.handoff", assignment=lease.id, to="a2")
    assert await world.lease(task) == lease
