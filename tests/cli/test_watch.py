"""`rollcall watch`: what passes, one line each."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import Result

from rollcall.cli.watch import Filters, line, take_apart
from tests.cli.conftest import Bus, Command

AT = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)
TRAFFIC: list[tuple[str, Any]] = [
    ("in.ping.ann.5", {"kind": "ping", "task": 7}),
    ("ping.ann.5", {"kind": "ping", "task": 7, "title": "Write it", "exhausted": None}),
    ("hb.ann", {"seq": 1}),
    ("wake.pinger", None),
    ("ack.ann.5", {"kind": "ack", "command_id": "c"}),
    ("ack.bob.6", {"kind": "snooze", "minutes": 5}),
    ("answer.ann.5", {"assignment": 5, "kind": "ack", "accepted": True}),
    ("evt.assignment.5.acknowledged", {"event": "acknowledged", "data": {"agent": "ann"}}),
    ("evt.task.7.done", {"event": "done", "data": {"took_us": 90_000_000}}),
    ("cmd.agent.ann.sync", {}),
    ("order.host1.ann.x", {"do": "start"}),
    ("dlq.ROLLCALL_ACKS.pinger", {"reason": "a\u202eb\nc\x1b[31m"}),
]


async def watched(ann: Command, bus: Bus, *arguments: str, count: int) -> Result:
    """Watch while the traffic passes."""
    asking = asyncio.create_task(ann("watch", *arguments, "--count", str(count)))
    while not asking.done():  # the tap tells nobody when it hears: repeat until it has heard enough
        for subject, body in TRAFFIC:
            await bus.client.publish(
                f"rollcall.v1.{subject}", b"" if body is None else json.dumps(body).encode()
            )
        await bus.client.flush()
    return await asking


CASES: dict[str, tuple[list[str], set[str]]] = {
    "all but the quiet": ([], {s for s, _ in TRAFFIC} - {"in.ping.ann.5", "hb.ann", "wake.pinger"}),
    "everything": (["--all"], {s for s, _ in TRAFFIC}),
    "a subject": (["--subject", "hb.*", "--subject", "evt.task.>"], {"hb.ann", "evt.task.7.done"}),
    "a family": (["--kind", "ack"], {"ack.ann.5", "answer.ann.5", "ack.bob.6"}),
    "a kind": (["--kind", "snooze", "--kind", "done"], {"ack.bob.6", "evt.task.7.done"}),
    "an agent": (["--agent", "BOB"], {"ack.bob.6"}),
    "a task": (
        ["--task", "7"],
        {"ping.ann.5", "ack.ann.5", "answer.ann.5", "evt.assignment.5.acknowledged", "evt.task.7.done"},
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), CASES.values(), ids=CASES)
async def test_filters(ann: Command, bus: Bus, arguments: list[str], expected: set[str]) -> None:
    done = await watched(ann, bus, *arguments, "-o", "jsonl", count=len(TRAFFIC) * 2)
    assert done.exit_code == 0
    seen = [json.loads(text) for text in done.stdout.splitlines()]
    assert {one["subject"].removeprefix("rollcall.v1.") for one in seen} == expected
    assert done.stderr.startswith("watching rollcall.v1.")


async def test_a_line_for_people(ann: Command, bus: Bus) -> None:
    done = await watched(ann, bus, "--subject", "ping.>", count=1)
    assert done.stdout.split()[1:3] == ["ping.ann.5", "kind=ping"]
    assert 'title="Write it"' in done.stdout
    assert "exhausted" not in done.stdout


WRONG = ["", ".", "a b", "ping..x", "ping.>.x", "a*", "\x1b", "x" * 201, ">.>"]


@pytest.mark.parametrize("subject", WRONG)
async def test_a_wrong_filter_is_refused(ann: Command, subject: str) -> None:
    done = await ann("watch", "--subject", subject)
    assert (done.exit_code, "words with dots between" in done.stderr) == (2, True)


async def test_a_wrong_agent_is_refused(ann: Command) -> None:
    assert (await ann("watch", "--agent", "a.b")).exit_code == 2


def test_a_line_is_one_line_and_steers_no_terminal() -> None:
    seen = take_apart("dlq.ACKS.pinger", json.dumps({"reason": "a\u202eb\nc\x1b[31m"}).encode(), AT, {})
    assert line(seen, color=False) == f'12:00:00.250  {"dlq.ACKS.pinger":<40}  reason="ab c[31m"'
    assert line(seen, color=True) != line(seen, color=False)
    assert click.unstyle(line(seen, color=True)) == line(seen, color=False)


def test_bytes_that_are_no_json_are_shown_as_they_are() -> None:
    assert line(take_apart("msg.ann.x", b"\xffhello", AT, {}), color=False).endswith("\ufffdhello")
    deep = take_apart("msg.ann.x", b"[" * 100_000, AT, {})
    assert (deep.agent, isinstance(deep.body, str)) == ("ann", True)
    numbers = take_apart("evt.task.x.y", b'{"data": {"took_us": 90000000}, "n": 5, "l": [1]}', AT, {})
    assert line(numbers, color=False).endswith("n=5 l=[1] took_us=1m30s")
    assert line(take_apart("evt.x.1.y", b'{"took_us": 90000000}', AT, {}), color=False).endswith(
        "took_us=1m30s"
    )


def test_what_machines_need_is_left_out_for_people() -> None:
    body = {"seq": 7, "incarnation": "k7", "actor": "agent:ann", "event": "acknowledged", "data": {"task": 7}}
    seen = take_apart("evt.assignment.5.acknowledged", json.dumps(body).encode(), AT, {})
    assert line(seen, color=False).split(maxsplit=2)[2] == "actor=agent:ann task=7"


def test_what_is_learned_about_tasks_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollcall.cli.watch._WAITING_MAX", 2)
    tasks: dict[int, int] = {}
    for assignment in range(1, 6):
        take_apart(f"ping.ann.{assignment}", b'{"task": 7}', AT, tasks)
    assert len(tasks) <= 2
    assert take_apart("ack.ann.5", b"{}", AT, tasks).task == 7


def test_filters_know_agents_and_orders() -> None:
    order = take_apart("order.host1.ann.x", b"{}", AT, {})
    beat = take_apart("hb.machine.host1", b"{}", AT, {})
    assert (order.agent, beat.agent) == ("ann", "")
    assert Filters(agent="ann").wants(order)
    assert not Filters(agent="ann", quiet=False).wants(beat)
