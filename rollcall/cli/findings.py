"""What was found wrong as lines of text: how it is, what it is, why, and the command that mends it."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rollcall.cli.text import clean, styled, width

_COLORS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
_MARK: Final = 7  # cells of the longest of these words
_GAP: Final = "  "
_NARROW: Final = 20


def lines(findings: Sequence[Mapping[str, Any]], *, columns: int, color: bool) -> Iterator[str]:
    """Yield findings as lines of `columns` cells, commands unbroken, and how many errors there are."""
    names = max((width(str(finding["name"])) for finding in findings), default=0)
    margin = _MARK + names + 2 * len(_GAP)
    for finding in findings:
        mark = f"{finding['severity']:<{_MARK}}"
        if color:
            mark = styled(mark, _COLORS[finding["severity"]])
        name, fix = clean(str(finding["name"])), clean(str(finding.get("fix") or ""))
        text = textwrap.wrap(clean(finding["detail"]), max(columns - margin, _NARROW), break_long_words=False)
        yield f"{mark}{_GAP}{name:<{names}}{_GAP}{text[0] if text else ''}".rstrip()
        yield from (" " * margin + line for line in text[1:])
        if fix and finding["severity"] != "ok":
            yield " " * margin + f"do: {fix}"
    yield ""
    yield _summary(findings)


def _summary(findings: Sequence[Mapping[str, Any]]) -> str:
    counts = {word: sum(finding["severity"] == word for finding in findings) for word in ("error", "warning")}
    said = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return ", ".join(said) or "all is well"
