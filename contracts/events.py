"""Facts as events on the bus: CloudEvents in headers, the message id as `ce-id`, equal at every refill."""

from urllib.parse import quote

import msgspec

from contracts import subjects
from contracts.codec import encode, instant
from contracts.messages import Event
from contracts.records import AuditRow
from contracts.work import Post


def event_id(row: AuditRow) -> str:
    """Return the id of the fact: the incarnation it was written under, and its number."""
    return f"evt:{row.incarnation}:{row.seq}"


def event_post(row: AuditRow) -> Post:
    """Return the outbox row that publishes an audit row."""
    what = Event(
        seq=row.seq,
        at=instant(row.at),
        actor=row.actor,
        aggregate=row.aggregate,
        id=row.aggregate_id,
        event=row.event,
        version=row.aggregate_version,
        incarnation=row.incarnation,
        cause=row.cause,
        data=msgspec.json.decode(row.data),
    )
    identity = event_id(row)
    headers = (
        ("ce-specversion", "1.0"),
        ("ce-id", quote(identity, safe=":._-")),
        ("ce-source", "rollcall"),
        ("ce-type", f"dev.rollcall.{row.aggregate}.{row.event}.v1"),
        ("ce-subject", quote(f"{row.aggregate}/{row.aggregate_id}", safe="/._-")),
        ("ce-time", instant(row.at).isoformat().replace("+00:00", "Z")),
        ("Content-Type", "application/json"),
        ("Rollcall-Schema", "Event/1.0"),
    )
    return Post(
        stream="EVENTS",
        subject=subjects.event(row.aggregate, row.aggregate_id, row.event),
        message_id=identity,
        body=encode(what),
        headers=headers,
        created_at=row.at,
    )
