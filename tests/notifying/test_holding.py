"""Each condition that people want to know of is found where it stands, and is over when it is."""

from typing import Any

import pytest

from bus.api import Outgoing
from contracts.notifying import Receivers
from tests.notifying.conftest import Open, Told
from tests.support.house import ROOT
from tests.support.nats import until
from tests.support.store import NOW

ASSERTED = "SELECT kind, task_id, subject FROM notifications WHERE NOT over AND ended_at IS NULL"


def holds(told: Told) -> set[tuple[Any, ...]]:
    return set(told.world.rows(ASSERTED))


async def expect(told: Told, *conditions: tuple[Any, ...]) -> None:
    await until(lambda: set(conditions) <= holds(told))


async def test_who_waits_for_a_human_until_it_does_not(told: Open) -> None:
    async with told(Receivers()) as people:
        _, lease = await people.world.given("bob")
        await people.world.says("bob", "wait", lease, on="human", reason="which colour?")
        await expect(people, ("human", 1, "bob"))
        await people.world.says("bob", "resume", lease)
        await until(lambda: not holds(people))


async def test_a_draft_until_somebody_assigns_it(told: Open) -> None:
    async with told(Receivers()) as people:
        await people.world.agent("bob")
        item = Outgoing(f"{ROOT}.msg.bob.general", b"Please fix the bug", "m1")
        await people.world.bus.publish_batch([item], stream="ROLLCALL_INTAKE")
        await expect(people, ("draft", 1, ""))
        await people.world.operator("task.assign", task=1, agent="bob")
        await until(lambda: not holds(people))


async def test_a_sender_who_floods(told: Open) -> None:
    async with told(Receivers()) as people:
        await people.world.operator("rule.set", toml='[[rule]]\nname = "all"\nthen = "create"\n')
        for number in range(6):
            await people.world.operator("intake.say", text=f"thing {number}")
        await expect(people, ("flood", None, "tester"))
        await people.world.forward(hours=2)
        await until(lambda: not [kind for kind, *_ in holds(people) if kind == "flood"])


async def test_a_task_that_nobody_can_take(told: Open) -> None:
    async with told(Receivers()) as people:
        await people.world.operator("agent.set", name="Ruto", capacity=0)
        await people.world.task("no one", capabilities=["magic"])
        await people.world.forward(hours=3)
        await expect(people, ("unassigned", 1, ""))


async def test_a_due_date_that_has_passed(told: Open) -> None:
    async with told(Receivers()) as people:
        await people.world.given("bob", due_at="2027-01-15T09:00:00Z")
        await people.world.forward(hours=2)
        await expect(people, ("due", 1, people.world.rows("SELECT agent FROM tasks")[0][0]))


async def test_a_person_whom_a_policy_names(told: Open) -> None:
    async with told(Receivers()) as people:
        steps = [{"kind": "notify", "who": "carol"}]
        await people.world.operator("policy.set", name="ask", steps=steps)
        await people.world.given("bob", policy="ask")
        await people.world.forward(hours=1)
        await expect(people, ("told", 1, "carol"))


async def test_whoever_dies_and_who_cannot_be_revived(told: Open) -> None:
    async with told(Receivers()) as people:
        await people.world.agent("bob", beats="required")
        await people.world.agent("eve", beats="required")
        for name in ("bob", "eve"):
            await people.world.asks(name, "agent.join", session="s1", interval_s=30)
        await people.world.forward(minutes=30)
        dead = people.world.rows("SELECT name FROM agents WHERE dead_at IS NOT NULL")
        assert dead == [("bob",), ("eve",)]
        await expect(people, ("dead", None, "bob"), ("dead", None, "eve"))


@pytest.mark.parametrize(
    ("statement", "condition"),
    [
        ("UPDATE assignments SET quarantined = 'it threw', version = version + 1", ("quarantined", 1, "bob")),
        (
            f"INSERT INTO alarms (name, since, detail, fix) VALUES ('bus', {NOW}, 'it is away', 'start it')",
            ("alarm", None, "bus"),
        ),
        (
            # whoever sends no beats is never dead by silence: only its daemon says so
            "UPDATE agents SET process = 'failed', status = 'dead_failed_revive' WHERE name = 'bob'",
            ("unrecoverable", None, "bob"),
        ),
    ],
)
async def test_what_is_wrong_inside(told: Open, statement: str, condition: tuple[Any, ...]) -> None:
    async with told(Receivers()) as people:
        await people.world.given("bob")
        await people.world.house.store._writing.call(lambda connection: connection.execute(statement))
        await expect(people, condition)
