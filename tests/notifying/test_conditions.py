"""Each condition that people want to know of: told once when it begins and once when it is over, for real.

Whoever adds a kind adds here how it begins and how it ends, or its test fails.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest

from bus.api import Outgoing
from contracts import attention
from contracts.notifying import KINDS, URGENT, Kind, Receivers
from domain import pinging
from domain.notifying.telling import WORDS
from tests.notifying.conftest import Hook, Open, Postbox, Told
from tests.services.test_poison import poison
from tests.support.house import ROOT
from tests.support.nats import until
from tests.support.store import NOW

DOCS: Final = Path(__file__).parents[2] / "docs/notifications.md"
HOUR_S: Final = 3_600


class Case:
    """A world in which something is to go wrong, and whoever may fail in it."""

    def __init__(self, people: Told, other: Hook, planted: pytest.MonkeyPatch) -> None:
        self.people = people
        self.world = people.world
        self.other = other  # a receiver beside the one that people are told by
        self.planted = planted

    async def until(self, done: Callable[[], bool]) -> None:
        """Let time go on until it is so."""
        with anyio.fail_after(30):
            while not done():
                await self.world.forward(seconds=10)
                await self.people.listed()

    async def says(self, statement: str) -> None:
        await self.world.house.store._writing.call(lambda connection: connection.execute(statement))

    async def joins(self, *names: str) -> None:
        """Let agents fall silent that are expected to beat."""
        for name in names:
            await self.world.agent(name, beats="required")
            await self.world.asks(name, "agent.join", session="s1", interval_s=30)

    async def is_back(self, *names: str) -> None:
        for name in names:
            await self.world.asks(name, "agent.join", session="s2", interval_s=HOUR_S)


About = tuple[int | None, str]  # which task, and whom or what
Course = AsyncGenerator[About, None]


async def exhausted(case: Case) -> Course:
    yield await case.people.exhausted(), "Ruto"
    await case.world.operator("task.cancel", task=1)


async def quarantined(case: Case) -> Course:
    with case.planted.context() as planted:
        poison(planted, pinging, "ping", 1)
        await case.world.given("bob")
        yield 1, "bob"
    (letter,) = (await case.world.operator("dlq.ls")).items
    await case.world.operator("dlq.replay", seq=letter.seq)


async def human(case: Case) -> Course:
    _, lease = await case.world.given("bob")
    await case.world.says("bob", "wait", lease, on="human")
    yield 1, "bob"
    await case.world.operator("task.answer", task=1, text="yes")


async def unassigned(case: Case) -> Course:
    await case.world.operator("agent.set", name="Ruto", capacity=0)
    await case.world.task("no one", capabilities=["magic"])
    await case.world.forward(hours=1)
    yield 1, ""
    await case.world.agent("merlin", capabilities=["magic"])


async def draft(case: Case) -> Course:
    await case.world.agent("bob")
    item = Outgoing(f"{ROOT}.msg.bob.general", b"Please fix the bug", "m1")
    await case.world.bus.publish_batch([item], stream="ROLLCALL_INTAKE")
    yield 1, ""
    await case.world.operator("task.assign", task=1, agent="bob")


async def due(case: Case) -> Course:
    _, lease = await case.world.given("bob", due_at="2027-01-15T08:05:00Z")
    await case.world.says("bob", "ack", lease)
    yield 1, "bob"
    await case.world.operator("task.cancel", task=1)


async def unreachable(case: Case) -> Course:
    case.other.status = 500
    await case.world.agent("bob", endpoint_url=case.other.url)
    await case.world.task("ship it")
    yield None, "bob"
    case.other.status = 200
    await case.world.operator("task.assign", task=1, agent="bob")


async def told_by_name(case: Case) -> Course:
    steps = [{"kind": "notify", "who": "carol"}]
    await case.world.operator("policy.set", name="ask", steps=steps)
    await case.world.given("bob", policy="ask")
    await case.world.forward(minutes=31)
    yield 1, "carol"
    await case.world.operator("task.cancel", task=1)


async def dead(case: Case) -> Course:
    await case.joins("bob")
    yield None, "bob"
    await case.is_back("bob")


async def hears(case: Case, verb: str, state: str, **more: Any) -> None:
    """Let the daemon of a machine say how bob's process is."""
    body = {"session": "d1", "processes": [{"agent": "bob", "state": state, **more}]}
    await case.world.raw(f"cmd.machine.m1.{verb}", msgspec.json.encode(body))


async def gone(case: Case) -> Course:
    await case.world.agent("bob", beats="required")
    await hears(case, "join", "running", pid=7, session="b1")
    await hears(case, "report", "gone", why="killed")
    yield None, "bob"
    await case.is_back("bob")


async def unrecoverable(case: Case) -> Course:
    await case.world.agent("bob", beats="required")
    await hears(case, "join", "running", pid=7, session="b1")
    await revived_in_vain(case)
    yield None, "bob"
    await case.is_back("bob")


async def revived_in_vain(case: Case) -> None:
    await hears(case, "report", "failed", why="3 exits in 5 min")


async def brake(case: Case) -> Course:
    names = ("ann", "bob", "eve")
    await case.joins(*names)
    await case.world.forward(seconds=100)
    yield None, "fleet"
    await case.is_back(*names)


async def alarm(case: Case) -> Course:
    await case.says(
        f"INSERT INTO alarms (name, since, detail, fix) VALUES ('bus', {NOW}, 'it is away', 'start it')"
    )
    yield None, "bus"
    await case.says("DELETE FROM alarms")


async def flood(case: Case) -> Course:
    await case.world.operator("rule.set", toml='[[rule]]\nname = "all"\nthen = "create"\n')
    for number in range(6):
        await case.world.operator("intake.say", text=f"thing {number}")
    yield None, "tester"
    await case.world.forward(hours=1)


async def channel(case: Case) -> Course:
    case.other.status = 503  # people are told there too
    await case.world.given("ann")
    await case.world.says("ann", "wait", 1, on="human")
    yield None, "slack"
    case.other.status = 200


CONDITIONS: Final[Mapping[Kind, Callable[[Case], Course]]] = {
    "exhausted": exhausted,
    "quarantined": quarantined,
    "human": human,
    "unassigned": unassigned,
    "draft": draft,
    "due": due,
    "unreachable": unreachable,
    "told": told_by_name,
    "dead": dead,
    "unrecoverable": unrecoverable,
    "brake": brake,
    "alarm": alarm,
    "flood": flood,
    "channel": channel,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_condition_is_told_once_and_its_end_once(
    told: Open, hook: Hook, other: Hook, postbox: Postbox, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    receivers = Receivers(
        webhook_url=hook.url,
        slack_url=other.url if kind == "channel" else "",
        mail_server=f"smtp://127.0.0.1:{postbox.port}",
        mail_to=("ann@example.com",),
    )

    def said(line: str) -> tuple[int, int]:
        """Return how often it was said over HTTP and by mail."""
        lines = [one for _, _, body in hook.got for one in body["lines"]]
        letters = [one for letter in postbox.letters for one in letter.content.decode().splitlines()]
        return lines.count(line), letters.count(line)

    async with told(receivers, ports=(hook.port, other.port)) as people:
        case = Case(people, other, monkeypatch)
        async with asynccontextmanager(CONDITIONS[kind])(case) as (task, subject):
            begins = WORDS[kind].format(task=f"task {task}", subject=subject)
            await case.until(lambda: min(said(begins)) > 0)
            (row,) = [one for one in (await people.listed()).items if one.kind == kind]
            assert (row.task, row.subject, row.over, row.urgent) == (task, subject, False, kind in URGENT)
            await agrees(case, row)
        ends = f"over: {begins}"
        await case.until(lambda: min(said(ends)) > 0)
        await people.world.forward(minutes=5)
        assert (said(begins), said(ends)) == ((1, 1), (1, 1))
        rows = people.world.rows("SELECT over FROM notifications WHERE kind = ? ORDER BY id", kind)
        assert rows == [(0,), (1,)]


async def agrees(case: Case, row: Any) -> None:
    """Look whether a notice tells the same as the list of who needs somebody: since when, and why."""
    kind = "dead" if row.kind == "unrecoverable" else row.kind
    needed = [one for one in (await case.world.operator("attention.ls")).items if one.kind == kind]
    assert len(needed) == (kind in attention.KINDS)
    if needed:
        assert row.at == needed[0].since
        if kind != "exhausted":  # whoever does not answer is asked again and again
            assert row.why == needed[0].why


async def alarmed(case: Case) -> None:
    await case.says("UPDATE tasks SET alarmed = true")


TURNS: Final = ((gone, revived_in_vain, "unrecoverable"), (draft, alarmed, "unassigned"))


@pytest.mark.parametrize(("course", "turn", "kind"), TURNS)
async def test_what_turns_into_another_kind_of_itself_is_not_told_to_be_over(
    told: Open,
    hook: Hook,
    other: Hook,
    monkeypatch: pytest.MonkeyPatch,
    course: Callable[[Case], Course],
    turn: Callable[[Case], Awaitable[None]],
    kind: Kind,
) -> None:
    async with told(Receivers(webhook_url=hook.url, log=False), ports=(hook.port,)) as people:
        case = Case(people, other, monkeypatch)
        async with asynccontextmanager(course)(case) as (task, subject):
            await case.until(lambda: len(hook.got) == 1)
            await turn(case)
            await case.until(lambda: len(hook.got) == 2)
            worse = WORDS[kind].format(task=f"task {task}", subject=subject)
            assert hook.got[1][2]["lines"] == [worse]
            (row,) = (await people.listed(open=True)).items
            assert (row.kind, row.over) == (kind, False)
        await case.until(lambda: len(hook.got) == 3)
        assert hook.got[2][2]["lines"] == [f"over: {worse}"]


async def test_whoever_heard_only_how_it_began_hears_that_it_is_over(
    told: Open, hook: Hook, other: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turned and ended while the way had to wait."""
    async with told(Receivers(webhook_url=hook.url, log=False), ports=(hook.port,)) as people:
        case = Case(people, other, monkeypatch)
        async with asynccontextmanager(gone)(case):
            await until(lambda: len(hook.got) == 1)
            await revived_in_vain(case)
            await people.until(2)
        await people.until(1, over=True)
        await case.until(lambda: len(hook.got) == 2)
        assert hook.titles == [
            "Rollcall: bob is dead",
            "Rollcall: over: bob is dead and could not be revived",
        ]
        ids = people.world.rows(
            "SELECT aggregate_id, aggregate_version FROM audit WHERE aggregate = 'notification'"
        )
        assert ids == [("1", 1), ("1", 2), ("1", 3)]


async def test_an_end_is_listed_as_one_with_its_own_time(
    told: Open, hook: Hook, other: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with told(Receivers(webhook_url=hook.url), ports=(hook.port,)) as people:
        case = Case(people, other, monkeypatch)
        async with asynccontextmanager(exhausted)(case):
            await people.until(1)
        await people.until(1, over=True)
        ended, began = (await people.listed()).items
        assert (began.why.startswith("6 pings"), began.over, began.ended_at) == (True, False, ended.at)
        assert (ended.why.startswith("over after"), ended.over, ended.urgent) == (True, True, False)
        assert ended.at > began.at


def test_the_page_names_all_conditions_and_which_are_urgent() -> None:
    found = [line.split("|")[1:4] for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert {kind.strip(" `") for kind, *_ in found} == set(KINDS)
    assert {kind.strip(" `") for kind, _, urgent in found if urgent.strip()} == URGENT
