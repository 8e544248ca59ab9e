"""What holds of every row after every write; and what the store counts for the brakes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from contracts.records import OPEN_STATUSES, Agent, Assignment, Machine, Task
from domain.brakes import silent_since

SILENT = silent_since(0)


def check_row(row: Assignment) -> None:
    """Check I8: an open row has the one clock of its status, and somebody asks for what is owed."""
    clocks = [row.accept_by, row.progress_by, row.wait_until, row.snooze_until]
    running = [clock for clock in clocks if clock is not None]
    if row.status not in OPEN_STATUSES:
        assert not running
        assert (row.deadline_at, row.ping_at, row.exhausted) == (None, None, False)
        assert (row.warn_by, row.stalled) == (None, False)
        assert row.end_reason is not None
        assert row.ended_at is not None
        return
    assert row.end_reason is None
    assert len(running) == 1, "not the one clock of its status"
    if row.quarantined:
        assert (row.deadline_at, row.ping_at) == (None, None), "it is not out of the due columns"
        return
    assert row.deadline_at is not None
    assert not row.stalled or (row.status == "acknowledged" and row.warn_by is None)
    if row.status in ("waiting", "snoozed"):
        assert row.ping_at is None
    elif row.pings_enabled:
        assert row.ping_at is not None or row.repeats, "an answer is owed and nobody asks"


def check_task(task: Task, row: Assignment | None, waits_for: Sequence[Task]) -> None:
    """Check that a task agrees with its open lease, if it has one, and with what it waits for."""
    found = (None, None) if row is None else (row.id, row.agent)
    assert (task.assignment_id, task.agent) == found
    assert (task.status == "in_progress") == (row is not None)
    if task.status == "todo":
        unfinished = sum(on.status != "done" for on in waits_for)
        assert task.blockers == unfinished, "blockers are miscounted"
        assert (task.assign_at is None) == bool(unfinished), "nobody looks at it, or too early"
        if any(on.status in ("failed", "cancelled") for on in waits_for):
            assert task.alarmed, "it waits for ever and nobody knows"
    else:
        assert task.assign_at is None
    if row is not None:
        assert (row.epoch, row.round) == (task.epoch, task.round)


def members(agents: Mapping[str, Agent]) -> list[tuple[Any, ...]]:
    """Return what brake_members counts."""
    found = (
        row
        for row in agents.values()
        if row.active and row.beats == "required" and row.joined_at is not None and row.left_at is None
    )
    return list(Counter(row.machine for row in found if row.dead_at is None).items())


def silent(agents: Mapping[str, Agent], machines: Mapping[str, Machine]) -> list[tuple[Any, ...]]:
    """Return what brake_silent counts."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in agents.values():
        host = machines.get((row.machine or "").lower())
        vouched = row.process == "running" and host is not None and host.connected
        judged = row.dead_at is not None or row.silent_at is not None
        if row.suspect_at is not None and judged and not vouched:
            counts[row.machine, row.suspect_at // 1_000_000, row.dead_at is not None] += 1
    return [(*key, count) for key, count in counts.items()]


def write_rows(
    rows: dict[Any, Any],
    records: Sequence[Any],
    key: Callable[[Any], Any],
    moves: Callable[[Any, Any], None] | None = None,
) -> dict[tuple[str, str], int]:
    """Insert version 0, update at the expected version; return the versions after the write."""
    keys = [key(record) for record in records]
    assert len(keys) == len(set(keys)), "one record twice"
    found: dict[tuple[str, str], int] = {}
    for name, record in zip(keys, records, strict=True):
        known = rows.get(name)
        assert (0 if known is None else known.version) == record.version, f"stale {record}"
        if moves is not None and known is not None:
            moves(known, record)
        rows[name] = structs.replace(record, version=record.version + 1)
        kind = type(record).__name__.lower()
        found[kind, str(getattr(record, "name", None) or record.id)] = record.version + 1
    return found
