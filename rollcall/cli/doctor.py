"""`rollcall doctor`: what is wrong, and the command that mends it."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
import msgspec

from rollcall.cli.failures import FAILED
from rollcall.cli.house import plain_failures, settings_from, settings_options
from rollcall.cli.setting import form_option
from rollcall.cli.text import clean, colorful, room, width

_COLORS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
_GAP: Final = "  "
_NARROW: Final = 20


@click.command()
@settings_options
@click.pass_context
def doctor(ctx: click.Context, /, form: str, **values: Any) -> None:
    """Look for what is wrong, and say how to mend it; fails while there is an error.

    An error means that Rollcall does not keep its promises until it is mended, a warning that somebody
    should look.
    """
    settings = settings_from(values).settings
    from rollcall.doctor import doctor as look
    from rollcall.log import setup

    setup("error", settings.log.format)  # what is wrong is said below, once
    with plain_failures():
        found = look(settings)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    elif form == "jsonl":
        for finding in found:
            click.echo(msgspec.json.encode(finding))
    else:
        for line in page(found, columns=room(), color=colorful()):
            click.echo(line)
    ctx.exit(FAILED if any(finding.severity == "error" for finding in found) else 0)


doctor.params.append(form_option())


def page(findings: Sequence[Any], *, columns: int, color: bool) -> Iterator[str]:
    """Yield what was found as lines of `columns` cells: how it is, what it is, why, and what to do."""
    names = max(width(finding.name) for finding in findings)
    for finding in findings:
        mark = f"{finding.severity:<7}"
        if color:
            mark = click.style(mark, fg=_COLORS[finding.severity])
        head = f"{mark}{_GAP}{finding.name:<{names}}"
        margin = 7 + names + 2 * len(_GAP)
        text = textwrap.wrap(clean(finding.detail), max(columns - margin, _NARROW), break_long_words=False)
        yield f"{head}{_GAP}{text[0] if text else ''}".rstrip()
        yield from (" " * margin + line for line in text[1:])
        if finding.fix and finding.severity != "ok":
            yield " " * margin + f"do: {clean(finding.fix)}"
    yield ""
    yield _summary(findings)


def _summary(findings: Sequence[Any]) -> str:
    counts = {word: sum(finding.severity == word for finding in findings) for word in ("error", "warning")}
    said = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return ", ".join(said) or "all is well"
