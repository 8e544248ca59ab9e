"""Work that comes back: declined, failed, released, reopened; who gets it then; and what waits for it."""

import pytest

from tests.support.world import Refused, World

AWAY = ["decline", "fail", "release"]
REASONS = {"decline": "declined", "fail": "failed", "release": "released"}


@pytest.mark.parametrize("kind", AWAY)
async def test_it_goes_to_somebody_else_at_once(world: World, kind: str) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    await world.says("a1", kind, lease, reason="not mine")
    old, new = lease.id, await world.lease(task)
    assert (new.agent, new.epoch) == ("a2", lease.epoch + 1)
    ended = next(row for row in (await world.show(task)).assignments if row.id == old)
    assert (ended.status, ended.end_reason) == ("failed", REASONS[kind])
    assert world.pinged("a2", new) == [0]


@pytest.mark.parametrize("kind", AWAY)
async def test_who_gave_it_back_does_not_get_it_again_in_that_round(world: World, kind: str) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", kind, lease)
    assert (await world.lease(task)).agent == "Ruto"
    await world.says("Ruto", kind, await world.lease(task))
    shown = await world.show(task)
    assert (shown.task.status, shown.task.agent) == ("todo", None)
    await world.forward(minutes=31)
    shown = await world.show(task)
    assert (shown.task.status, shown.task.alarmed) == ("todo", True)
    assert "had it before in this round" in shown.task.status_why
    assert len(world.events("unassigned_too_long", task)) == 1
    await world.operator("task.assign", task=task, agent="a1")  # an operator's word begins a new round
    assert (await world.lease(task)).agent == "a1"


async def test_who_was_too_late_does_not_get_it_again_in_that_round(world: World) -> None:
    task, _ = await world.given("a1")
    await world.forward(minutes=31)
    await world.says("Ruto", "decline", await world.lease(task))
    assert (await world.show(task)).task.status == "todo"


async def test_a_final_failure_ends_the_task(world: World) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    await world.says("a1", "fail", lease, final=True, reason="impossible")
    shown = await world.show(task)
    assert shown.task.status == "failed"
    assert "impossible" in shown.task.status_why
    await world.forward(hours=1)
    assert world.pings("a2") == []


async def test_the_third_failure_ends_the_task(world: World) -> None:
    for name in ("a1", "a2", "a3"):
        await world.agent(name)
    task = await world.task("ship it")
    for failures in range(3):
        assert (await world.show(task)).task.status == "in_progress", failures
        lease = await world.lease(task)
        await world.says(lease.agent, "fail", lease)
    assert (await world.show(task)).task.status == "failed"


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
async def test_an_ended_task_can_be_reopened(world: World, end: str) -> None:
    task, lease = await world.given("a1")
    match end:
        case "done":
            await world.says("a1", "complete", lease)
        case "failed":
            await world.says("a1", "fail", lease, final=True)
        case _:
            await world.operator("task.cancel", task=task, reason="no longer wanted")
    assert (await world.show(task)).task.status == end
    with pytest.raises(Refused, match="409"):
        await world.operator("task.assign", task=task)
    await world.operator("task.reopen", task=task)
    again = await world.lease(task)
    assert (again.agent, again.epoch) == ("a1", lease.epoch + 1)  # a new round: nobody is barred
    assert (await world.refused("a1", "complete", lease)).code in {"superseded", "already_final"}


async def test_a_cancelled_task_tells_its_holder_to_stop(world: World) -> None:
    task, lease = await world.given("a1")
    await world.operator("task.cancel", task=task)
    told = world.on(f"ping.a1.{lease.id}")[-1].body
    assert (told["kind"], told["end_reason"]) == ("withdrawn", "cancelled")
    with pytest.raises(Refused, match="409 already_final"):
        await world.operator("task.cancel", task=task)


async def test_a_task_waits_for_those_it_depends_on(world: World) -> None:
    await world.agent("a1", capacity=5)
    first = await world.task("dig", key="dig")
    second = await world.task("pour", key="pour")
    third = await world.task("build", depends_on=["dig", str(second)])
    assert (await world.show(third)).task.status == "todo"
    assert (await world.show(third)).depends_on == (first, second)
    with pytest.raises(Refused, match="409"):
        await world.operator("task.assign", task=third, agent="a1")
    for task in (first, second):
        assert (await world.show(third)).task.agent is None
        await world.says("a1", "complete", await world.lease(task))
    assert (await world.lease(third)).agent == "a1"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_what_will_not_be_done_flags_those_that_wait_for_it(world: World, end: str) -> None:
    task, lease = await world.given("a1", key="dig")
    waiting = await world.task("build", depends_on=["dig"])
    if end == "failed":
        await world.says("a1", "fail", lease, final=True)
    else:
        await world.operator("task.cancel", task=task)
    shown = await world.show(waiting)
    assert (shown.task.status, shown.task.alarmed, shown.task.agent) == ("todo", True, None)
    assert str(task) in shown.task.status_why
    assert len(world.events("blocked_for_good", waiting)) == 1
    await world.operator("task.reopen", task=task)
    await world.says("a1", "complete", await world.lease(task))
    assert (await world.lease(waiting)).agent == "a1"


async def test_a_circle_is_refused_by_name_and_nothing_is_imported(world: World) -> None:
    tasks = [{"title": name, "key": name, "depends_on": [other]} for name, other in ("ab", "bc", "ca")]
    with pytest.raises(Refused, match=r"409 cycle: .*a -> b -> c") as refused:
        await world.operator("task.import", tasks=tasks)
    assert refused.value.problem.code == "cycle"
    assert world.rows("SELECT count(*) FROM tasks") == [(0,)]


async def test_tasks_are_given_by_priority_due_date_and_age(world: World) -> None:
    await world.operator("agent.set", name="Ruto", capacity=0)
    late = {"due_at": "2027-02-01T00:00:00Z"}
    for title, more in (("old", {}), ("young", {}), ("dated", late), ("urgent", {"priority": "P0"})):
        await world.task(title, **more)
        await world.forward(seconds=1)
    await world.agent("a1", capacity=4)
    await world.forward(minutes=1)
    given = world.rows("SELECT t.title FROM assignments a JOIN tasks t ON t.id = a.task_id ORDER BY a.id")
    assert [title for (title,) in given] == ["urgent", "dated", "old", "young"]


async def test_with_nobody_free_the_task_waits_visibly(world: World) -> None:
    await world.operator("agent.set", name="Ruto", capacity=1)
    first = await world.task("one")
    second = await world.task("two")
    assert (await world.show(second)).task.status == "todo"
    assert "at capacity" in (await world.show(second)).task.status_why
    await world.forward(minutes=31)
    assert (await world.operator("system.status")).tasks["todo"] == 1
    assert len(world.events("unassigned_too_long", second)) == 1
    await world.says("Ruto", "complete", await world.lease(first))
    await world.forward(minutes=1)
    assert (await world.lease(second)).agent == "Ruto"
