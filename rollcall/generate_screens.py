"""docs/screens.md: what operators see, drawn from a fixed fleet, so that the page stays true."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from contracts.operations.system import Finding
from rollcall.cli.agents import agent_lines
from rollcall.cli.findings import lines as doctor_lines
from rollcall.cli.fleet import Fleet
from rollcall.cli.frame import frame
from rollcall.cli.top import document
from rollcall.settings_values import SERVICES

COLUMNS: Final = 80
NOW: Final = datetime(2026, 1, 31, 12, 4, 31, tzinfo=UTC)
_INTRODUCTION: Final = """\
# Screens

<!-- Written by `make generate`; edit rollcall/generate_screens.py and the screens, not this page. -->

What an operator sees, at 80 columns and without colour; on a terminal with colours the words are the same
(`NO_COLOR` turns them off). Where there is too little room the columns KIND and CAPABILITIES go, and the
machine stands before the reason; a pipe gets every column at its whole width. `-o json` has all fields, with
instants instead of ages.

How to read an agent: `STATUS` with what an operator set beside it (`+paused`), `SINCE` when it is so, `BEAT`
how old its last beat is (`none`: it sends none, `-`: it never sent one), `HELD` how many leases of how many
it may hold, `ON` which machine, and what its daemon says of the process unless it runs, `WHY` it is so.
"""


def ago(**length: float) -> str:
    """Return an instant before now, as JSON has it."""
    return (NOW - timedelta(**length)).isoformat()


def agent(name: str, status: str, since: str, why: str, **fields: Any) -> dict[str, Any]:
    """Return an agent as `agent ls -o json` has it, as far as screens show it."""
    given: dict[str, Any] = {
        "kind": "sub_agent",
        "leases": 0,
        "capacity": 1,
        "beats": "required",
        "flags": [],
    }
    said = {"name": name, "status": status, "status_since": since, "status_why": why}
    return {**given, **said, "capabilities": ["python"], **fields}


AGENTS: Final = (
    agent(
        *("builder-1", "working", ago(minutes=3, seconds=12), "has accepted work"),
        leases=1,
        beat_at=ago(seconds=4),
    ),
    agent(
        *("builder-2", "dead_failed_revive", ago(minutes=42), "3 exits in 5 min"),
        beat_at=ago(minutes=47),
        machine="host1",
        process="failed",
    ),
    agent(
        *("checker", "ready", ago(hours=2, minutes=5), "present"),
        beat_at=ago(seconds=11),
        machine="host1",
        process="running",
        flags=["paused"],
    ),
    agent(
        *("docs", "waiting", ago(minutes=9), "all it holds is waiting"),
        leases=1,
        beat_at=ago(seconds=26),
    ),
    agent("legal", "offline", ago(days=3, hours=4), "left", beat_at=ago(days=3, hours=4)),
    agent(
        *("painter", "suspect", ago(seconds=41), "missed its beats"),
        leases=1,
        beat_at=ago(seconds=131),
    ),
    agent(
        *("Ruto", "busy", ago(minutes=1), "holds what it has not accepted"),
        kind="main_agent",
        leases=1,
        capacity=10,
        beats="none",
        capabilities=["escalation"],
    ),
)
EXHAUSTED: Final = Finding(
    name="exhausted",
    severity="warning",
    detail="1 asked in vain to the end of the policy",
    fix="rollcall task ls",
)
FINDINGS: Final = (
    Finding(name="python", severity="ok", detail="3.11.7"),
    Finding(
        name="sqlite",
        severity="warning",
        detail="3.40.1: before 3.51.3 several writing processes (2 here) risk a rare race",
        fix="rollcall up   (all in one process)",
    ),
    Finding(
        name="store",
        severity="ok",
        detail="/var/lib/rollcall/rollcall.db: schema 4, incarnation k7Qm2xV9, 28 tasks, 0.4 MiB",
    ),
    Finding(name="bus", severity="ok", detail="nats://127.0.0.1:4222, round trip 0.2 ms"),
    Finding(
        name="running",
        severity="ok",
        detail="assigner, cleanup, escalator, monitor, relay; the latest loop 0.0 s, in the mailboxes 3",
    ),
    Finding(
        name="pinger",
        severity="error",
        detail="not running; last heard 41 s ago; its work is 38 s late",
        fix="rollcall run pinger",
    ),
    Finding(
        name="builder-2",
        severity="warning",
        detail="dead_failed_revive since 42 min: 3 exits in 5 min",
        fix="rollcall agent start builder-2",
    ),
)
_STATUS: Final[dict[str, Any]] = {
    "at": ago(seconds=2),
    "tasks": {"todo": 3, "in_progress": 5, "done": 20},
    "assignments": {"acknowledged": 1, "pending": 3, "waiting": 1},
    "agents": {},
    "exhausted": 0,
    "quarantined": 0,
    "outbox": 2,
    "outbox_oldest_s": 1.5,
    "ping_lag_s": 38.0,
    "deadline_lag_s": 0.0,
    "services": [
        {"service": name, "process": "812-3fa9c1", "at": ago(seconds=3), "lag_s": 0.0, "waiting": 0}
        for name in SERVICES
        if name != "pinger"
    ],
    "alarms": [
        {
            "name": "pinger",
            "since": ago(seconds=35),
            "detail": "not running; last heard 5 s ago",
            "fix": "rollcall run pinger",
        }
    ],
    "findings": msgspec.to_builtins((EXHAUSTED, FINDINGS[-1])),
}


def sample() -> Fleet:
    """Return the fleet of the page, as it was two seconds ago, with one thing heard since."""
    found = Fleet(SERVICES)
    at = NOW - timedelta(seconds=2)
    found.snapshot(msgspec.json.encode({"items": AGENTS}), msgspec.json.encode(_STATUS), at)
    old = {"service": "pinger", "process": "977-b01d22", "at": ago(seconds=41)}
    found.heard("vital.pinger.977-b01d22", msgspec.json.encode(old), NOW)
    joined = {"at": ago(seconds=1), "data": {"status": "working", "why": "has accepted work"}}
    found.heard("evt.agent.docs.status_changed", msgspec.json.encode(joined), NOW - timedelta(seconds=1))
    return found


def screens() -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield the command, what it is for, and what it shows."""
    fleet = sample()
    yield "rollcall top", "The fleet, live.", frame(fleet, NOW, columns=COLUMNS, lines=24, color=False)
    lost = sample()
    lost.lost_at = NOW - timedelta(seconds=12)
    yield (
        "rollcall top",
        "The same when the bus is lost: the data stays, with its age.",
        frame(lost, NOW, columns=COLUMNS, lines=9, color=False),
    )
    rows = [dict(row) for row in AGENTS]
    yield "rollcall agent ls", "The agents by name.", agent_lines(rows, NOW, columns=COLUMNS, color=False)
    yield (
        "rollcall doctor",
        "What is wrong, and the command that mends it; it needs nobody to be alive.",
        list(doctor_lines(msgspec.to_builtins(FINDINGS), columns=COLUMNS, color=False)),
    )
    whole = document(fleet, NOW)
    part = {key: whole[key] for key in ("at", "as_of", "heard_at", "bus_lost_at", "silent", "alarms")}
    text = msgspec.json.format(msgspec.json.encode(part), indent=2).decode()
    yield "rollcall top -o json", "The head of it; the agents and services follow.", text.splitlines()


def page() -> str:
    """Return the page."""
    lines = [_INTRODUCTION]
    for command, what, shown in screens():
        lines += [f"## `{command}`\n", f"{what}\n", "```text", *shown, "```", ""]
    return "\n".join(lines)
