"""What follows from an answer: on the task, on the agent, on those who wait; and who is refused."""

import pytest
from msgspec import json

from contracts.codec import instant
from contracts.errors import (
    AlreadyFinalError,
    IncarnationError,
    NotFoundError,
    StaleSessionError,
    SupersededError,
)
from contracts.messages import (
    Ack,
    Answer,
    Complete,
    Decline,
    Fail,
    Progress,
    Release,
    Resume,
    Snooze,
    Wait,
    Withdrawn,
)
from contracts.operations import tasks as task_operations
from domain import tasks
from domain.timers import MINUTE_US
from tests.domain.world import START, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def test_an_ack_is_remembered_everywhere(world: World) -> None:
    task = world.task()
    world.forward(minutes=2)
    outcome = world.say("a1", Ack(attempt=1, command_id="c1"))
    assert (outcome.accepted, outcome.already, outcome.status) == (True, False, "acknowledged")
    assert (outcome.kind, outcome.command_id) == ("ack", "c1")
    assert world.agents["a1"].last_ack_at == world.tasks[task].last_ack_at == world.now
    assert world.agents["a1"].status == "working"
    assert world.remarks("acknowledged") == ["acknowledged by a1"]
    fact = world.facts[-1]
    assert (fact.aggregate, fact.event, fact.actor, fact.cause) == (
        "assignment",
        "acknowledged",
        "agent:a1",
        "c1",
    )
    assert world.say("a1", Ack(attempt=1)).already
    assert world.remarks("acknowledged") == ["acknowledged by a1"]


def test_an_answer_counts_at_the_time_of_the_bus(world: World) -> None:
    world.task()
    world.forward(minutes=3)
    world.say("a1", Ack(), at=START + MINUTE_US)
    assert world.lease("a1").accepted_at == START + MINUTE_US
    assert world.agents["a1"].last_ack_at == START + MINUTE_US


def test_an_older_answer_that_comes_late_moves_no_clock_back(world: World) -> None:
    world.task()
    world.forward(minutes=4)
    world.say("a1", Ack())
    world.say("a1", Progress(note="oldest"), at=START + MINUTE_US)
    assert world.lease("a1").progress_by == START + 34 * MINUTE_US
    world.forward(minutes=5)
    world.say("a1", Progress(note="newer"))
    world.say("a1", Progress(note="older"), at=START + 5 * MINUTE_US)
    row = world.lease("a1")
    assert (row.progressed_at, row.progress_by) == (START + 9 * MINUTE_US, START + 39 * MINUTE_US)


def test_a_time_outside_the_lease_is_brought_inside(world: World) -> None:
    world.task()
    world.forward(minutes=3)
    world.say("a1", Ack(), at=START - MINUTE_US)
    assert world.lease("a1").accepted_at == START
    world.say("a1", Progress(note="on"), at=world.now + MINUTE_US)
    assert world.lease("a1").progressed_at == world.now


def test_the_ping_is_withdrawn_when_nothing_is_owed_any_more(world: World) -> None:
    world.task()
    lease = world.lease("a1")
    assert world.posts[-1].message_id == f"ping:inc1:{lease.id}:1"
    world.say("a1", Ack(attempt=1))
    post = world.posts[-1]
    assert (post.slot, post.stream, post.ttl_s) == (f"ping:{lease.id}", "PINGS", 60)
    assert post.subject == f"in.ping.a1.{lease.id}"
    assert post.message_id == f"withdrawn:inc1:{lease.id}:{world.lease('a1').version}"
    assert json.decode(post.body, type=Withdrawn).status == "acknowledged"
    world.say("a1", Progress(note="on"))
    assert world.posts[-1] is post  # nothing was out


@pytest.mark.parametrize(
    ("what", "reason"),
    [(Decline(reason="busy"), "declined"), (Release(), "released"), (Fail(reason="broken"), "failed")],
)
def test_who_gives_it_back_does_not_get_it_again_in_this_round(
    world: World, what: Answer, reason: str
) -> None:
    task = world.task()
    lease = world.lease("a1")
    world.agent("a2")
    world.say("a1", what)
    found = world.tasks[task]
    assert (found.status, found.assign_at, found.unassigned_since) == ("todo", world.now, world.now)
    assert (world.assignments[lease.id].end_reason, found.failures) == (reason, int(reason == "failed"))
    assert found.status_why.startswith(f"{reason} by a1")
    assert "assigner" in world.wakes
    world.tick()
    assert (world.holder(task).agent, found.round) == ("a2", 1)
    world.say("a2", Decline())
    world.tick()
    assert world.holder(task).agent == "Ruto"
    world.say("Ruto", Decline())
    world.forward(minutes=10)
    assert world.tasks[task].status == "todo"


def test_the_third_failure_is_the_last(world: World) -> None:
    for name in ("a2", "a3"):
        world.agent(name)
    task = world.task()
    for number in range(3):
        assert world.tasks[task].status == "in_progress", number
        world.say(world.holder(task).agent, Fail(reason=f"try {number}"))
        world.tick()
    assert (world.tasks[task].status, world.tasks[task].failures) == ("failed", 3)
    assert world.events("failed").count("failed") == 4  # three leases and the task
    assert world.remarks("Failed") == ["Failed: failed by a3: try 2"]


def test_a_final_failure_flags_those_that_wait(world: World) -> None:
    first = world.task()
    second = world.task("then", depends_on=(str(first),))
    world.say("a1", Fail(final=True))
    waiting = world.tasks[second]
    assert (waiting.status, waiting.blockers, waiting.alarmed) == ("todo", 1, True)
    assert waiting.status_why == f"waits for task {first}, which ended failed"
    assert world.events("blocked_for_good") == ["blocked_for_good"]
    assert len(world.remarks("Blocked")) == 1


def test_completion_frees_those_that_wait(world: World) -> None:
    first, other = world.task(), world.task("beside", to="Ruto")
    second = world.task("then", depends_on=(str(first), str(other)))
    world.say("a1", Complete(result="done"))
    assert (world.tasks[second].blockers, world.tasks[second].assign_at) == (1, None)
    world.wakes.clear()
    world.say("Ruto", Complete())
    assert (world.tasks[second].blockers, world.tasks[second].assign_at) == (0, world.now)
    assert world.wakes == {"assigner"}
    world.tick()
    assert world.holder(second).agent == "a1"


def test_completion_ends_the_escalation(world: World) -> None:
    world.task()
    world.forward(minutes=31)
    (escalation,) = world.escalations.values()
    assert escalation.ended_at is None
    world.say("Ruto", Complete())
    (escalation,) = world.escalations.values()
    assert (escalation.ended_at, escalation.end_reason) == (world.now, "completed")


def test_giving_back_ends_the_escalation_and_the_next_holder_begins_another(world: World) -> None:
    task = world.task()
    world.forward(minutes=31)
    world.say("Ruto", Release())
    world.agent("a2")
    world.forward(minutes=31)
    assert world.holder(task).agent == "a2"
    world.forward(minutes=31)
    reasons = [escalation.end_reason for escalation in world.escalations.values()]
    assert reasons == ["released by Ruto", None]
    assert world.holder(task).exhausted  # Ruto gave it back in this round, and there is nobody else


def test_progress_teaches_how_fast_an_agent_is(world: World) -> None:
    world.task()
    world.say("a1", Ack())
    world.forward(minutes=8)
    world.say("a1", Progress(note="a"))
    assert world.agents["a1"].progress_latency_us == 8 * MINUTE_US
    world.forward(minutes=4)
    world.say("a1", Progress(note="a"))  # no news, no lesson
    world.say("a1", Progress(note="b"))
    assert world.agents["a1"].progress_latency_us == 7 * MINUTE_US
    world.forward(minutes=11)
    world.say("a1", Complete())
    assert world.agents["a1"].progress_latency_us == 8 * MINUTE_US


def test_who_is_waited_for_is_told(world: World) -> None:
    world.agent("a2")
    task = world.task(to="a1")
    world.say("a1", Wait(on="peer", who="A2", reason="the review"))
    (notice,) = world.notices
    assert (notice.agent, notice.kind) == ("a2", "awaited")
    assert notice.text == f"a1 waits for you to go on with task {task}: the review"
    assert world.casts[-1].subject == f"notice.a2.{world.lease('a1').id}"
    world.say("a1", Resume())
    world.say("a1", Wait(on="human", who="the boss", resume_at=instant(world.now + MINUTE_US)))
    assert len(world.notices) == 1
    assert world.remarks("waits on human for the boss until 2027")


def test_remarks_tell_status_changes_and_nothing_else(world: World) -> None:
    world.task()
    world.say("a1", Progress(note="a"))
    world.say("a1", Progress(note="b"))
    world.say("a1", Snooze(minutes=5, reason="lunch"))
    assert world.remarks()[1:] == ["progressed by a1", "snoozed by a1 until 2027-01-15 08:05:00 UTC: lunch"]


def test_another_store_is_refused_first(world: World) -> None:
    world.task()
    with pytest.raises(IncarnationError) as refused:
        world.say("a1", Ack(incarnation="inc0"), lease=999)
    assert refused.value.state == {"incarnation": "inc1"}
    assert world.say("a1", Ack(incarnation="inc1")).accepted


def test_only_the_holder_answers(world: World) -> None:
    world.agent("a2")
    world.task(to="a1")
    lease = world.lease("a1").id
    for agent, number in (("a2", lease), ("a1", 999)):
        with pytest.raises(NotFoundError):
            world.say(agent, Ack(), lease=number)
    with pytest.raises(NotFoundError, match=r"^there is no agent A1: do you mean a1\?$"):
        world.say("A1", Ack(), lease=lease)


def test_a_stale_session_is_refused_and_an_absent_one_passes(world: World) -> None:
    world.join("a1", "s1")
    world.join("a1", "s2")
    world.task()
    with pytest.raises(StaleSessionError):
        world.say("a1", Ack(session="s1"))
    assert world.say("a1", Ack(session="s2")).accepted
    assert world.say("a1", Progress(note="on")).accepted


def test_what_an_agent_ended_itself_is_final(world: World) -> None:
    task = world.task()
    lease = world.lease("a1").id
    world.say("a1", Decline())
    world.tick()
    assert world.holder(task).agent == "Ruto"
    with pytest.raises(AlreadyFinalError) as refused:
        world.say("a1", Ack(), lease=lease)
    assert refused.value.state == {"status": "failed", "end_reason": "declined"}


def test_what_was_taken_away_is_final_when_nobody_has_it(world: World) -> None:
    task = world.task()
    lease = world.lease("a1").id
    world.forward(minutes=31)
    with pytest.raises(SupersededError):
        world.say("a1", Ack(), lease=lease)
    world.say("Ruto", Release())
    with pytest.raises(AlreadyFinalError):
        world.say("a1", Ack(), lease=lease)
    world.operate(tasks.cancel, task_operations.CancelParams(task=task))
    with pytest.raises(AlreadyFinalError):
        world.say("a1", Ack(), lease=lease)
