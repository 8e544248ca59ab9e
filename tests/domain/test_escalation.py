"""Steps: whom they turn to, who is skipped and why, and what comes after the last."""

import pytest
from msgspec import json, structs

from contracts.codec import instant
from contracts.messages import Ack, Complete, Decline, Ping
from contracts.operations.agents import SetParams
from contracts.operations.answers import LeaveParams
from contracts.records import PolicyStep
from domain import agents, presence
from domain.timers import MINUTE_US, Timers
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def test_retry_peer_main_in_their_order(world: World) -> None:
    world.policy("default", "retry", "peer", "main")
    task = world.task()
    world.agent("a2")
    world.forward(hours=3)
    rows = [row for row in world.assignments.values() if row.task_id == task]
    assert [(row.agent, row.level, row.step) for row in rows] == [
        ("a1", 0, None),
        ("a1", 1, 1),
        ("a2", 2, 2),
        ("Ruto", 3, 3),
    ]
    assert [(s.kind, s.outcome, s.target) for s in world.steps.values()][:3] == [
        ("retry", "taken", "a1"),
        ("peer", "taken", "a2"),
        ("main", "taken", "Ruto"),
    ]
    assert world.remarks("Escalated") == [
        "Escalated from a1 (timeout) to a1 (step 1)",
        "Escalated from a1 (timeout) to a2 (step 2)",
        "Escalated from a2 (timeout) to Ruto (step 3)",
    ]


def test_a_peer_may_be_asked_for_another_capability(world: World) -> None:
    world.policy("default", PolicyStep(kind="peer", capability="review"))
    world.agent("a2")
    world.agent("a3", "review")
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert world.holder(task).agent == "a3"


def test_a_peer_needs_what_the_task_needs(world: World) -> None:
    world.policy("default", "peer")
    world.agent("a2", "review")
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert (world.holder(task).agent, world.holder(task).exhausted) == ("a1", True)
    (step,) = world.steps.values()
    assert step.reason == "no peer is able (a2 not capable: code)"
    assert world.pinged("a1") == [0, 5, 30]


def test_with_nobody_about_every_step_is_skipped_and_tried_again() -> None:
    world = World(main=False)
    world.agent("a1")
    world.policy("default", "peer", "main")
    task = world.task()
    world.forward(hours=5)
    assert [step.reason for step in world.steps.values()] == [
        "no peer is able (none has room)",
        "there is no main agent",
    ]
    assert world.events("exhausted") == ["exhausted"]
    assert world.pinged("a1") == [0, 5, 30, 150, 270]
    world.agent("a2")
    world.forward(hours=2)
    assert (world.holder(task).agent, world.holder(task).exhausted, world.holder(task).step) == (
        "a2",
        False,
        1,
    )
    (peer, _) = world.steps.values()
    assert (peer.outcome, peer.successor_id) == ("taken", world.holder(task).id)


def test_a_holder_that_is_gone_cannot_retry(world: World) -> None:
    world.agent("b1", beats="required")
    world.join("b1")
    world.policy("default", "retry", "main")
    world.task(to="b1")
    world.decide(presence.leave, world.now, "b1", LeaveParams(), timers=world.timers)
    world.forward(minutes=31)
    assert [(s.outcome, s.reason) for s in world.steps.values()] == [
        ("skipped", "b1 is not present: offline"),
        ("taken", "able"),
    ]


def test_main_needs_neither_capability_nor_room_but_must_be_alive(world: World) -> None:
    world.operate(agents.set_agent, SetParams(name="Ruto", capacity=0))
    task = world.task(to="a1", capabilities=("code",))
    world.forward(minutes=31)
    assert world.holder(task).agent == "Ruto"
    world.say("Ruto", Complete())
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    other = world.task(to="a1")
    world.forward(minutes=31)
    assert world.holder(other).exhausted
    assert [step.reason for step in world.steps.values()][-1] == "Ruto is quarantined"
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=False))
    world.forward(hours=2)
    assert world.holder(other).agent == "Ruto"


def test_main_that_gave_it_back_is_not_asked_again_in_this_round(world: World) -> None:
    task = world.task(to="Ruto")
    world.say("Ruto", Decline())
    world.tick()
    assert world.holder(task).agent == "a1"
    world.forward(minutes=31)
    assert [step.reason for step in world.steps.values()] == ["Ruto is done with it in this round"]
    assert world.holder(task).exhausted


def test_another_main_agent_can_be_turned_to(world: World) -> None:
    world.agent("Zoe", kind="main_agent")
    world.agents["zoe"] = structs.replace(world.agents["zoe"], failures=3)
    task = world.task(to="Ruto")
    world.forward(minutes=61)
    assert world.holder(task).agent == "Zoe"
    world.forward(hours=10)
    assert (world.holder(task).agent, world.holder(task).exhausted) == ("Zoe", True)


def test_notify_tells_and_leaves_the_row_with_a_fresh_clock(world: World) -> None:
    world.policy("default", "notify", PolicyStep(kind="notify", who="the-boss"), "main")
    task = world.task()
    world.forward(minutes=30)
    row = world.holder(task)
    assert (row.agent, row.accept_by, row.level) == ("a1", START + 60 * MINUTE_US, 0)
    assert [(notice.agent, notice.kind) for notice in world.notices] == [("Ruto", "silent")]
    world.forward(minutes=30)
    assert len(world.notices) == 1  # a person is told by event and remark
    assert world.remarks("Told") == [
        f"Told Ruto that a1 has not answered about task {task} (step 1)",
        f"Told the-boss that a1 has not answered about task {task} (step 2)",
    ]
    world.forward(minutes=30)
    assert world.holder(task).agent == "Ruto"
    assert world.pinged("a1") == [0, 5, 35, 65]


def test_notify_alone_ends_in_repeats_on_the_same_row(world: World) -> None:
    world.policy("default", PolicyStep(kind="notify", who="Ruto"))
    task = world.task()
    world.say("a1", Ack())
    world.forward(hours=12)
    row = world.holder(task)
    assert (row.agent, row.status, row.exhausted) == ("a1", "acknowledged", True)
    assert world.pinged("a1")[:7] == [0, 10, 40, 90, 150, 270, 390]


def test_notify_is_skipped_where_nobody_can_hear(world: World) -> None:
    world.policy(
        "default", PolicyStep(kind="notify", who="a1"), PolicyStep(kind="notify", who="b1"), "notify"
    )
    world.agent("b1", beats="required")
    task = world.task()
    world.operate(agents.set_agent, SetParams(name="Ruto", quarantined=True))
    world.forward(minutes=31)
    reasons = [step.reason for step in world.steps.values()]
    assert reasons == ["a1 is the sender", "b1 is not present: offline", "Ruto is quarantined"]
    assert world.holder(task).exhausted
    world.operate(agents.set_agent, SetParams(name="b1", beats="none"))
    world.forward(hours=2)
    assert [step.outcome for step in world.steps.values()] == ["skipped", "taken", "skipped"]
    row = world.holder(task)
    assert (row.agent, row.exhausted) == ("a1", True)  # told, but nobody has answered
    world.forward(hours=2)
    assert len(world.notices) == 1


def test_main_tells_a_main_that_is_not_itself(world: World) -> None:
    world.policy("default", "notify")
    task = world.task(to="Ruto")
    world.forward(minutes=61)
    assert [step.reason for step in world.steps.values()] == ["Ruto is the sender"]
    assert (world.holder(task).repeats, world.holder(task).exhausted) == (1, False)


def test_without_repeats_main_is_flagged_at_once() -> None:
    world = World(Timers(repeats_us=()))
    task = world.task()
    world.forward(minutes=61)
    assert world.holder(task).exhausted
    assert world.events("exhausted") == ["exhausted"]


def test_an_empty_policy_flags(world: World) -> None:
    world.policy("default")
    task = world.task()
    world.forward(minutes=31)
    assert (world.holder(task).exhausted, len(world.steps)) == (True, 0)


def test_a_task_follows_its_own_policy(world: World) -> None:
    world.policy("slow", "retry")
    task = world.task(policy="slow")
    world.forward(minutes=31)
    assert (world.holder(task).agent, world.holder(task).level) == ("a1", 1)
    (running,) = world.escalations.values()
    assert (running.policy, running.taken, running.position) == ("slow", 1, 1)


def test_the_ping_of_an_escalated_task_says_where_it_came_from(world: World) -> None:
    world.task("ship it", description="all of it", due_at=instant(START + 90 * MINUTE_US))
    world.forward(minutes=31)
    ping = json.decode(world.posts[-1].body, type=Ping)
    assert (ping.title, ping.description, ping.attempt, ping.epoch) == ("ship it", "all of it", 1, 2)
    assert (ping.escalated_from, ping.answer_by, ping.exhausted) == (
        "a1",
        instant(START + 90 * MINUTE_US),
        False,
    )
    assert ping.due_at == instant(START + 90 * MINUTE_US)
    assert world.posts[-1].ttl_s == 3600
