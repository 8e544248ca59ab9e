"""Tasks that wait for others: always as all of those stand now, whatever moves there were before."""

import pytest
from msgspec import structs

from contracts.errors import ConflictError
from contracts.messages import Complete, Release
from contracts.operations.tasks import CancelParams, ReopenParams
from domain import ending, tasks
from domain.draft import Draft
from tests.domain.world import World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1", capacity=5)
    return found


def complete(world: World, task: int) -> None:
    row = world.holder(task)
    world.say(row.agent, Complete(), lease=row.id)
    world.tick()


def reopen(world: World, task: int) -> None:
    world.operate(tasks.reopen, ReopenParams(task=task))


def release(world: World, task: int) -> None:
    row = world.holder(task)
    world.say(row.agent, Release(), lease=row.id)


def test_the_flag_stays_while_one_of_them_will_not_be_done(world: World) -> None:
    first, second = world.task(), world.task("second")
    waiting = world.task("then", depends_on=(str(first), str(second)))
    for task in (first, second):
        world.operate(tasks.cancel, CancelParams(task=task))
    reopen(world, first)
    world.tick()
    complete(world, first)
    world.forward(hours=48)
    found = world.tasks[waiting]
    assert (found.status, found.blockers, found.alarmed) == ("todo", 1, True)
    assert found.status_why == f"waits for task {second}, which ended cancelled"
    assert len(world.remarks("Blocked")) == 2  # of the first, then of the second
    reopen(world, second)
    assert (world.tasks[waiting].alarmed, world.tasks[waiting].status_why) == (False, "")


def test_what_comes_back_waits_for_what_was_reopened_meanwhile(world: World) -> None:
    first, second = world.task(), world.task("second")
    then = world.task("then", depends_on=(str(first), str(second)))
    complete(world, first)
    complete(world, second)
    assert world.tasks[then].status == "in_progress"
    reopen(world, first)
    assert world.tasks[then].status == "in_progress"
    release(world, then)
    found = world.tasks[then]
    assert (found.status, found.blockers, found.assign_at) == ("todo", 1, None)
    assert found.status_why == "released by a1"
    reopen(world, second)
    world.tick()
    complete(world, first)
    assert (world.tasks[then].status, world.tasks[then].blockers) == ("todo", 1)
    complete(world, second)
    assert world.tasks[then].status == "in_progress"


def test_what_comes_back_is_flagged_when_it_would_wait_for_ever(world: World) -> None:
    first = world.task()
    then = world.task("then", depends_on=(str(first),))
    complete(world, first)
    reopen(world, first)
    world.operate(tasks.cancel, CancelParams(task=first))
    release(world, then)
    assert (world.tasks[then].blockers, world.tasks[then].alarmed) == (1, True)
    with pytest.raises(ConflictError, match="waits for 1"):
        world.assign(then, "a1")


def test_what_was_begun_goes_on_with_whomever(world: World) -> None:
    first = world.task()
    then = world.task("then", depends_on=(str(first),))
    complete(world, first)
    reopen(world, first)
    world.assign(then, "Ruto")
    assert world.holder(then).agent == "Ruto"


def test_what_wants_an_owner_waits_again(world: World) -> None:
    first = world.task()
    then = world.task("then", depends_on=(str(first),), capabilities=("rare",))
    complete(world, first)
    release(world, then)
    assert world.tasks[then].assign_at is not None
    reopen(world, first)
    found = world.tasks[then]
    assert (found.blockers, found.assign_at, found.status_why) == (1, None, "")


def test_what_cannot_be_read_is_not_finished(world: World) -> None:
    first = world.task()
    then = world.tasks[world.task("then", depends_on=(str(first),))]
    del world.tasks[first]
    draft = Draft(world, world.now, actor="operator:ann", timers=world.timers)
    assert ending.judge(draft, then) == then


def test_a_task_among_its_dependents_is_written_only_when_it_changes(world: World) -> None:
    first, second = world.task(), world.task("second")
    then = world.task("then", depends_on=(str(first), str(second)))
    for task in (first, second):
        world.operate(tasks.cancel, CancelParams(task=task))
    before = world.tasks[then]
    draft = Draft(world, world.now, actor="operator:ann", timers=world.timers)
    ending.judge_dependents(draft, second)
    assert draft.changes().tasks == ()
    assert world.tasks[then] == before
    assert len(world.remarks("Blocked")) == 1


def test_what_wants_an_owner_already_goes_on_wanting(world: World) -> None:
    task = world.tasks[world.task()]
    draft = Draft(world, world.now + 1, actor="operator:ann", timers=world.timers)
    wanting = structs.replace(task, status="todo", assign_at=world.now)
    assert ending.judge(draft, wanting) == wanting
