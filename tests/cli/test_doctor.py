"""`rollcall doctor`: what it says, as text of 80 columns and as JSON, and with which exit code."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import click
import msgspec
import pytest

from contracts.codec import encode
from contracts.messages import Vital
from contracts.operations.system import Finding
from contracts.work import Stamp
from rollcall.cli.findings import lines
from rollcall.cli.root import root
from rollcall.clock import SystemClock
from rollcall.settings_values import SERVICES
from store.open import open_store
from tests.cli.conftest import Bus, Command

OK = Finding(name="store", severity="ok", detail="fine", fix="never mind")
WARNING = Finding(name="outbox", severity="warning", detail="old", fix="rollcall run relay")
ERROR = Finding(name="bus", severity="error", detail="gone\x1b[2J " * 12, fix="rollcall up")


def planted(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rollcall.doctor", SimpleNamespace(doctor=lambda _: list(findings)))
    monkeypatch.setattr("rollcall.log.setup", lambda *_: None)


async def test_it_names_what_is_wrong_and_the_command(
    rollcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, OK, WARNING, ERROR)
    done = await rollcall("doctor", env={"COLUMNS": "60"})
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "ok       store   fine",
        "warning  outbox  old",
        "                 do: rollcall run relay",
        "error    bus     gone[2J gone[2J gone[2J gone[2J gone[2J",
        "                 gone[2J gone[2J gone[2J gone[2J gone[2J",
        "                 gone[2J gone[2J",
        "                 do: rollcall up",
        "",
        "1 error, 1 warning",
    ]
    rows = json.loads((await rollcall("doctor", "-o", "json")).stdout)
    assert [(row["name"], row["severity"]) for row in rows] == [
        ("store", "ok"),
        ("outbox", "warning"),
        ("bus", "error"),
    ]
    lines = (await rollcall("doctor", "-o", "jsonl")).stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [((OK,), 0, "all is well"), ((OK, WARNING, WARNING), 0, "2 warnings"), ((ERROR, ERROR), 1, "2 errors")],
)
async def test_only_an_error_is_a_failure(
    rollcall: Command, monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int, last: str
) -> None:
    planted(monkeypatch, *findings)
    done = await rollcall("doctor")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (code, last)


def test_with_colours_it_says_the_same() -> None:
    import click

    plain = list(lines(msgspec.to_builtins([OK, WARNING]), columns=80, color=False))
    colored = list(lines(msgspec.to_builtins([OK, WARNING]), columns=80, color=True))
    assert (plain != colored, [click.unstyle(line) for line in colored]) == (True, plain)


async def stamped(folder: Path, *services: str, ago_s: float = 0.0) -> None:
    """Leave a store in which these services have each said that they live, in processes of their own."""
    now = SystemClock().now() - round(ago_s * 1e6)
    store = await open_store(folder / "rollcall.db", now=now)
    for number, name in enumerate(services):
        vital = Vital(service=name, process=f"{number}-a", at=at(now), ticked_at=at(now))
        await store.stamp(
            Stamp(process=f"{number}-a", service=name, now=now, server="s", vitals=encode([vital]))
        )
    await store.close()


def at(us: int) -> Any:
    from contracts.codec import instant

    return instant(us)


async def look(rollcall: Command, folder: Path, url: str = "", **env: str) -> dict[str, Any]:
    settings = {"ROLLCALL_STATE_DIR": str(folder), **({"ROLLCALL_NATS__URL": url} if url else {}), **env}
    done = await rollcall("doctor", "-o", "json", env=settings)
    assert done.exit_code in (0, 1), done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}


async def test_what_is_expected_and_does_not_run(rollcall: Command, tmp_path: Path) -> None:
    await stamped(tmp_path, "pinger", "relay")
    found = await look(rollcall, tmp_path, ROLLCALL_SERVICES__EXPECTED="pinger, monitor")
    assert found["monitor"]["fix"] == "rollcall run monitor"
    assert (found["running"]["severity"], "pinger" in found["running"]["detail"]) == ("ok", True)
    assert found["bus"] == {
        "name": "bus",
        "severity": "error",
        "detail": "no address known",
        "fix": "rollcall up",
    }


async def test_the_version_of_sqlite_counts_when_several_write(
    rollcall: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stamped(tmp_path, "pinger", "relay")
    found: dict[tuple[int, int, int], str] = {}
    for version in ((3, 51, 2), (3, 51, 3)):
        monkeypatch.setattr("sqlite3.sqlite_version_info", version)
        found[version] = (await look(rollcall, tmp_path))["sqlite"]["severity"]
    assert list(found.values()) == ["warning", "ok"]
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 40, 1))
    await anyio.Path(tmp_path / "other").mkdir()
    await stamped(tmp_path / "other", "pinger")
    assert (await look(rollcall, tmp_path / "other"))["sqlite"]["severity"] == "ok"


async def test_a_way_in_which_people_cannot_be_told_is_a_finding(rollcall: Command, tmp_path: Path) -> None:
    await stamped(tmp_path, "notifier")
    with closing(sqlite3.connect(tmp_path / "rollcall.db")) as file:
        held = "1, 'channel:ntfy', 'channel', NULL, 'ntfy', 'too late', 0, 0, NULL, NULL"
        file.execute(f"INSERT INTO notifications VALUES ({held})")
        file.commit()
    found = (await look(rollcall, tmp_path))["notify.ntfy"]
    assert (found["severity"], "too late" in found["detail"]) == ("warning", True)
    assert found["fix"].startswith("rollcall notification test --way ntfy")


async def test_nothing_runs_any_more(rollcall: Command, tmp_path: Path) -> None:
    await stamped(tmp_path, "pinger", "monitor", ago_s=300)
    found = await look(rollcall, tmp_path)
    assert found["services"]["detail"] == f"none of the {len(SERVICES)} runs; last heard 5 min ago"
    assert "running" not in found


async def test_a_store_that_cannot_be_judged(rollcall: Command, tmp_path: Path) -> None:
    (tmp_path / "rollcall.db").write_bytes(b"no store" * 99)
    found = await look(rollcall, tmp_path)
    assert (found["store"]["severity"], found["store"]["fix"]) == ("error", "rollcall restore FILE")


async def test_without_a_store_here_the_monitor_is_asked(rollcall: Command, bus: Bus, tmp_path: Path) -> None:
    vital = {"service": "pinger", "process": "1-a", "at": AT, "ticked_at": AT, "lag_s": 3.0, "waiting": 4}
    finding = {"name": "relay", "severity": "error", "detail": "not running", "fix": "rollcall run relay"}
    told = {
        "incarnation": "k",
        "at": AT,
        "needs": {},
        "needs_more": False,
        "tasks": {},
        "assignments": {},
        "agents": {},
        "processes": [],
        **dict.fromkeys(("exhausted", "quarantined", "outbox"), 0),
        **dict.fromkeys(("outbox_oldest_s", "ping_lag_s", "deadline_lag_s"), 0.0),
        "services": [vital],
        "alarms": [],
        "findings": [finding],
    }
    bus.answer("system-status", told)
    found = await look(rollcall, tmp_path / "none", bus.url)
    assert (found["relay"]["fix"], found["bus"]["severity"]) == ("rollcall run relay", "error")
    assert found["running"]["detail"] == "pinger; the latest loop 3.0 s, in the mailboxes 4"
    bus.answer("system-status", b"odd")
    assert "relay" not in await look(rollcall, tmp_path / "none", bus.url)


AT = "2026-01-31T12:00:00Z"


FIXES = re.compile(r"\brollcall ([a-z]+)((?: [a-z]+)?)")


@pytest.mark.parametrize("source", ["domain/health.py", "rollcall/doctor.py", "docs/operating.md"])
def test_every_command_that_is_named_exists(source: str) -> None:
    text = (Path(__file__).parents[2] / source).read_text("utf-8")
    named = FIXES.findall(re.sub(r"\{'start' if .* else 'show'\}", "start", text))
    assert named
    for word, more in named:
        command = root.get_command(None, word)  # type: ignore[arg-type] # the list is the same everywhere
        if isinstance(command, click.Group) and more:
            command = command.commands.get(more.strip())
        assert command is not None, f"rollcall {word}{more}"
