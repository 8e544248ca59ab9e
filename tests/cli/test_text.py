"""Tables: aligned whatever the letters, safe whatever the text, no wider than the terminal."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from rollcall.cli import text
from rollcall.cli.show import show

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_cells_are_counted_as_a_terminal_does() -> None:
    assert [text.width(word) for word in ("abc", "ä", "a\u0308", "日本", "🧹", "a\u200db")] == [
        3,
        1,
        1,
        4,
        2,
        2,
    ]
    assert text.cut("日本語", 5) == "日本…"
    assert text.cut("abc", 3) == "abc"


def test_columns_are_aligned_by_cells() -> None:
    lines = text.table([["日本", "x"], ["a", "y"]], ["name", "n"])
    assert lines == ["NAME  N", "日本  x", "a     y"]


def test_what_steers_a_terminal_is_gone() -> None:
    assert text.clean("a\x1b[31mb\u202ec\x9bd\u200be\nf\tg\x00\ud800") == "a[31mbcde f g"


def test_ages() -> None:
    ages = {0: "now", -5: "5s ago", -3_725: "1h2m ago", 90_000: "in 1d1h", 3_605: "in 1h", 60: "in 1m"}
    assert {s: text.age(NOW + timedelta(seconds=s), NOW) for s in ages} == ages


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("timeout_us", 90_000_000, "1m30s"),
        ("beat_at", "2026-01-31T11:59:00Z", "1m ago"),
        ("beat_at", "soon\x1b", "soon"),
        ("status_since", "2026-01-31T11:59:00", "2026-01-31T11:59:00"),
        ("active", False, "no"),
        ("priority", 0, "P0"),
        ("priority", "P1", "P1"),
        ("agent", None, ""),
        ("load", 0.5, "0.5"),
        ("tasks", {"todo": 3, "done": 1}, "todo 3, done 1"),
        ("steps", [{"kind": "peer", "capability": "x", "who": None}, {"kind": "main"}], "peer x, main"),
    ],
)
def test_values_are_shown_for_people(key: str, value: Any, shown: str) -> None:
    assert text.value_text(key, value, NOW) == shown


def test_a_terminal_gets_colours_and_no_more_than_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = [["done", "x" * 100], ["odd", "y"]]
    lines = text.table(rows, ["status", "title"])
    assert lines[1].startswith("\x1b[32mdone")
    assert all(text.width(click.unstyle(line)) <= 30 for line in lines)
    assert "…" in lines[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.table(rows, ["status", "title"])[1].startswith("done")


def printed(operation: str, value: Any, form: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(operation, value, form)
    return capsys.readouterr().out.splitlines()


AGENT = {
    "id": 1,
    "name": "ann",
    "kind": "sub_agent",
    "status": "ready",
    "status_why": "joined",
    "leases": 0,
    "capacity": 1,
    "capabilities": ["a", "b"],
    "beat_at": None,
}


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("agent.ls", {"items": [AGENT]}, "table", capsys)
    assert lines == [
        "NAME  STATUS  SINCE  BEAT  HELD  CAPABILITIES  WHY",
        "ann   ready       -     -   0/1  a, b          joined",
    ]
    assert printed("agent.ls", {"items": []}, "table", capsys) == ["nothing to list"]
    assert (
        printed("agent.ls", {"items": [AGENT, AGENT]}, "jsonl", capsys)
        == [json.dumps(AGENT, separators=(",", ":"))] * 2
    )
    assert json.loads("".join(printed("agent.ls", {"items": [AGENT]}, "json", capsys))) == {"items": [AGENT]}


def test_details_with_what_is_inside(capsys: pytest.CaptureFixture[str]) -> None:
    detail = {
        "task": {"id": 7, "title": "Write it", "agent": None},
        "depends_on": [5, 6],
        "assignments": [{"id": 1, "agent": "ann", "status": "pending", "attempt": 2}],
        "comments": [],
        "steps": [{"step": 1, "kind": "main", "outcome": "taken", "target": "Ruto"}],
    }
    assert printed("task.show", detail, "table", capsys) == [
        "depends_on  5, 6",
        "",
        "task",
        "id     7",
        "title  Write it",
        "",
        "assignments",
        "ID  AGENT  STATUS   ATTEMPT",
        "1   ann    pending  2",
        "",
        "steps",
        "STEP  KIND  OUTCOME  TARGET",
        "1     main  taken    Ruto",
    ]


def test_the_state_of_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    status = {
        "incarnation": "k7",
        "needs": {"exhausted": 2, "dead": 1},
        "needs_more": True,
        "tasks": {"todo": 3},
        "assignments": {},
        "agents": {"ready": 1},
        "exhausted": 2,
        "quarantined": 0,
        "outbox": 4,
        "outbox_oldest_s": 0.25,
        "ping_lag_s": 0.5,
        "deadline_lag_s": 0,
        "services": [{"service": "pinger", "process": "1-a", "lag_s": 3}],
        "findings": [{"name": "relay", "severity": "error", "detail": "gone", "fix": "rollcall run relay"}],
    }
    assert printed("system.status", status, "table", capsys) == [
        "needs somebody: 2 exhausted, 1 dead, and more (rollcall attention ls)",
        "tasks        todo 3",
        "assignments  none",
        "agents       ready 1",
        "late         pings 0.5 s, deadlines 0.0 s",
        "outbox       4 (oldest 0.2 s)",
        "store        k7",
        "",
        "SERVICE  PROCESS  TICK  LAG  WAITING",
        "pinger   1-a      -     3s   0",
        "",
        "error    relay  gone",
        "                do: rollcall run relay",
        "",
        "1 error",
    ]
    calm = printed(
        "system.status",
        status | {"needs": {}, "needs_more": False, "services": [], "findings": []},
        "table",
        capsys,
    )
    assert (calm[0], len(calm)) == ("nobody is needed", 7)
