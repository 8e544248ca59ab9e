"""What the run amounts to, read from the store once everything has stopped.

The measures are those of the plan, each from the history alone: see docs/semantics.md for what is promised.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, Final

from rollcall.cli.text import cut, table

US: Final = 1_000_000
TICKS_US: Final = 2 * US
_TITLE_CELLS: Final = 40

_TASKS: Final = """
    SELECT t.key, t.title, t.status,
        (SELECT a.agent FROM assignments a WHERE a.task_id = t.id ORDER BY a.id DESC LIMIT 1) AS owner,
        (SELECT count(*) FROM pings p JOIN assignments a ON a.id = p.assignment_id
            WHERE a.task_id = t.id) AS pings,
        (SELECT count(*) FROM audit e JOIN assignments a ON e.aggregate_id = CAST(a.id AS TEXT)
            WHERE e.aggregate = 'assignment' AND e.actor LIKE 'agent:%' AND a.task_id = t.id) AS acks,
        (SELECT count(*) FROM assignments a WHERE a.task_id = t.id AND a.level > 0) AS escalations
    FROM tasks t ORDER BY t.id"""
_FIRST: Final = """
    SELECT t.key, a.id, a.accept_us, a.assigned_at, a.accepted_at, a.level, a.agent,
        (SELECT min(p.sent_at) FROM pings p WHERE p.assignment_id = a.id) AS pinged_at,
        (SELECT min(e.at) FROM audit e WHERE e.aggregate = 'assignment'
            AND e.aggregate_id = CAST(a.id AS TEXT) AND e.actor LIKE 'agent:%') AS answered_at
    FROM assignments a JOIN tasks t ON t.id = a.task_id ORDER BY a.id"""
_LATE: Final = "SELECT due_at, coalesce(published_at, sent_at) AS left_at FROM pings"

Row = dict[str, Any]


class Summary:
    """Reads the store's file."""

    def __init__(self, store: Path, scale: float) -> None:
        database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        self.tasks = [dict(row) for row in database.execute(_TASKS)]
        self.leases = [dict(row) for row in database.execute(_FIRST)]
        self.pings = [dict(row) for row in database.execute(_LATE)]
        database.close()
        self.scale = scale

    def lines(self, silent: Sequence[str]) -> Iterator[str]:
        """Yield the table of tasks, then the totals against the plan's measures."""
        heads = ("task", "title", "owner", "pings", "answers", "first answer", "escalations")
        first = self._first_answers()
        rows = [
            (
                str(row["key"]),
                cut(str(row["title"]), _TITLE_CELLS),
                str(row["owner"]) if row["status"] == "done" else f"{row['owner']} ({row['status']})",
                str(row["pings"]),
                str(row["acks"]),
                f"{first[row['key']]:.2f} s" if row["key"] in first else "none",
                str(row["escalations"] or ""),
            )
            for row in self.tasks
        ]
        yield from table(rows, heads)
        yield ""
        yield from self._measures(silent)

    def _first_answers(self) -> dict[str, float]:
        """Return for each task the seconds from its first ping to its first answer."""
        found: dict[str, float] = {}
        for key in {row["key"] for row in self.leases}:
            of_task = [row for row in self.leases if row["key"] == key]
            pinged = [row["pinged_at"] for row in of_task if row["pinged_at"]]
            answered = [row["answered_at"] for row in of_task if row["answered_at"]]
            if pinged and answered:
                found[key] = (min(answered) - min(pinged)) / US
        return found

    def _measures(self, silent: Sequence[str]) -> Iterator[str]:
        pinged = [row for row in self.leases if row["pinged_at"]]
        willing = [row for row in pinged if row["agent"] not in silent]
        moved = [row for row in self.leases if row["level"]]
        waits = [(row["answered_at"] - row["pinged_at"]) / US for row in pinged if row["answered_at"]]
        done = sum(row["status"] == "done" for row in self.tasks)
        yield f"{done} of {len(self.tasks)} tasks done"
        others = _share(list(map(_in_time, willing))).strip()
        yield f"answered in time      {_share(list(map(_in_time, pinged)))}   goal > 95 %"
        yield f"  by who means to     {others:>7}   without {' and '.join(silent)}"
        if waits:
            mean, (p50, p95) = fmean(waits), _median_and_p95(waits)
            yield (
                f"average response      {mean:5.2f} s   goal < 5 min; {mean / (60 * self.scale):.1f} min "
                f"of promise time; p50 {p50:.2f} s, p95 {p95:.2f} s"
            )
        yield f"escalations answered  {_share(list(map(_in_time, moved)))}   goal > 90 %, of {len(moved)}"
        yield f"minutes on time       {_share(self._punctual())}   goal > 99.5 %, every ping within 2 s"

    def _punctual(self) -> list[bool]:
        """Return for each minute with due pings whether all of them left within two ticks."""
        minutes: dict[int, bool] = {}
        for row in self.pings:
            minute = row["due_at"] // (60 * US)
            minutes[minute] = minutes.get(minute, True) and row["left_at"] - row["due_at"] <= TICKS_US
        return list(minutes.values())


def _in_time(row: Row) -> bool:
    """Tell whether the agent answered before its clock ran out; a snooze counts."""
    return row["answered_at"] is not None and row["answered_at"] <= row["assigned_at"] + row["accept_us"]


def _share(held: Sequence[bool]) -> str:
    return f"{100 * sum(held) / len(held):5.1f} %" if held else "   none"


def _median_and_p95(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:  # noqa: PLR2004
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]
