"""Prints what an operation answered, for people (`table`) or for programs (`json`, `jsonl`).

The standard library alone: it starts with every verb.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rollcall.cli.text import clean, colorful, room, span_text, styled, table, value_text, width
from rollcall.cli.tree import array_of, is_array, is_object, object_of

_COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "machine.ls": ("name", "connected", "beat_at", "joined_at", "lost_at", "left_at", "release"),
    "team.ready": (
        "name",
        "ready",
        "status",
        "status_since",
        "why",
        "flags",
        "leases",
        "capacity",
        "beat_at",
    ),
    "task.ls": ("id", "priority", "status", "agent", "title", "last_ping_at", "last_ack_at", "due_at"),
    "escalation.ls": (
        "id",
        "task_id",
        "title",
        "agent",
        "policy",
        "position",
        "started_at",
        "ended_at",
        "end_reason",
    ),
    "assignment.ls": (
        "id",
        "task_id",
        "agent",
        "status",
        "end_reason",
        "assigned_at",
        "accepted_at",
        "deadline_at",
    ),
    "assignments": (
        "id",
        "agent",
        "status",
        "end_reason",
        "assigned_at",
        "accepted_at",
        "ended_at",
        "attempt",
    ),
    "reminder.ls": ("id", "due_at", "every_us", "agent", "task_id", "text", "fired", "ended_at"),
    "reminders": ("id", "due_at", "every_us", "agent", "text", "fired"),
    "todos": ("id", "position", "done", "required", "phase_id", "text", "updated_by"),
    "phases": ("id", "position", "status", "required", "name", "updated_by"),
    "todo.ls": ("id", "position", "done", "required", "phase_id", "text", "updated_by"),
    "phase.ls": ("id", "position", "status", "required", "name", "updated_by"),
    "leases": ("assignment", "task", "status", "title", "accept_by", "progress_by", "snooze_until"),
}


def show(operation: str, value: Any, form: str) -> None:
    """Write an answer to standard output."""
    sys.stdout.writelines(f"{line}\n" for line in shown(operation, value, form))
    sys.stdout.flush()


def shown(operation: str, value: Any, form: str) -> Iterator[str]:
    """Yield the lines of an answer."""
    if form == "json":
        yield json.dumps(value, indent=2, ensure_ascii=False)
    elif form == "jsonl":
        for line in array_of(object_of(value).get("items", value)):
            yield json.dumps(line, separators=(",", ":"), ensure_ascii=False)
    else:
        yield from _SPECIAL.get(operation, _lines)(operation, value, datetime.now(UTC))


def _lines(operation: str, value: Any, now: datetime) -> Iterator[str]:
    if "items" in value:
        rows = array_of(value["items"])
        yield from _table(operation, rows, now) if rows else ("nothing to list",)
    else:
        yield from _block(value, now)


def _block(value: Any, now: datetime) -> Iterator[str]:
    """Yield the plain values, then what is inside."""
    plain: list[tuple[str, str]] = []
    inside: list[tuple[str, Any]] = []
    for key, item in object_of(value).items():
        if _nested(item):
            inside.append((key, item))
        elif text := value_text(key, item, now):
            plain.append((key, text))
    size = max((width(key) for key, _ in plain), default=0)
    yield from (f"{key:<{size}}  {text}" for key, text in plain)
    for key, item in inside:
        yield ""
        yield styled(key, "bold") if colorful() else key
        yield from _table(key, item, now) if is_array(item) else _block(item, now)


def _nested(item: Any) -> bool:
    """Return whether this needs lines of its own: objects that are not mere counts, and lists of objects."""
    if is_object(item):
        return not all(isinstance(part, int) for _, part in object_of(item).items())
    return is_array(item) and any(is_object(part) for part in array_of(item))


def _table(name: str, rows: Sequence[Any], now: datetime) -> list[str]:
    flat = [_flat(row) for row in rows]
    columns = _COLUMNS.get(name) or list(dict.fromkeys(key for row in flat for key in row))
    cells = [[value_text(column, row.get(column), now) for column in columns] for row in flat]
    kept = [n for n, _ in enumerate(columns) if any(row[n] for row in cells)] or [0]
    return table([[row[n] for n in kept] for row in cells], [columns[n].removesuffix("_us") for n in kept])


def _flat(row: Any) -> dict[str, Any]:
    """Return a row with what is inside its objects beside its own values."""
    found: dict[str, Any] = {}
    for key, value in object_of(row).items():
        if is_object(value):
            found |= {inner: item for inner, item in object_of(value).items() if inner not in found}
        else:
            found[key] = value
    return found


def _outcome(_operation: str, value: Any, now: datetime) -> Iterator[str]:
    notes = [word for word in ("already", "deferred") if value.get(word)]
    more = f" ({', '.join(notes)})" if notes else ""
    yield f"assignment {value['assignment']}: {value_text('status', value.get('status'), now)}{more}"


def _next(_operation: str, value: Any, now: datetime) -> Iterator[str]:
    lease = object_of(value.get("lease"))
    if not lease:
        yield "nothing yet"
        return
    ping = object_of(lease.get("ping"))
    told = {
        key: ping.get(key)
        for key in ("description", "answer_by", "escalated_from", "offered_by", "exhausted")
    }
    wanted = ("assignment", "task", "status", "title", "accept_by", "progress_by")
    yield from _block({key: lease.get(key) for key in wanted} | {k: v for k, v in told.items() if v}, now)


def _status(_operation: str, value: Any, now: datetime) -> Iterator[str]:
    needs = [f"{count} {clean(kind)}" for kind, count in object_of(value["needs"]).items() if count]
    if value["needs_more"]:
        needs.append("and more")
    yield f"needs somebody: {', '.join(needs)} (rollcall attention ls)" if needs else "nobody is needed"
    for noun in ("tasks", "assignments", "agents"):
        yield f"{noun:<12} {value_text(noun, value[noun], now) or 'none'}"
    lags = f"pings {value['ping_lag_s']:.1f} s, deadlines {value['deadline_lag_s']:.1f} s"
    yield f"{'late':<12} {lags}"
    yield f"{'outbox':<12} {value['outbox']} (oldest {value['outbox_oldest_s']:.1f} s)"
    yield f"{'store':<12} {value_text('incarnation', value['incarnation'], now)}"
    services = array_of(value.get("services") or [])
    if services:
        yield ""
        yield from _services(services, now)
    if findings := array_of(value.get("findings") or []):
        from rollcall.cli.findings import lines  # queries are not what starts most often

        yield ""
        yield from lines([object_of(row) for row in findings], columns=room(), color=colorful())


def _services(services: Sequence[Any], now: datetime) -> list[str]:
    """Return how the services of each process are: when they last came round, how late, how much waits."""
    from rollcall.cli.agents import age

    rows = sorted((object_of(row) for row in services), key=lambda row: (row["service"], row["process"]))
    cells = [
        [
            clean(row["service"]),
            clean(row["process"]),
            age(row, "ticked_at", now),
            span_text(row.get("lag_s", 0)),
            str(row.get("waiting", 0)),
        ]
        for row in rows
    ]
    return table(cells, ("service", "process", "tick", "lag", "waiting"))


def _agents(_operation: str, value: Any, now: datetime) -> Iterator[str]:
    from rollcall.cli.agents import agent_lines

    rows = [object_of(row) for row in array_of(value["items"])]
    columns = room() if sys.stdout.isatty() else None
    yield from agent_lines(rows, now, columns=columns, color=colorful()) or ("nothing to list",)


def _prime(_operation: str, value: Any, now: datetime) -> Iterator[str]:
    from rollcall.cli.prime import page

    yield from page(value, now)


_ANSWERS: Final = (
    "ack",
    "progress",
    "wait",
    "resume",
    "snooze",
    "unsnooze",
    "complete",
    "fail",
    "release",
    "decline",
)
_SPECIAL: Final[Mapping[str, Callable[[str, Any, datetime], Iterator[str]]]] = {
    **{f"assignment.{kind}": _outcome for kind in _ANSWERS},
    "agent.ls": _agents,
    "agent.prime": _prime,
    "assignment.next": _next,
    "system.status": _status,
}
