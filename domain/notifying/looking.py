"""What holds now against what people know: each condition is news when it begins, and when it is over."""

from collections.abc import Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.notifying import URGENT, Holding, NotificationRow, NotificationTally, ReaderRow, SendRow
from contracts.operations.notifying import (
    ListResult,
    NotificationView,
    ReadParams,
    ReadResult,
    SentResult,
    SentView,
)
from contracts.work import Changes, Fact, Row, View
from domain.attention import reason
from domain.health import span
from domain.paging import following

ACTOR = "rollcall:notifier"
WHY_CHARS = 300


def changed(holding: Sequence[Holding], known: Sequence[NotificationRow]) -> bool:
    """Tell whether anything began, or is over."""
    return {(held.key, held.kind) for held in holding} != {(row.key, row.kind) for row in known}


def compare(view: View, now: int, holding: Sequence[Holding], known: Sequence[NotificationRow]) -> Changes:
    """Note what began and what is over; nothing where nothing changed."""
    before = {row.key: row for row in known}
    still = {one.key: one for one in holding}
    rows: list[Row] = []
    facts: list[Fact] = []
    for held in still.values():
        row = before.get(held.key)
        if row is not None and row.kind == held.kind:
            continue
        if row is not None:  # it turned into another kind of itself: that is told, and nothing is over
            rows.append(Row("end_notification", structs.replace(row, ended_at=now)))
        began = _began(view, held, row)
        rows.append(Row("insert_notification", began))
        facts.append(_fact(began, "raised"))
    for row in known:
        if row.key not in still:
            ended = structs.replace(row, ended_at=now)
            over = structs.replace(
                ended,
                id=view.new_id("notifications"),
                at=now,
                over=True,
                of=_first(row),
                why=f"over after {span(now - row.at)}",
            )
            rows += (Row("end_notification", ended), Row("insert_notification", over))
            facts.append(_fact(over, "over"))
    return Changes(rows=tuple(rows), facts=tuple(facts))


def _began(view: View, held: Holding, before: NotificationRow | None) -> NotificationRow:
    return NotificationRow(
        id=view.new_id("notifications"),
        key=held.key,
        kind=held.kind,
        task_id=held.task_id,
        subject=held.subject,
        why=reason(held.kind, held.why, held.asked)[:WHY_CHARS],
        at=held.since,
        of=None if before is None else _first(before),
    )


def _first(row: NotificationRow) -> int:
    """Return the number under which the condition began: whoever was told of that hears that it is over."""
    return row.of or row.id


def _fact(row: NotificationRow, event: str) -> Fact:
    return Fact(
        aggregate="notification",
        id=str(_first(row)),
        event=event,
        version=row.id - _first(row) + 1,
        actor=ACTOR,
        data={"kind": row.kind, "task": row.task_id, "subject": row.subject},
    )


def listed(rows: Sequence[NotificationRow], tally: NotificationTally, limit: int) -> ListResult:
    """Return a page of the list, newest first, and how much of it is open and unread."""
    return ListResult(
        items=tuple(map(_view, rows)),
        open=tally.open,
        unread=tally.unread,
        next=following(rows, limit),
    )


def read(params: ReadParams, tally: NotificationTally, *, name: str) -> Changes:
    """Note that somebody has read up to a number, or all."""
    seen = tally.newest if params.until is None else min(params.until, tally.newest)
    row = ReaderRow(name=name, seen=seen)
    return Changes(rows=(Row("put_reader", row),), answer=ReadResult(seen=seen))


def sent(rows: Sequence[SendRow]) -> SentResult:
    """Return what was sent last, and what was answered."""
    return SentResult(
        items=tuple(
            SentView(
                at=instant(row.at),
                way=row.way,
                ok=row.ok,
                answer=row.answer,
                title=row.title,
                items=row.items,
                test=row.test,
            )
            for row in rows
        )
    )


def _view(row: NotificationRow) -> NotificationView:
    return NotificationView(
        id=row.id,
        at=instant(row.at),
        kind=row.kind,
        over=row.over,
        urgent=row.kind in URGENT and not row.over,
        task=row.task_id,
        subject=row.subject,
        why=row.why,
        ended_at=None if row.ended_at is None else instant(row.ended_at),
    )
