"""An agent as a row of a screen: how it is, since when and why, and how old that is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rollcall.cli.text import clean, fitted, least, span_text
from rollcall.cli.tree import array_of

_HEAD: Final = ("NAME", "KIND", "STATUS", "SINCE", "BEAT", "HELD", "ON", "CAPABILITIES", "WHY")
_RIGHT: Final = frozenset({"SINCE", "BEAT", "HELD"})
_DROPPED: Final = ("KIND", "CAPABILITIES")  # where there is too little room, in this order
_ON, _WHY = _HEAD.index("ON"), _HEAD.index("WHY")
_WHY_MIN: Final = 16


def agent_lines(
    rows: Sequence[dict[str, Any]],
    now: datetime,
    *,
    columns: int | None,
    color: bool,
    without: Sequence[str] = (),
) -> list[str]:
    """Return a table of agents without some columns, and without those for which there is no room.

    Where the machine has no column of its own it stands before the reason.
    """
    if not rows:
        return []
    cells = [_cells(row, now) for row in rows]
    tables = [_picked(cells, (*without, *dropped)) for dropped in ((), _DROPPED, (*_DROPPED, "ON"))]
    fits = (found for found in tables if columns is None or least(*found, last_min=_WHY_MIN) <= columns)
    head, shown = next(fits, tables[-1])
    return fitted(head, shown, columns=columns, color=color, right=_RIGHT)


def _picked(cells: Sequence[list[str]], without: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    left = [name for name in _HEAD if name not in without]
    rows = [_folded(row) if "ON" not in left else row for row in cells]
    return left, [[row[_HEAD.index(name)] for name in left] for row in rows]


def _folded(row: list[str]) -> list[str]:
    return [*row[:_WHY], f"{row[_ON]}: {row[_WHY]}" if row[_ON] else row[_WHY]]


def age(row: dict[str, Any], key: str, now: datetime) -> str:
    """Return how long ago an instant of a row was; a dash if there is none."""
    try:
        at = datetime.fromisoformat(str(row.get(key)))
        return span_text(max(0.0, (now - at).total_seconds()))
    except (ValueError, TypeError):
        return "-"


def _cells(row: dict[str, Any], now: datetime) -> list[str]:
    flags = "".join(f" +{clean(str(flag))}" for flag in array_of(row.get("flags") or []))
    return [
        clean(str(row.get("name"))),
        "main" if row.get("kind") == "main_agent" else "",
        clean(str(row.get("status"))) + flags,
        age(row, "status_since", now),
        "none" if row.get("beats") == "none" else age(row, "beat_at", now),
        f"{row.get('leases', 0)}/{row.get('capacity', 0)}",
        _place(row),
        clean(", ".join(map(str, row.get("capabilities") or ()))),
        clean(str(row.get("status_why") or "")),
    ]


def _place(row: dict[str, Any]) -> str:
    """Return on which machine, and what its daemon says of the process unless it simply runs."""
    said = [row.get("machine"), None if row.get("process") == "running" else row.get("process")]
    return " ".join(clean(str(word)) for word in said if word)
