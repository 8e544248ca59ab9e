"""Phases and todos: made, moved, ticked off; what is required of them keeps a task from being completed."""

import pytest

from contracts.views import PhaseView, TodoView
from tests.support.world import Refused, World


async def todo(world: World, task: int, text: str, **more: object) -> TodoView:
    found = await world.operator("todo.add", task=task, text=text, **more)
    assert isinstance(found, TodoView)
    return found


async def phase(world: World, task: int, name: str, **more: object) -> PhaseView:
    found = await world.operator("phase.add", task=task, name=name, **more)
    assert isinstance(found, PhaseView)
    return found


async def listed(world: World, task: int) -> list[str]:
    rows = (await world.operator("todo.ls", task=task)).items
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [row.text for row in rows]


async def test_a_checklist_keeps_its_order(world: World) -> None:
    task = await world.task("ship it")
    for text in ("one", "two", "four"):
        await todo(world, task, text)
    three = await todo(world, task, "three", position=3)
    assert (three.position, three.created_by) == (3, "operator:tester")
    assert await listed(world, task) == ["one", "two", "three", "four"]
    moved = await world.operator("todo.set", task=task, todo=three.id, position=1)
    assert (moved.position, moved.version) == (1, 2)
    assert await listed(world, task) == ["three", "one", "two", "four"]
    await world.operator("todo.set", task=task, todo=three.id, position=200)
    assert await listed(world, task) == ["one", "two", "four", "three"]
    gone = await world.operator("todo.rm", task=task, todo=moved.id - 3)
    assert gone.text == "one"
    assert await listed(world, task) == ["two", "four", "three"]
    shown = await world.show(task)
    assert [row.text for row in shown.todos] == ["two", "four", "three"]
    assert [event["data"]["text"] for event in world.events("todo_removed", task)] == ["one"]


async def test_a_change_that_changes_nothing_is_none(world: World) -> None:
    task = await world.task("ship it")
    made = await todo(world, task, "one")
    stage = await phase(world, task, "design")
    assert await world.operator("todo.set", task=task, todo=made.id, text="one", position=1) == made
    assert await world.operator("phase.set", task=task, phase=stage.id, status="todo") == stage
    assert world.events("todo_changed") == world.events("phase_changed") == []


async def test_every_change_is_stated_on_the_task(world: World) -> None:
    task = await world.task("ship it")
    made = await todo(world, task, "one")
    await world.operator("todo.set", task=task, todo=made.id, done=True)
    await world.operator("todo.set", task=task, todo=made.id, done=False)
    await world.operator("todo.set", task=task, todo=made.id, text="eins", required=True)
    stage = await phase(world, task, "design", prompt="draw", expected_outputs="a page")
    await world.operator("phase.set", task=task, phase=stage.id, status="in_progress")
    await world.operator("phase.set", task=task, phase=stage.id, name="drawing")
    wanted = ("todo_added", "todo_done", "todo_reopened", "todo_changed")
    for event in (*wanted, "phase_added", "phase_moved", "phase_changed"):
        (found,) = world.events(event, task)
        assert found["aggregate"] == "task"
    (row,) = (await world.operator("phase.ls", task=task)).items
    assert (row.name, row.status, row.prompt, row.expected_outputs) == (
        "drawing",
        "in_progress",
        "draw",
        "a page",
    )


async def test_what_is_required_keeps_a_task_from_being_completed(world: World) -> None:
    task, lease = await world.given("a1")
    await todo(world, task, "nice to have")
    made = await todo(world, task, "write tests", required=True)
    stage = await phase(world, task, "review")
    problem = await world.refused("a1", "complete", lease)
    names = [f"phase {stage.id}: review", f"todo {made.id}: write tests"]
    assert (problem.status, problem.code, problem.state["unfinished"]) == (409, "unfinished", names)
    assert (await world.lease(task)).status == "pending"
    assert list((await world.show(task)).task.unfinished) == names
    await world.asks("a1", "assignment.check", assignment=lease.id, todo=made.id)
    assert (await world.refused("a1", "complete", lease)).state["unfinished"] == names[:1]
    await world.writes("a1", "complete", lease)
    assert (await world.lease(task)).status == "pending"
    await world.operator("phase.set", task=task, phase=stage.id, status="skipped")
    assert (await world.says("a1", "complete", lease)).status == "completed"
    assert (await world.show(task)).task.status == "done"


async def test_of_much_that_is_open_the_first_is_named(world: World) -> None:
    task, lease = await world.given("a1")
    for number in range(10):
        await todo(world, task, f"{number} " + "x" * 100, required=True)
    named = (await world.refused("a1", "complete", lease)).state["unfinished"]
    assert (len(named), named[-1]) == (9, "and 2 more")
    assert max(map(len, named)) == 80
    assert named[0].endswith("x…")


async def test_a_holder_plans_its_own_task(world: World) -> None:
    task, lease = await world.given("a1")
    number = lease.id
    one = await world.asks("a1", "assignment.check", assignment=number, text="one", required=True)
    assert (one.required, one.done, one.created_by) == (True, False, "agent:a1")
    stage = await world.asks("a1", "assignment.advance", assignment=number, name="design", required=False)
    held = await world.asks("a1", "assignment.check", assignment=number, todo=one.id, phase=stage.id)
    assert (held.phase_id, held.done) == (stage.id, False)
    ticked = await world.asks("a1", "assignment.check", assignment=number, todo=one.id)
    opened = await world.asks("a1", "assignment.check", assignment=number, todo=one.id, done=False)
    loose = await world.asks("a1", "assignment.check", assignment=number, todo=one.id, required=False)
    assert (ticked.done, opened.done, loose.done, loose.required) == (True, False, False, False)
    spelt = await world.asks("a1", "assignment.check", assignment=number, todo=one.id, text="uno")
    assert (spelt.text, spelt.done) == ("uno", False)
    begun = await world.asks(
        "a1", "assignment.advance", assignment=number, phase=stage.id, status="in_progress"
    )
    named = await world.asks("a1", "assignment.advance", assignment=number, phase=stage.id, name="drawing")
    needed = await world.asks("a1", "assignment.advance", assignment=number, phase=stage.id, required=True)
    assert (begun.status, named.name, needed.required) == ("in_progress", "drawing", True)
    plan = await world.asks("a1", "assignment.plan", assignment=number)
    assert (plan.task, plan.unfinished) == (task, (f"phase {stage.id}: drawing",))
    done = await world.asks("a1", "assignment.advance", assignment=number, phase=stage.id)
    assert (done.status, done.updated_by) == ("done", "agent:a1")
    await world.asks("a1", "assignment.remark", assignment=number, text="half way")
    assert ("a1", "half way") in [(row.author, row.text) for row in (await world.show(task)).comments]


@pytest.mark.parametrize(
    ("verb", "params", "status"),
    [
        ("check", {}, 422),
        ("check", {"todo": 99}, 404),
        ("check", {"text": "x", "phase": 99}, 422),
        ("advance", {}, 422),
        ("advance", {"phase": 99}, 404),
        ("advance", {"name": "x", "session": "old"}, 409),
        ("remark", {"text": "x", "incarnation": "other"}, 409),
    ],
)
async def test_what_a_holder_is_refused(
    world: World, verb: str, params: dict[str, object], status: int
) -> None:
    task, lease = await world.given("a1")
    with pytest.raises(Refused, match=f"^{status}"):
        await world.asks("a1", f"assignment.{verb}", assignment=lease.id, **params)
    shown = await world.show(task)
    assert (shown.todos, shown.phases) == ((), ())


async def test_who_holds_it_no_more_changes_nothing(world: World) -> None:
    task, lease = await world.given("a1")
    await world.agent("a2")
    for verb, params in (("check", {"text": "x"}), ("advance", {"name": "x"}), ("remark", {"text": "x"})):
        with pytest.raises(Refused, match="404 not_found"):
            await world.asks("a2", f"assignment.{verb}", assignment=lease.id, **params)
    with pytest.raises(Refused, match="404 not_found"):
        await world.asks("a2", "assignment.plan", assignment=lease.id)
    await world.operator("task.assign", task=task, agent="a2")
    with pytest.raises(Refused, match="409 superseded"):
        await world.asks("a1", "assignment.check", assignment=lease.id, text="x")
    new = await world.lease(task)
    await world.says("a2", "complete", new)
    with pytest.raises(Refused, match="409 already_final"):
        await world.asks("a2", "assignment.advance", assignment=new.id, name="x")
    assert (await world.asks("a1", "assignment.plan", assignment=lease.id)).todos == ()


async def test_an_ended_task_keeps_its_plan(world: World) -> None:
    task = await world.task("ship it")
    made = await todo(world, task, "one", required=True)
    stage = await phase(world, task, "design")
    await world.operator("task.cancel", task=task)
    for operation, params in (
        ("todo.add", {"text": "x"}),
        ("todo.set", {"todo": made.id, "done": True}),
        ("todo.rm", {"todo": made.id}),
        ("phase.add", {"name": "x"}),
        ("phase.set", {"phase": stage.id, "status": "done"}),
    ):
        with pytest.raises(Refused, match="409 conflict"):
            await world.operator(operation, task=task, **params)
    await world.operator("task.reopen", task=task)
    await world.operator("todo.rm", task=task, todo=made.id)
    assert (await world.show(task)).task.unfinished == (f"phase {stage.id}: design",)


async def test_what_is_of_another_task_is_not_known(world: World) -> None:
    task, other = await world.task("ship it"), await world.task("another")
    made, stage = await todo(world, other, "one"), await phase(world, other, "design")
    for operation, params in (
        ("todo.set", {"todo": made.id, "done": True}),
        ("todo.rm", {"todo": made.id}),
        ("phase.set", {"phase": stage.id, "status": "done"}),
    ):
        with pytest.raises(Refused, match="404 not_found"):
            await world.operator(operation, task=task, **params)
    with pytest.raises(Refused, match="422 invalid"):
        await todo(world, task, "x", phase=stage.id)
    for noun in ("todo", "phase"):
        with pytest.raises(Refused, match="404 not_found"):
            await world.operator(f"{noun}.ls", task=999)
        with pytest.raises(Refused, match="404 not_found"):
            await world.operator(f"{noun}.add", task=999, **{"text" if noun == "todo" else "name": "x"})


async def test_a_plan_has_its_limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.plans.CHECKLIST_MAX", 2)
    monkeypatch.setattr("domain.plans.PHASES_MAX", 1)
    task = await world.task("ship it")
    await todo(world, task, "one")
    await todo(world, task, "two")
    await phase(world, task, "design")
    with pytest.raises(Refused, match="409 conflict: a task has at most 2 todos"):
        await todo(world, task, "three")
    with pytest.raises(Refused, match="409 conflict: a task has at most 1 phases"):
        await phase(world, task, "build")


async def test_a_repeated_command_is_carried_out_once(world: World) -> None:
    task = await world.task("ship it")
    first = await todo(world, task, "one", command_id="c1")
    assert await todo(world, task, "one", command_id="c1") == first
    assert await listed(world, task) == ["one"]
