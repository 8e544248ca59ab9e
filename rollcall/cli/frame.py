"""The fleet as lines of text: what needs somebody first, each fact with its age, none too wide."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import click

from rollcall.cli.agents import age, agent_lines
from rollcall.cli.fleet import Fleet
from rollcall.cli.text import clean, cut, span_text, width
from rollcall.cli.tree import array_of, object_of

_TROUBLES_MAX: Final = 5
_AGENTS_MIN: Final = 3


def frame(fleet: Fleet, now: datetime, *, columns: int, lines: int | None, color: bool) -> list[str]:
    """Return the screen; `lines` None shows every agent."""
    found = [cut(_head(fleet, now), columns)]
    if banner := _banner(fleet, now):
        found.append(_painted(cut(banner, columns), color=color, fg="white", bg="red", bold=True))
    found += [cut(line, columns) for line in _numbers(fleet, now)]
    found += [_painted(cut(line, columns), color=color, fg="red") for line in _lines(fleet, now, columns)]
    found.append("")
    agents = fleet.ordered()
    room = len(agents) if lines is None else max(_AGENTS_MIN, lines - len(found) - 1)
    shown = agents if len(agents) <= room else agents[: room - 1]
    found += agent_lines(shown, now, columns=columns, color=color, without=("KIND", "CAPABILITIES"))
    if hidden := agents[len(shown) :]:
        found.append(cut(f"and {len(hidden)} more: {_counted(hidden)}", columns))
    if not agents and fleet.as_of is not None:
        found.append("no agents yet: rollcall agent add NAME")
    return found


def _since(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else f"{span_text(max(0.0, (now - at).total_seconds()))} ago"


def _painted(text: str, *, color: bool, **style: Any) -> str:
    return click.style(text, **style) if color else text


def _head(fleet: Fleet, now: datetime) -> str:
    """Return what time it is, and how old everything below is."""
    if fleet.as_of is None:
        return f"rollcall  {now:%H:%M:%S} UTC   asking"
    heard = "" if fleet.heard_at is None else f", last event {_since(fleet.heard_at, now)}"
    return f"rollcall  {now:%H:%M:%S} UTC   fleet as of {_since(fleet.as_of, now)}{heard}"


def _banner(fleet: Fleet, now: datetime) -> str:
    """Return why nothing new can be heard, if so, and how old what is shown is."""
    old = "nothing is known" if fleet.as_of is None else f"all below is as of {_since(fleet.as_of, now)}"
    if fleet.lost_at is not None:
        return f"*** BUS LOST {_since(fleet.lost_at, now)}; {old} ***"
    return f"*** NO ANSWER; {old}: {clean(fleet.deaf)} ***" if fleet.deaf else ""


def _numbers(fleet: Fleet, now: datetime) -> Iterator[str]:
    counts = fleet.counts
    if not counts:
        return
    yield f"tasks     {_parts(counts.get('tasks')) or 'none'}"
    yield f"leases    {_parts(counts.get('assignments')) or 'none'}"
    late = f"pings {_seconds(counts, 'ping_lag_s')}, deadlines {_seconds(counts, 'deadline_lag_s')}"
    outbox = f"outbox {counts.get('outbox', 0)} (oldest {_seconds(counts, 'outbox_oldest_s')})"
    yield f"late      {late}; {outbox}"
    yield f"services  {_services(fleet, now)}"


def _seconds(counts: dict[str, Any], key: str) -> str:
    return span_text(float(counts.get(key) or 0))


def _services(fleet: Fleet, now: datetime) -> str:
    silent = {name for name, _ in fleet.silent(now)}
    told = [vital for (name, _), vital in fleet.services.items() if name not in silent]
    latest = max((float(vital.get("lag_s") or 0) for vital in told), default=0.0)
    waiting = sum(int(vital.get("waiting") or 0) for vital in told)
    oldest = max((_seconds_ago(vital, now) for vital in told), default=0.0)
    run = len(fleet.expected) - len(silent)
    said = f"as told within {span_text(oldest)}; latest loop {latest:.0f}s, in mailboxes {waiting}"
    return f"{run} of {len(fleet.expected)} run, {said}" if told else "nobody has told anything"


def _seconds_ago(row: dict[str, Any], now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(str(row["at"]))).total_seconds())


def _lines(fleet: Fleet, now: datetime, columns: int) -> Iterator[str]:
    """Yield the troubles with their commands, on one line each if there is room."""
    troubles = [*_troubles(fleet, now)]
    for name, detail, fix in troubles[:_TROUBLES_MAX]:
        whole = f"! {name}: {detail}   {fix}"
        if width(whole) <= columns:
            yield whole
        else:
            yield f"! {name}: {detail}"
            yield f"  {fix}"
    if len(troubles) > _TROUBLES_MAX:
        yield f"! {len(troubles) - _TROUBLES_MAX} more: rollcall doctor"


def _troubles(fleet: Fleet, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong, from whoever has said so, each thing once; how agents are their table says."""
    named: set[str] = set()
    for name, at in fleet.silent(now) if fleet.services and fleet.lost_at is None else ():
        named.add(name)
        yield name, f"silent, last heard {_since(at, now)}", f"rollcall run {name}"
    for name, alarm in fleet.alarms.items():
        if name not in named:
            named.add(name)
            detail = f"{clean(str(alarm.get('detail')))} (said {age(alarm, 'since', now)} ago)"
            yield clean(name), detail, clean(str(alarm.get("fix")))
    for found in array_of(fleet.counts.get("findings") or []):
        row = object_of(found)
        about_agent = str(row.get("fix", "")).startswith("rollcall agent ")
        if str(row.get("name")) not in named and not about_agent:
            yield clean(str(row.get("name"))), clean(str(row.get("detail"))), clean(str(row.get("fix")))


def _parts(value: Any) -> str:
    return ", ".join(f"{count} {clean(name)}" for name, count in object_of(value).items())


def _counted(rows: Sequence[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        status = str(row.get("status"))
        counts[status] = counts.get(status, 0) + 1
    return _parts(counts)
