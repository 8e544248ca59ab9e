"""`rollcall watch`: a readable tap of the bus."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from contracts.limits import INT_MAX, NAME_PATTERN
from rollcall.cli.failures import USAGE, Failed
from rollcall.cli.setting import asking, form_option, place_flags, place_options
from rollcall.cli.text import clean, colorful, span_text
from rollcall.cli.tree import is_object, object_of
from rollcall.settings import Settings

FAMILIES: Final = {
    "ping": "yellow",
    "ack": "green",
    "answer": "cyan",
    "notice": "magenta",
    "cmd": "blue",
    "hb": "bright_black",
    "order": "magenta",
    "msg": "white",
    "evt": "bright_blue",
    "wake": "bright_black",
    "vital": "bright_black",
    "dlq": "red",
}
QUIET: Final = {"in", "hb", "wake", "vital"}  # on demand: copies of pings, beats, doorbells, vital signs
_FILTER_CHARS_MAX: Final = 200
_NOISE: Final = {  # in the subject already, or for machines: -o json has it
    *("aggregate", "assignment", "at", "cause", "command_id", "epoch", "event", "id", "incarnation"),
    *("sent_at", "seq", "session", "version"),
}
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+|\*")
_WAITING_MAX: Final = 10_000
_ID: Final = re.compile(r"[0-9]+")


class Seen(Struct, frozen=True, kw_only=True):
    """One message, taken apart."""

    at: datetime
    subject: str  # without the root
    family: str
    kind: str
    agent: str
    task: int | None
    body: Any


class Filters(Struct, frozen=True, kw_only=True):
    """What to show; what is None does not matter."""

    kinds: tuple[str, ...] = ()
    agent: str | None = None
    task: int | None = None
    quiet: bool = True

    def wants(self, seen: Seen) -> bool:
        """Return whether to show it."""
        if self.quiet and seen.family in QUIET:
            return False
        if self.kinds and seen.kind not in self.kinds and seen.family not in self.kinds:
            return False
        if self.agent is not None and seen.agent.lower() != self.agent.lower():
            return False
        return self.task is None or seen.task == self.task


def take_apart(subject: str, data: bytes, at: datetime, tasks: dict[int, int]) -> Seen:
    """Return what a message says; `tasks` learns which task each assignment is about."""
    tokens = subject.split(".")
    family = tokens[0]
    try:
        body: Any = msgspec.json.decode(data) if data else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        body = data.decode(errors="replace")
    fields = object_of(body)
    more = object_of(fields.get("data"))
    assignment = _number(tokens[-1]) if family in {"ping", "ack", "answer", "notice"} else None
    assignment = assignment or _number(fields.get("assignment")) or _number(more.get("assignment"))
    if family == "evt" and tokens[1] == "assignment":
        assignment = _number(tokens[2])
    task = _number(tokens[2]) if family == "evt" and tokens[1] == "task" else None
    task = task or _number(fields.get("task")) or _number(more.get("task"))
    if assignment and task:
        if len(tasks) >= _WAITING_MAX:
            tasks.clear()
        tasks[assignment] = task
    return Seen(
        at=at,
        subject=subject,
        family=family,
        kind=str(fields.get("event") or fields.get("kind") or family),
        agent=_agent(tokens, fields, more),
        task=task or tasks.get(assignment or 0),
        body=body,
    )


def _number(value: object) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _ID.fullmatch(value) else None


def _agent(tokens: list[str], fields: dict[str, Any], more: dict[str, Any]) -> str:
    match tokens:
        case ["ping" | "ack" | "answer" | "notice" | "hb", agent, *_] if agent != "machine":
            return agent
        case (
            ["cmd", "agent", agent, *_]
            | ["order", _, agent, *_]
            | ["msg", agent, *_]
            | ["evt", "agent", agent, *_]
        ):
            return agent
        case _:
            return str(more.get("agent") or fields.get("agent") or "")


def line(seen: Seen, *, color: bool) -> str:
    """Return one line for people."""
    what = clean(_summary(seen.body))
    name = f"{seen.subject:<40}"
    if color:
        name = click.style(name, fg=FAMILIES.get(seen.family))
    return f"{seen.at:%H:%M:%S.%f}"[:-3] + f"  {name}  {what}".rstrip()


def _summary(body: Any) -> str:
    if not is_object(body):
        return "" if body is None else str(body)
    fields = {key: value for key, value in object_of(body).items() if key not in _NOISE}
    fields |= object_of(fields.pop("data", None))
    return " ".join(
        f"{key}={_short(key, value)}" for key, value in fields.items() if value not in (None, "", {})
    )


def _short(key: str, value: Any) -> str:
    if key.endswith("_us") and isinstance(value, int):
        return span_text(value / 1_000_000)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f'"{text}"' if any(map(str.isspace, text)) else text


def checked_filter(text: str) -> str:
    """Return a subject filter without the root, or fail."""
    tokens = text.split(".")
    whole = tokens[:-1] if tokens[-1] == ">" else tokens
    if len(text) > _FILTER_CHARS_MAX or not all(_TOKEN.fullmatch(token) for token in whole):
        raise Failed(
            f"--subject {text[:80]!r}: words with dots between, * for any one, > at the end for the rest",
            USAGE,
        )
    return text


@click.command()
@click.option(
    "--subject",
    "wanted",
    multiple=True,
    metavar="FILTER",
    help="Only these, without the root: `ping.ann.*`, `evt.>`.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="WORD",
    help="Only these: a family (ping, evt, ...), an answer or an event.",
)
@click.option("--agent", metavar="NAME", help="Only what concerns this agent.")
@click.option("--task", type=click.IntRange(1, INT_MAX), help="Only what concerns this task.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also beats, vital signs, doorbells and the copies on their way in.",
)
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many.")
def watch(  # noqa: PLR0913 - one parameter for each option
    *,
    wanted: tuple[str, ...],
    kinds: tuple[str, ...],
    agent: str | None,
    task: int | None,
    everything: bool,
    count: int | None,
    form: str,
    nats_url: str | None,
    creds_path: Any,
    config_path: Any,
) -> None:
    """Show what passes on the bus, as it passes."""
    if agent is not None and not re.fullmatch(NAME_PATTERN, agent):
        raise Failed(f"--agent {agent[:80]!r} is not a name", USAGE)
    settings = asking(config_path, place_flags(nats_url, creds_path))
    subjects = [checked_filter(text) for text in wanted] or [">"]
    filters = Filters(kinds=kinds, agent=agent, task=task, quiet=not everything and not wanted)
    from rollcall.cli import wire

    wire.run(lambda: _tap(settings, subjects, filters, _printer(form, settings), count))


watch.params += [form_option(), *place_options()]


def _printer(form: str, settings: Settings) -> Callable[[Seen], None]:
    color = colorful()
    if form == "table":
        return lambda seen: click.echo(line(seen, color=color))
    return lambda seen: click.echo(
        msgspec.json.encode({"at": seen.at, "subject": f"{settings.root}.{seen.subject}", "body": seen.body})
    )


async def _tap(
    settings: Settings, subjects: list[str], filters: Filters, show: Callable[[Seen], None], count: int | None
) -> None:
    from rollcall.cli import wire

    waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_WAITING_MAX)
    tasks: dict[int, int] = {}
    missed = shown = 0

    def take(message: Any) -> None:
        nonlocal missed
        try:
            waiting.put_nowait((message.subject[len(settings.root) + 1 :], message.data))
        except asyncio.QueueFull:
            missed += 1

    async with wire.line(settings, settings.operator or "operator", lasting=True) as tap:
        await tap.listen(take, *subjects)
        click.echo(f"watching {', '.join(f'{settings.root}.{subject}' for subject in subjects)}", err=True)
        while count is None or shown < count:
            subject, data = await waiting.get()
            if missed:
                click.echo(f"{missed} messages passed unseen", err=True)
                missed = 0
            seen = take_apart(subject, data, datetime.now(UTC), tasks)
            if filters.wants(seen):
                show(seen)
                shown += 1
