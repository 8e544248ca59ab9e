"""Facts as events on the bus: CloudEvents in headers, the message id as `ce-id`, equal at every refill."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from contracts import subjects
from contracts.codec import encode, instant
from contracts.messages import Event
from contracts.records import AuditRow
from contracts.work import Post

_ORDINARY = {safe: re.compile(rf"[A-Za-z0-9.{safe}_-]*") for safe in ":/"}


AGGREGATES: Final = (
    *(
        "agent",
        "assignment",
        "brake",
        "credential",
        "escalation",
        "intake",
        "machine",
        "notification",
        "policy",
    ),
    *("reminder", "rules", "system", "task", "token", "webhook"),
)
"""What events are about."""

_VERSION = ("ce-specversion", "1.0")
_SOURCE = ("ce-source", "rollcall")
_TYPE = ("Content-Type", "application/json")
_SCHEMA = ("Rollcall-Schema", "Event/1.0")


def event_id(row: AuditRow) -> str:
    """Return the id of the fact: the incarnation it was written under, and its number."""
    return f"evt:{row.incarnation}:{row.seq}"


def event_of(row: AuditRow) -> Event:
    """Return an audit row as readers see it: the same as the event on the bus."""
    data: dict[str, Any] = msgspec.json.decode(row.data)
    return _event(row, instant(row.at), data)


def _event(row: AuditRow, at: datetime, data: Any) -> Event:
    return Event(
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


def event_post(row: AuditRow) -> Post:
    """Return the outbox row that publishes an audit row."""
    at, at_text = _times(row.at)
    # JSON already, by the same encoder; what is empty is left out
    data: Any = {} if row.data == b"{}" else msgspec.Raw(row.data)
    what = _event(row, at, data)
    identity = event_id(row)
    headers = (
        _VERSION,
        ("ce-id", _quoted(identity, ":")),
        _SOURCE,
        ("ce-type", f"dev.rollcall.{row.aggregate}.{row.event}.v1"),
        ("ce-subject", _quoted(f"{row.aggregate}/{row.aggregate_id}", "/")),
        ("ce-time", at_text),
        _TYPE,
        _SCHEMA,
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
    return text if _ORDINARY[safe].fullmatch(text) else quote(text, safe=f"{safe}._-")


@lru_cache(maxsize=16)
def _times(at: int) -> tuple[datetime, str]:
    """Return an instant and how headers write it; the facts of one transaction share theirs."""
    found = instant(at)
    return found, found.isoformat().replace("+00:00", "Z")
