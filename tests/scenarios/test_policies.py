"""Policies: whom a step turns to, who is skipped and why, and that a running escalation keeps its copy."""

from typing import Any

from tests.support.world import World


async def policy(world: World, *steps: dict[str, Any], name: str = "default") -> None:
    await world.operator("policy.set", name=name, steps=list(steps))


PEER, MAIN, RETRY = {"kind": "peer"}, {"kind": "main"}, {"kind": "retry"}


async def holders(world: World, task: int) -> list[str]:
    return [row.agent for row in reversed((await world.show(task)).assignments)]


async def test_retry_then_peer_then_main(world: World) -> None:
    await policy(world, RETRY, PEER, MAIN)
    task, _ = await world.given("a1")
    await world.agent("a2")
    await world.forward(hours=3)
    assert await holders(world, task) == ["a1", "a1", "a2", "Ruto"]
    assert [step.kind for step in (await world.show(task)).steps] == ["retry", "peer", "main"]


async def test_who_cannot_answer_is_skipped_with_the_reason(world: World) -> None:
    await policy(world, PEER, {"kind": "peer", "capability": "rust"}, MAIN)
    task, _ = await world.given("a1", capabilities=[])
    await world.agent("away", beats="required")
    await world.agent("ill")
    await world.operator("agent.set", name="ill", quarantined=True)
    await world.agent("full", capacity=0)
    await world.forward(minutes=31)
    first, second, third = (await world.show(task)).steps
    assert [step.outcome for step in (first, second, third)] == ["skipped", "skipped", "taken"]
    assert "away" in first.reason
    assert "offline" in first.reason
    assert "quarantined" in first.reason
    assert third.target == "Ruto"
    assert (await world.lease(task)).agent == "Ruto"


async def test_a_peer_must_be_capable_of_what_the_task_needs(world: World) -> None:
    await policy(world, PEER, MAIN)
    await world.agent("a1", capabilities=["rust"])
    task = await world.task("ship it", capabilities=["rust"])
    await world.agent("a2", capabilities=["go"])
    await world.forward(minutes=31)
    step, _ = (await world.show(task)).steps
    assert (step.outcome, step.kind) == ("skipped", "peer")
    assert "not capable: rust" in step.reason
    assert await holders(world, task) == ["a1", "Ruto"]


async def test_the_sender_is_never_its_own_target(world: World) -> None:
    task = await world.task("ship it")
    assert (await world.lease(task)).agent == "Ruto"
    await world.forward(hours=1, minutes=1)
    (step,) = (await world.show(task)).steps
    assert (step.outcome, step.reason) == ("skipped", "Ruto is the sender")
    assert await holders(world, task) == ["Ruto"]
    assert not (await world.lease(task)).exhausted  # it holds it, so it is asked again first


async def test_an_edited_policy_leaves_the_running_escalation_alone(world: World) -> None:
    await policy(world, RETRY, PEER, MAIN)
    task, _ = await world.given("a1")
    await world.agent("a2")
    await world.forward(minutes=31)
    await policy(world, MAIN)
    await world.forward(hours=2)
    assert await holders(world, task) == ["a1", "a1", "a2", "Ruto"]
    await world.agent("a3")
    other = await world.task("the next one")
    await world.forward(minutes=31)
    assert await holders(world, other) == ["a3", "Ruto"]


async def test_with_every_target_skipped_the_holder_keeps_it_flagged(world: World) -> None:
    await policy(world, PEER)
    task, lease = await world.given("a1")
    await world.forward(minutes=31)
    kept = await world.lease(task)
    assert (kept.id, kept.agent, kept.exhausted) == (lease.id, "a1", True)
    await world.agent("a2")  # who was skipped is tried again at each repeat
    await world.forward(hours=2)
    assert await holders(world, task) == ["a1", "a2"]


async def test_a_notified_person_is_told_and_the_holder_gets_as_long_again(world: World) -> None:
    await policy(world, {"kind": "notify", "who": "duty-officer"}, MAIN)
    task, lease = await world.given("a1")
    await world.forward(minutes=31)
    assert (await world.lease(task)).id == lease.id
    (told,) = world.events("escalated", lease.id)
    assert (told["data"]["kind"], told["data"]["to"]) == ("notify", "duty-officer")
    await world.forward(minutes=30)
    assert await holders(world, task) == ["a1", "Ruto"]


async def test_a_notified_agent_hears_it_though_its_hands_are_full(world: World) -> None:
    await policy(world, {"kind": "notify", "who": "lead"}, MAIN)
    await world.agent("lead", capacity=0)
    _, lease = await world.given("a1")
    await world.forward(minutes=31)
    (told,) = world.on("notice.lead")
    assert (told.body["kind"], told.body["assignment"]) == ("silent", lease.id)


async def test_an_empty_policy_ends_flagged_and_not_in_silence(world: World) -> None:
    await policy(world)
    task, _ = await world.given("a1")
    await world.forward(minutes=31)
    assert (await world.lease(task)).exhausted
    await world.forward(hours=4)
    assert len(world.pinged("a1")) == 5  # at 0, 5 and 30, then every two hours


async def test_try_tells_what_would_happen_and_changes_nothing(world: World) -> None:
    task, lease = await world.given("a1")
    before = world.rows("SELECT count(*) FROM audit")
    told = await world.operator("policy.try", task=task)
    assert told.policy == "default"
    assert told.course[0].target == "Ruto"
    assert world.rows("SELECT count(*) FROM audit") == before
    assert await world.lease(task) == lease
    await world.forward(minutes=31)
    assert (await world.lease(task)).agent == told.course[0].target
