"""Text for a terminal: safe, aligned, and no wider than it.

The standard library alone: it starts with every verb.
"""

import os
import sys
import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from rollcall.cli.tree import array_of, is_object, object_of

_COLORS: Final = {
    "green": {"ready", "done", "completed", "acknowledged", "ok", "accepted"},
    "yellow": {"pending", "waiting", "snoozed", "todo", "suspect", "skipped"},
    "red": {"failed", "dead", "dead_failed_revive", "exhausted", "quarantined", "cancelled", "wrong"},
    "cyan": {"in_progress", "working", "busy"},
    "magenta": {"restarting", "stalled"},
}
_COLOR_OF: Final = {word: color for color, words in _COLORS.items() for word in words}
_GAP: Final = "  "
_NARROW: Final = 12  # no column is cut shorter than this
_CODES: Final = {"red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36, "bold": 1}
_PIECES: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def clean(text: str) -> str:
    """Return one line without what steers a terminal or turns text around."""
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} else character


def width(text: str) -> int:
    """Return how many cells a terminal needs for `text`."""
    cells = 0
    for character in text:
        if unicodedata.category(character) not in {"Mn", "Me", "Cf"}:
            cells += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return cells


def cut(text: str, cells: int) -> str:
    """Return `text`, shortened to `cells`."""
    if width(text) <= cells:
        return text
    while text and width(text) > cells - 1:
        text = text[:-1]
    return f"{text}…"


def age(at: datetime, now: datetime) -> str:
    """Return how long ago or how soon, in its two largest units."""
    seconds = int((at - now).total_seconds())
    span = span_text(abs(seconds))
    if span == "0s":
        return "now"
    return f"in {span}" if seconds > 0 else f"{span} ago"


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    left, pieces = int(seconds), list[str]()
    for unit, length in _PIECES:
        number, left = divmod(left, length)
        if number or pieces:
            pieces.append(f"{number}{unit}" if number else "")
    return "".join(pieces[:2]) or "0s"


def value_text(key: str, value: Any, now: datetime) -> str:
    """Return a value as people read it; the key says what it is."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() if key == "priority":
            return f"P{value}"
        case int() | float() if key.endswith("_us"):
            return span_text(value / 1_000_000)
        case float():
            return f"{value:g}"
        case str() if is_time(key):
            return _time_text(value, now)
        case dict() | list():
            return ", ".join(_parts(value, now))
        case _:
            return clean(str(value))


def _parts(value: Any, now: datetime) -> list[str]:
    if is_object(value):
        return [f"{name} {value_text(name, item, now)}" for name, item in object_of(value).items()]
    return [_item_text(item, now) for item in array_of(value)]


def _item_text(item: Any, now: datetime) -> str:
    if is_object(item):  # a step of a policy: its kind, then what it is about
        return " ".join(
            value_text(name, part, now) for name, part in object_of(item).items() if part is not None
        )
    return value_text("", item, now)


def is_time(key: str) -> bool:
    """Return whether values under this key are instants."""
    return key == "at" or key.endswith(("_at", "_by", "_until", "_since"))


def _time_text(value: str, now: datetime) -> str:
    try:
        return age(datetime.fromisoformat(value), now)
    except (ValueError, TypeError):
        return clean(value)


def colorful() -> bool:
    """Return whether standard output is a terminal that likes colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def room() -> int:
    """Return how many cells a line may have: those of the terminal, or of one where there is none."""
    from shutil import get_terminal_size

    return get_terminal_size().columns


def fitted(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    columns: int | None,
    color: bool,
    right: Collection[str] = (),
) -> list[str]:
    """Return aligned lines of at most `columns` cells (None: as wide as they are).

    Columns without a value are left out. Where there is too little room the last column is cut, down to a
    dozen cells, then the widest of the others, then all of them further.
    """
    kept = [n for n, _ in enumerate(head) if any(row[n] for row in rows)] or [0]
    widths = {n: max(width(head[n]), *(width(row[n]) for row in rows)) for n in kept}
    gaps = len(_GAP) * (len(kept) - 1)
    room = sum(widths.values()) + gaps if columns is None else columns
    floor = _NARROW
    while (over := sum(widths.values()) + gaps - room) > 0 and floor:
        last, widest = kept[-1], max(kept, key=lambda n: widths[n])
        given = last if widths[last] > floor else widest
        if widths[given] > floor:
            widths[given] = max(floor, widths[given] - over)
        else:
            floor //= 2
    title = _line([(head[n], widths[n], head[n] in right) for n in kept])
    lines = [styled(title, "bold") if color else title]
    for row in rows:
        cells = [(row[n], widths[n], head[n] in right) for n in kept]
        lines.append(_line(cells, color=color))
    return lines


def least(head: Sequence[str], rows: Sequence[Sequence[str]], *, last_min: int) -> int:
    """Return how many cells the lines of `fitted` need, if the last column may be cut to `last_min`."""
    kept = [n for n, _ in enumerate(head) if any(row[n] for row in rows)] or [0]
    widths = [max(width(head[n]), *(width(row[n]) for row in rows)) for n in kept]
    widths[-1] = min(widths[-1], last_min)
    return sum(widths) + len(_GAP) * (len(kept) - 1)


def _line(cells: Sequence[tuple[str, int, bool]], *, color: bool = False) -> str:
    parts: list[str] = []
    for text, size, right in cells:
        cell = _cell(text, size)
        if right:
            cell = cell.rstrip().rjust(size)
        parts.append(_painted(cell, text.partition(" ")[0], color=color))
    return _GAP.join(parts).rstrip()


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> list[str]:
    """Return aligned lines; on a terminal the widest column gives way."""
    widths = [max(map(width, column)) for column in zip(head, *rows, strict=True)]
    if sys.stdout.isatty():
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - room()
        widest = widths.index(max(widths))
        widths[widest] = max(min(_NARROW, widths[widest]), widths[widest] - max(over, 0))
    color = colorful()
    title = _GAP.join(_cell(name.upper(), size) for name, size in zip(head, widths, strict=True)).rstrip()
    lines = [styled(title, "bold") if color else title]
    for row in rows:
        cells = [
            _painted(_cell(text, size), text, color=color) for text, size in zip(row, widths, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def _cell(text: str, size: int) -> str:
    short = cut(text, size)
    return short + " " * (size - width(short))


def _painted(cell: str, word: str, *, color: bool) -> str:
    return styled(cell, _COLOR_OF[word]) if color and word in _COLOR_OF else cell


def styled(text: str, style: str) -> str:
    """Return text that a terminal shows in a colour, or bold."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
