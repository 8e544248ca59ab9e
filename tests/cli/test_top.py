"""`rollcall top`: the fleet live, with the age of every fact; on a real terminal, and as text and JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rollcall import generate_screens
from rollcall.cli.fleet import Fleet
from rollcall.cli.frame import frame
from rollcall.cli.text import width
from rollcall.settings_values import SERVICES
from tests.cli.conftest import Bus, Command
from tests.support.terminal import Terminal, terminal

NOW = generate_screens.NOW
STATUS: dict[str, Any] = {
    "at": "2026-01-31T12:00:00Z",
    "tasks": {"todo": 3},
    "assignments": {},
    "outbox": 0,
    "services": [],
    "alarms": [],
    "findings": [],
}


def agent(name: str, status: str = "ready", **fields: Any) -> dict[str, Any]:
    return generate_screens.agent(name, status, "2026-01-31T11:59:00Z", "present", **fields)


def told(**fields: Any) -> dict[str, Any]:
    """Return the answer of the monitor, by its own clock, which is this machine's."""
    return STATUS | {"at": datetime.now(UTC).isoformat()} | fields


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# the model


def fleet(*agents: dict[str, Any], at: datetime = NOW, **status: Any) -> Fleet:
    found = Fleet(["pinger", "relay"])
    found.snapshot(encoded({"items": agents}), encoded(STATUS | status), at)
    return found


def event(subject: str, at: datetime, **data: Any) -> tuple[str, bytes, datetime]:
    return subject, encoded({"at": at.isoformat(), "data": data}), at


def vital(service: str, process: str, at: datetime, **fields: Any) -> tuple[str, bytes, datetime]:
    body = {"service": service, "process": process, "at": at.isoformat(), **fields}
    return f"vital.{service}.{process}", encoded(body), at


def test_an_event_tells_a_status_without_a_question() -> None:
    found = fleet(agent("ann"))
    later = NOW + timedelta(seconds=5)
    found.heard(*event("evt.agent.ann.status_changed", later, status="suspect", why="missed its beats"))
    row = found.agents["ann"]
    assert (row["status"], row["status_why"], row["status_since"]) == (
        "suspect",
        "missed its beats",
        later.isoformat(),
    )
    assert (found.heard_at, found.stale) == (later, False)


@pytest.mark.parametrize(
    "subject",
    [
        *("evt.agent.bob.registered", "evt.agent.bob.status_changed", "evt.assignment.5.acknowledged"),
        *("evt.task.5.created", "evt.system.outbox.post_refused"),
    ],
)
def test_what_events_do_not_tell_is_asked_for(subject: str) -> None:
    found = fleet(agent("ann"))
    found.heard(*event(subject, NOW, status="ready"))
    assert found.stale


def test_a_snapshot_does_not_undo_what_was_heard_after_it_was_taken() -> None:
    found = fleet(agent("ann"))
    found.heard(
        *event("evt.agent.ann.status_changed", NOW + timedelta(seconds=9), status="dead", why="silent")
    )
    answer = encoded({"items": [agent("ann", leases=1)]})
    found.snapshot(answer, encoded(STATUS), NOW + timedelta(seconds=8))
    assert (found.agents["ann"]["status"], found.agents["ann"]["leases"]) == ("dead", 1)
    found.snapshot(answer, encoded(STATUS), NOW + timedelta(seconds=10))
    assert found.agents["ann"]["status"] == "ready"


def test_alarms_come_and_go_as_they_are_announced() -> None:
    found = fleet()
    found.heard(*event("evt.system.pinger.alarm_raised", NOW, detail="gone", fix="rollcall run pinger"))
    assert found.alarms["pinger"]["detail"] == "gone"
    found.heard(*event("evt.system.pinger.alarm_over", NOW))
    assert found.alarms == {}


def test_a_service_is_silent_after_two_ticks_and_the_vitals_interval() -> None:
    found = fleet()
    found.heard(*vital("pinger", "1-a", NOW))
    found.heard(*vital("pinger", "2-b", NOW - timedelta(hours=1)))
    assert found.silent(NOW + timedelta(seconds=7)) == [("relay", None)]
    assert [name for name, _ in found.silent(NOW + timedelta(seconds=7.1))] == ["pinger", "relay"]
    found.forget(NOW)
    assert list(found.services) == [("pinger", "1-a")]
    found.forget(NOW + timedelta(hours=1))
    assert list(found.services) == [("pinger", "1-a")]  # the last word of a service is kept


def test_an_older_word_does_not_replace_a_newer_one() -> None:
    found = fleet()
    found.heard(*vital("pinger", "1-a", NOW, lag_s=3))
    found.heard(*vital("pinger", "1-a", NOW - timedelta(seconds=5), lag_s=9))
    assert found.services["pinger", "1-a"]["lag_s"] == 3


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        ("evt.agent.ann.status_changed", b"\xff"),
        ("evt.agent.ann.status_changed", b"[1]"),
        ("evt.agent.ann.status_changed", b'{"at": 5, "data": 7}'),
        ("vital.pinger.1", b'{"service": "pinger", "at": "yesterday"}'),
        ("vital.pinger.1", b"[" * 100_000),
        ("odd", b"{}"),
    ],
)
def test_what_nobody_of_ours_says_breaks_nothing(subject: str, data: bytes) -> None:
    found = fleet(agent("ann"))
    found.heard(subject, data, NOW)
    assert (found.agents["ann"]["status"], found.services) == ("ready", {})
    assert frame(found, NOW, columns=80, lines=24, color=False)


# the screen as text


def screen(found: Fleet, *, columns: int = 80, lines: int | None = 24) -> list[str]:
    return frame(found, NOW, columns=columns, lines=lines, color=False)


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_no_line_is_wider_than_the_screen(columns: int) -> None:
    long = agent(
        "x" * 63, "dead_failed_revive", flags=["paused", "draining"], machine="m" * 63, process="failed"
    )
    wide = fleet(
        long | {"status_why": "漢字 " * 40}, agent("ann"), tasks=dict.fromkeys("abcdefgh" * 2, 10**9)
    )
    for found in (wide, generate_screens.sample()):
        found.deaf = "the monitor says nothing " * 9
        assert max(map(width, screen(found, columns=columns))) <= columns


def test_who_needs_somebody_stands_first_and_the_rest_is_counted() -> None:
    names = [agent(f"r{n}") for n in range(40)]
    found = fleet(*names, agent("lost", "dead"), agent("quiet", "suspect"), agent("busy", "working"))
    shown = screen(found)
    assert len(shown) <= 24
    table = shown[shown.index("") + 2 :]
    assert [line.split()[0] for line in table[:4]] == ["lost", "quiet", "busy", "r0"]
    assert table[-1].startswith("and ")
    assert table[-1].endswith(" ready")
    assert len(screen(found, lines=None)) > 43


def test_text_of_others_steers_no_terminal() -> None:
    hostile = agent("ann", machine="h\x1b[2J", process="gone\r") | {"status_why": "a\u202eb\x1b]0;x\x07\nc"}
    found = fleet(hostile, findings=[{"name": "x\x1b[1m", "detail": "\x9b31m", "fix": "\r"}])
    assert not [
        line for line in screen(found) if any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in line)
    ]


def test_colours_change_no_word() -> None:
    import click

    found = generate_screens.sample()
    plain, colored = (frame(found, NOW, columns=80, lines=24, color=color) for color in (False, True))
    assert plain != colored
    assert [click.unstyle(line) for line in colored] == plain


def test_the_pages_house_has_every_service() -> None:
    shown = "\n".join(line for _, _, lines in generate_screens.screens() for line in lines)
    assert f"{len(SERVICES) - 1} of {len(SERVICES)} run" in shown


def test_the_pages_screens_fit_and_have_no_colour() -> None:
    for command, _, shown in generate_screens.screens():
        assert max(map(width, shown)) <= 80, command
        assert not any("\x1b" in line for line in shown)


# the command


async def test_once_is_text_of_the_width_of_the_terminal(ann: Command, bus: Bus) -> None:
    bus.answer("agent-ls", {"items": [agent("ann")]})
    bus.answer("system-status", told())
    done = await ann("top", "--once", COLUMNS="80")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("rollcall  ")
    assert "fleet as of 0s ago" in lines[0]
    assert lines[-1].split()[:2] == ["ann", "ready"]


async def test_as_json_each_fact_has_its_instant(ann: Command, bus: Bus) -> None:
    bus.answer("agent-ls", {"items": [agent("ann", beat_at="2026-01-31T11:58:00Z")]})
    bus.answer("system-status", told())
    shown = json.loads((await ann("top", "-o", "json")).stdout)
    assert shown["as_of"] <= shown["at"]
    assert (shown["agents"][0]["beat_at"], shown["bus_lost_at"]) == ("2026-01-31T11:58:00Z", None)
    assert set(shown["silent"]) >= {"pinger", "monitor"}


@pytest.mark.parametrize("hours", [-1, 1])
async def test_ages_are_told_by_the_house_s_clock(ann: Command, bus: Bus, hours: int) -> None:
    """This machine's may be an hour off."""
    at = datetime.now(UTC) + timedelta(hours=hours)
    said = {"service": "pinger", "process": "1-a", "at": at.isoformat()}
    bus.answer("agent-ls", {"items": []})
    bus.answer("system-status", STATUS | {"at": at.isoformat(), "services": [said]})
    shown = json.loads((await ann("top", "-o", "json", ROLLCALL_SERVICES__EXPECTED="pinger")).stdout)
    assert shown["silent"] == []
    off = datetime.fromisoformat(shown["at"]) - datetime.now(UTC)
    assert abs(off - timedelta(hours=hours)) < timedelta(minutes=10)


async def test_once_without_an_answer_fails(ann: Command, bus: Bus) -> None:
    silent = await ann("top", "--once")
    assert (silent.exit_code, "next: rollcall doctor" in silent.stderr) == (69, True)
    nowhere = await ann("top", "--once", NATS_URL="nats://127.0.0.1:1")
    assert nowhere.exit_code == 69


# on a terminal


@asynccontextmanager
async def live(bus: Bus, folder: Path, *options: str, **env: str) -> AsyncIterator[Terminal]:
    """Run it on a terminal, with two agents and a monitor that answers."""
    bus.answer("agent-ls", {"items": [agent("ann"), agent("bob", "working", leases=1)]})
    bus.answer("system-status", told())
    foreign = ("ROLLCALL_", "NATS_", "COLUMNS", "LINES")
    clean = {key: text for key, text in os.environ.items() if not key.startswith(foreign)}
    place = {"HOME": str(folder), "NATS_URL": bus.url, "ROLLCALL_OPERATOR": "olga", "NO_COLOR": "1"}
    env = {**clean, **place, **env}
    async with terminal("-m", "rollcall", "top", *options, folder=folder, env=env) as found:
        yield found


def row(lines: list[str], name: str) -> list[str]:
    return next((line.split() for line in lines if line.startswith(f"{name} ")), [])


async def test_it_lives(bus: Bus, tmp_path: Path) -> None:
    """An event is shown without a question, a new size at once; the bus may go, and Ctrl-C gives all back."""
    async with live(bus, tmp_path) as screen:
        lines = await screen.shows(lambda lines: row(lines, "bob"))
        assert row(lines, "bob")[1] == "working"
        asked = len(bus.asked)
        body = {"at": datetime.now(UTC).isoformat(), "data": {"status": "suspect", "why": "missed its beats"}}
        await bus.client.publish("rollcall.v1.evt.agent.ann.status_changed", encoded(body))
        lines = await screen.shows(lambda lines: row(lines, "ann")[1:2] == ["suspect"])
        names = [line.split()[0] for line in lines if line.startswith(("ann ", "bob "))]
        assert names == ["ann", "bob"]
        assert len(bus.asked) == asked
        screen.resize(12, 44)
        await screen.shows(lambda lines: lines and max(map(width, lines)) <= 44)
        screen.resize(24, 80)
        await bus.server.kill()
        await screen.shows(lambda lines: any("BUS LOST" in line for line in lines))
        bus.answer("system-status", told())
        await bus.server.start()
        await asyncio.wait_for(bus.back.wait(), 20)
        lines = await screen.shows(lambda lines: row(lines, "ann")[1:2] == ["ready"])  # it was asked again
        assert not any("BUS LOST" in line for line in lines)
        assert "\x1b[3" not in screen.raw
        screen.press(b"\x03")
        assert await screen.ended() == 130
        assert screen.raw.startswith("\x1b[?1049h\x1b[?25l")
        assert "\x1b[?25h\x1b[?1049l" in screen.raw
        assert "Traceback" not in screen.raw


async def test_once_leaves_what_stands_on_the_terminal(bus: Bus, tmp_path: Path) -> None:
    async with live(bus, tmp_path, "--once") as screen:
        assert await screen.ended() == 0
        assert "bob" in screen.raw
        assert "\x1b" not in screen.raw


async def test_it_ends_when_asked_to_and_likes_colours(bus: Bus, tmp_path: Path) -> None:
    async with live(bus, tmp_path, NO_COLOR="") as screen:
        await screen.shows(lambda lines: row(lines, "bob"))
        assert "\x1b[36m" in screen.raw
        screen.program.send_signal(signal.SIGTERM)
        assert await screen.ended() == 0
        assert "\x1b[?25h\x1b[?1049l" in screen.raw


async def test_a_silent_monitor_leaves_what_was_known(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(bus, tmp_path) as screen:
        await screen.shows(lambda lines: row(lines, "bob"))
        bus.answer("agent-ls", None)
        await bus.client.publish("rollcall.v1.evt.task.5.created", b"{}")
        lines = await screen.shows(lambda lines: any("NO ANSWER" in line for line in lines))
        assert row(lines, "bob")


async def test_lines_of_json_follow_one_another(bus: Bus, tmp_path: Path) -> None:
    async with live(bus, tmp_path, "-o", "jsonl") as screen:
        await screen.says(lambda raw: raw.count("\n") >= 3)
        screen.press(b"\x03")
        assert await screen.ended() == 130
        first = json.loads(screen.raw.splitlines()[0])
        assert first["bus_lost_at"] is None
