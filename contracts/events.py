"""Facts as events on the bus: CloudEvents in headers, the message id as `ce-id`, equal at every refill."""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from contracts import subjects
from contracts.codec import encode, instant
from contracts.messages import Event
from contracts.records import AuditRow
from contracts.work import Post

_ORDINARY = re.compile(r"[A-Za-z0-9._-]*")


def event_id(row: AuditRow) -> str:
    """Return the id of the fact: the incarnation it was written under, and its number."""
    return f"evt:{row.incarnation}:{row.seq}"


def event_post(row: AuditRow) -> Post:
    """Return the outbox row that publishes an audit row."""
    at = instant(row.at)
    # JSON already, by the same encoder; what is empty is left out
    data: Any = {} if row.data == b"{}" else msgspec.Raw(row.data)
    what = Event(
        seq=row.seq,
        at=at,
        actor=row.actor,
        aggregate=row.aggregate,
        id=row.aggregate_id,
        event=row.event,
        version=row.aggregate_version,
        incarnation=row.incarnation,
        cause=row.cause,
        data=data,
    )
    identity = event_id(row)
    headers = (
        ("ce-specversion", "1.0"),
        ("ce-id", _quoted(identity, ":")),
        ("ce-source", "rollcall"),
        ("ce-type", f"dev.rollcall.{row.aggregate}.{row.event}.v1"),
        ("ce-subject", _quoted(f"{row.aggregate}/{row.aggregate_id}", "/")),
        ("ce-time", at.isoformat().replace("+00:00", "Z")),
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


def _quoted(text: str, safe: str) -> str:
    """Return the text as a header may hold it; nearly all may as they are."""
    ordinary = _ORDINARY.fullmatch(text.replace(safe, ""))
    return text if ordinary else quote(text, safe=f"{safe}._-")
