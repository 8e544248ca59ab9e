"""Reminders: at an instant or every so often, to an agent, a holder or whoever listens; once each time."""

from typing import Any

import pytest

from contracts.codec import instant
from contracts.views import ReminderView
from tests.support.world import MINUTE, Refused, World


async def remind(world: World, text: str, **params: Any) -> ReminderView:
    found = await world.operator("reminder.add", text=text, **params)
    assert isinstance(found, ReminderView)
    return found


def fired(world: World) -> list[tuple[float, str]]:
    """Return when the events of what fired were heard, and what they say."""
    return [
        (heard.minute, heard.body["data"]["text"])
        for heard in world.on("evt.reminder.")
        if heard.body["event"] == "fired"
    ]


async def listed(world: World, **params: Any) -> list[str]:
    return [row.text for row in (await world.operator("reminder.ls", **params)).items]


async def test_it_fires_at_its_time_and_once(world: World) -> None:
    await world.agent("a1")
    at = instant(world.clock.at + 7 * MINUTE).isoformat()
    made = await remind(world, "stand up", agent="A1", at=at)
    assert (made.agent, made.created_by, made.fired, made.version) == ("a1", "operator:tester", 0, 1)
    await world.forward(minutes=6)
    assert fired(world) == []
    await world.forward(hours=2)
    assert fired(world) == [(7.0, "stand up")]
    (notice,) = world.on("notice.a1.")
    assert (notice.subject, notice.minute) == ("notice.a1.0", 7.0)
    assert (notice.body["kind"], notice.body["text"]) == ("reminder", "stand up")
    assert [row.text for row in (await world.sync("a1")).notices] == ["stand up"]
    assert await listed(world) == []
    (ended,) = (await world.operator("reminder.ls", all=True)).items
    assert (ended.fired, ended.ended_by, ended.due_at) == (1, "rollcall:assigner", None)


async def test_it_fires_every_so_often_until_it_is_cancelled(world: World) -> None:
    made = await remind(world, "look", every_minutes=10)
    await remind(world, "later", in_minutes=5, every_minutes=20)
    await world.forward(minutes=30)
    assert fired(world) == [(5.0, "later"), (10.0, "look"), (20.0, "look"), (25.0, "later"), (30.0, "look")]
    gone = await world.operator("reminder.cancel", reminder=made.id)
    assert (gone.fired, gone.ended_by, gone.due_at) == (3, "operator:tester", None)
    assert await world.operator("reminder.cancel", reminder=made.id) == gone
    assert await listed(world) == ["later"]
    await world.forward(minutes=12)
    assert fired(world)[5:] == []
    assert world.on("notice.") == []


async def test_without_a_time_it_is_said_at_once(world: World) -> None:
    await remind(world, "now")
    await world.settle()
    assert fired(world) == [(0.0, "now")]


async def test_about_a_task_it_goes_to_whoever_holds_it(world: World) -> None:
    task, lease = await world.given("a1")
    await remind(world, "think of the docs", task=task, every_minutes=10)
    assert [row.text for row in (await world.show(task)).reminders] == ["think of the docs"]
    await world.says("a1", "ack", lease)
    await world.forward(minutes=10)
    await world.agent("a2")
    await world.operator("task.assign", task=task, agent="a2")
    await world.forward(minutes=10)
    new = await world.lease(task)
    assert [heard.subject for heard in world.on("notice.") if heard.body["kind"] == "reminder"] == [
        f"notice.a1.{lease.id}",
        f"notice.a2.{new.id}",
    ]
    await world.says("a2", "complete", new)
    await world.forward(minutes=10)
    assert len(fired(world)) == 2
    (ended,) = world.events("ended", of="reminder")
    assert ended["data"]["why"] == f"task {task} is done"
    assert await listed(world) == []


async def test_about_a_task_it_may_go_to_another_or_to_nobody(world: World) -> None:
    task, _ = await world.given("a1")
    await world.agent("a2")
    await remind(world, "ask a1", task=task, agent="a2", in_minutes=1)
    held = await world.task("held", depends_on=[str(task)])
    await remind(world, "nobody has it", task=held, in_minutes=2)
    await world.forward(minutes=3)
    assert [heard.subject for heard in world.on("notice.")] == ["notice.a2.0"]
    assert [text for _, text in fired(world)] == ["ask a1", "nobody has it"]


async def test_after_an_outage_what_was_missed_is_said_once(world: World) -> None:
    await remind(world, "look", every_minutes=10)
    await remind(world, "once", in_minutes=15)
    await world.stop()
    await world.forward(minutes=47)
    await world.start(2)
    await world.settle()
    assert sorted(fired(world)) == [(47.0, "look"), (47.0, "once")]
    await world.forward(minutes=10)
    assert fired(world)[2:] == [(50.0, "look")]


async def test_several_assigners_say_it_once(world: World) -> None:
    await world.start(2)
    for number in range(20):
        await remind(world, f"{number}", in_minutes=5)
    await world.forward(minutes=6)
    assert sorted(int(text) for _, text in fired(world)) == list(range(20))


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        ({"at": "2020-01-01T00:00:00Z"}, "422 invalid"),
        ({"at": "2999-01-01T00:00:00Z", "in_minutes": 3}, "422 invalid"),
        ({"task": 999}, "404 not_found"),
        ({"agent": "nobody"}, "404 not_found"),
        ({"text": ""}, "422 invalid"),
    ],
)
async def test_what_cannot_be_is_refused(world: World, params: dict[str, Any], refusal: str) -> None:
    with pytest.raises(Refused, match=refusal):
        await remind(world, **{"text": "x", **params})
    assert await listed(world, all=True) == []


async def test_of_an_ended_task_nobody_is_reminded(world: World) -> None:
    task = await world.task("ship it")
    await world.operator("task.cancel", task=task)
    with pytest.raises(Refused, match="409 conflict"):
        await remind(world, "x", task=task)
    with pytest.raises(Refused, match="404 not_found"):
        await world.operator("reminder.cancel", reminder=999)


async def test_there_are_not_endlessly_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.schedule.REMINDERS_MAX", 1)
    await remind(world, "one", in_minutes=1)
    with pytest.raises(Refused, match="409 conflict"):
        await remind(world, "two", in_minutes=1)
    await world.forward(minutes=2)
    await remind(world, "two", in_minutes=1)


async def test_they_are_listed_by_every_filter(world: World) -> None:
    task, _ = await world.given("a1")
    for text, more in (("a", {"agent": "a1"}), ("b", {"task": task}), ("c", {})):
        await remind(world, text, in_minutes=9, **more)
    made = await remind(world, "gone", in_minutes=9)
    await world.operator("reminder.cancel", reminder=made.id)
    assert await listed(world) == ["a", "b", "c"]
    assert await listed(world, all=True) == ["a", "b", "c", "gone"]
    assert await listed(world, agent="A1") == ["a"]
    assert await listed(world, task=task) == ["b"]
    page = await world.operator("reminder.ls", limit=2)
    assert await listed(world, after=page.next) == ["c"]


async def test_one_that_cannot_be_decided_is_set_aside_and_put_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("bug")

    with monkeypatch.context() as patch:
        patch.setattr("domain.schedule.fire", broken)
        made = await remind(world, "x", in_minutes=1)
        await world.forward(minutes=2)
    (fact,) = world.events("quarantined", of="reminder")
    assert fact["id"] == str(made.id)
    await world.house.store.release("reminders", made.id, world.clock.at)
    await world.settle()
    assert [text for _, text in fired(world)] == ["x"]
