"""When people are told in one way, and in which words: throttled, quiet at night, several things at once."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import structs

from contracts.notifying import (
    KINDS,
    MINUTE_US,
    THROTTLES,
    URGENT,
    Answer,
    Job,
    Kind,
    Manner,
    NotificationRow,
    SendRow,
    Way,
    WayRow,
)
from contracts.work import Changes, Row

LEASE_US: Final = 60_000_000
BACKOFF_US: Final = 30_000_000
BACKOFF_MAX_US: Final = 15 * MINUTE_US
DOUBLINGS_MAX: Final = 5
LINES_MAX: Final = 20
LINE_CHARS: Final = 200  # of a title, and of what a receiver answered
WORDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "exhausted": "nobody answers about {task}",
        "quarantined": "{task} is kept aside: its decision fails",
        "human": "{subject} waits for a human about {task}",
        "unassigned": "nobody was found for {task}",
        "draft": "{task} is a draft: assign it, or cancel it",
        "due": "the due date of {task} has passed",
        "unreachable": "{subject} cannot be reached: its webhook fails",
        "told": "{subject} is asked to look at {task}",
        "dead": "{subject} is dead",
        "unrecoverable": "{subject} is dead and could not be revived",
        "brake": "many fell silent at once ({subject}): nobody is declared dead",
        "alarm": "alarm: {subject}",
        "flood": "{subject} says more than intake takes",
        "channel": "people cannot be told by {subject}",
    }
)
MANY: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "exhausted": "nobody answers about {count} tasks",
        "quarantined": "{count} tasks are kept aside: their decisions fail",
        "human": "{count} agents wait for a human",
        "unassigned": "nobody was found for {count} tasks",
        "draft": "{count} drafts wait to be assigned or cancelled",
        "due": "the due dates of {count} tasks have passed",
        "unreachable": "{count} agents cannot be reached: their webhooks fail",
        "told": "people are asked to look at {count} tasks",
        "dead": "{count} agents are dead",
        "unrecoverable": "{count} agents are dead and could not be revived",
        "brake": "{count} times many fell silent at once: nobody there is declared dead",
        "alarm": "{count} alarms",
        "flood": "{count} senders say more than intake takes",
        "channel": "{count} ways of telling people fail",
    }
)


def take(
    way: Way,
    now: int,
    *,
    known: Sequence[WayRow],
    news: Sequence[NotificationRow],
    until: int,
    manner: Manner,
) -> Changes:
    """Take what is to be told now: a lease on the way, and the message as the answer; or nothing.

    `until` is the last of all notifications that were looked at, also where nothing is to be told of it.
    """
    row = known[0] if known else WayRow(way=way, told=0)
    if not news or now < max(row.leased_until, row.next_at) or not _free(row, now):
        return Changes()
    if manner.quiet and not _urgent(news):
        return Changes()
    return Changes(
        rows=(Row("put_way", structs.replace(row, leased_until=now + LEASE_US)),),
        answer=message(way, news, until, manner),
    )


def done(job: Job, answer: Answer, now: int, *, known: Sequence[WayRow]) -> Changes:
    """Note what became of a message; one that failed is tried again, later and later."""
    send = SendRow(
        way=job.way,
        at=now,
        title=job.title,
        items=job.items,
        test=job.test,
        ok=answer.ok,
        answer=answer.text[:LINE_CHARS],
    )
    rows = [Row("insert_send", send)]
    if not job.test:
        row = known[0] if known else WayRow(way=job.way, told=0)
        rows.append(Row("put_way", _told(row, job, now) if answer.ok else _failed(row, answer, now)))
    return Changes(rows=tuple(rows))


def message(way: Way, news: Sequence[NotificationRow], until: int, manner: Manner) -> Job:
    """Return one message for all of these: what it is about, and where to look, but no words of others."""
    lines = [_line(one, manner) for one in news[:LINES_MAX]]
    if len(news) > LINES_MAX:
        lines.append(f"and {len(news) - LINES_MAX} more")
    alone = news[0] if len(news) == 1 else None
    return Job(
        way=way,
        until=until,
        items=len(news),
        title=f"Rollcall: {lines[0] if alone else _heading(news)}"[:LINE_CHARS],
        lines=tuple(lines),
        link=_link(alone, manner.link),
        urgent=_urgent(news),
        message_id=f"notify:{way}:{news[0].id}-{news[-1].id}",
    )


def _urgent(news: Sequence[NotificationRow]) -> bool:
    """Return whether anything cannot wait; that it is over can."""
    return any(one.kind in URGENT and not one.over for one in news)


def _free(row: WayRow, now: int) -> bool:
    """Return whether the throttles let another message pass."""
    return all(sum(at > now - span_us for at in row.sent) < most for most, span_us in THROTTLES)


def _told(row: WayRow, job: Job, now: int) -> WayRow:
    lately = tuple(at for at in row.sent if at > now - THROTTLES[-1][1])
    return WayRow(way=row.way, told=max(row.told, job.until), sent=(*lately, now))


def _failed(row: WayRow, answer: Answer, now: int) -> WayRow:
    wait_us = min(BACKOFF_US << min(row.tries, DOUBLINGS_MAX), BACKOFF_MAX_US)
    return structs.replace(
        row, leased_until=0, next_at=now + wait_us, tries=row.tries + 1, why=answer.text[:LINE_CHARS]
    )


def _line(row: NotificationRow, manner: Manner) -> str:
    said = _said(row)
    whole = f"{said} ({row.why})" if manner.content and row.why else said
    return " ".join(whole.split())  # of more than one line no mail can be: it is the subject too


def _said(row: NotificationRow) -> str:
    said = WORDS[row.kind].format(task=f"task {row.task_id}", subject=row.subject)
    return f"over: {said}" if row.over else said


def _heading(news: Sequence[NotificationRow]) -> str:
    """Return what presses most, in words, and how many more there are."""
    first = min(news, key=lambda one: (one.over, one.kind not in URGENT, KINDS.index(one.kind)))
    alike = [one for one in news if (one.kind, one.over) == (first.kind, first.over)]
    if len(alike) > 1:
        said = MANY[first.kind].format(count=len(alike))
        said = f"over: {said}" if first.over else said
    else:
        said = " ".join(_said(first).split())
    more = len(news) - len(alike)
    return f"{said}, and {more} more" if more else said


def _link(alone: NotificationRow | None, home: str) -> str:
    if not home:
        return ""
    if alone is None:
        return f"{home}/"
    if alone.task_id is not None:
        return f"{home}/tasks/{alone.task_id}"
    return f"{home}/{'health' if alone.kind in {'alarm', 'channel'} else 'fleet'}"
