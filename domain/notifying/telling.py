"""When people are told in one way, and in which words: throttled, quiet at night, several things at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import structs

from contracts.notifying import (
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
ANSWER_CHARS: Final = 200
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
    if manner.quiet and not any(one.kind in URGENT for one in news):
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
        answer=answer.text[:ANSWER_CHARS],
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
        title=f"Rollcall: {lines[0] if alone else _counted(news)}"[:ANSWER_CHARS],
        lines=tuple(lines),
        link=_link(alone, manner.link),
        urgent=any(one.kind in URGENT and not one.over for one in news),
        message_id=f"notify:{way}:{news[0].id}-{news[-1].id}",
    )


def _free(row: WayRow, now: int) -> bool:
    """Return whether the throttles let another message pass."""
    return all(sum(at > now - span_us for at in row.sent) < most for most, span_us in THROTTLES)


def _told(row: WayRow, job: Job, now: int) -> WayRow:
    lately = tuple(at for at in row.sent if at > now - THROTTLES[-1][1])
    return WayRow(way=row.way, told=max(row.told, job.until), sent=(*lately, now))


def _failed(row: WayRow, answer: Answer, now: int) -> WayRow:
    wait_us = min(BACKOFF_US << min(row.tries, DOUBLINGS_MAX), BACKOFF_MAX_US)
    return structs.replace(
        row, leased_until=0, next_at=now + wait_us, tries=row.tries + 1, why=answer.text[:ANSWER_CHARS]
    )


def _line(row: NotificationRow, manner: Manner) -> str:
    said = WORDS[row.kind].format(task=f"task {row.task_id}", subject=row.subject)
    over = f"over: {said}" if row.over else said
    whole = f"{over} ({row.why})" if manner.content and row.why else over
    return " ".join(whole.split())  # of more than one line no mail can be: it is the subject too


def _counted(news: Sequence[NotificationRow]) -> str:
    """Return how many of which kind."""
    began = Counter(one.kind for one in news if not one.over)
    parts = [f"{count} {kind}" for kind, count in began.most_common()]
    over = sum(one.over for one in news)
    return ", ".join([*parts, *([f"{over} over"] if over else [])])


def _link(alone: NotificationRow | None, home: str) -> str:
    if not home:
        return ""
    if alone is None:
        return f"{home}/"
    if alone.task_id is not None:
        return f"{home}/tasks/{alone.task_id}"
    return f"{home}/{'health' if alone.kind in {'alarm', 'channel'} else 'fleet'}"
