"""The keys that sign webhooks, and deliveries for readers."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import structs

from contracts.codec import instant
from contracts.deliveries import Delivery, WebhookKeys, key_bytes
from contracts.errors import InvalidError, NotFoundError
from contracts.operations.webhooks import DeliveryView, KeysView, ListResult, RotateParams, SettleParams
from contracts.work import Changes, Fact, Row, View
from domain.paging import following

HOUR_US = 3_600_000_000


def rotate(
    view: View, now: int, params: RotateParams, *, actor: str, known: Sequence[WebhookKeys]
) -> Changes:
    """Sign with a new key from now on, and with the old one for a while; the present key is no new one."""
    _check("key", params.key)
    agent = view.agents.get(params.name.lower())
    if agent is None:
        raise NotFoundError(f"there is no agent {params.name}")
    before = known[0] if known else None
    if before is not None and before.key == params.key:
        return Changes(answer=_keys_view(before))
    keeps = before is not None and params.keep_hours > 0
    row = WebhookKeys(
        agent=agent.name,
        key=params.key,
        previous=before.key if before is not None and keeps else None,
        previous_until=now + params.keep_hours * HOUR_US if keeps else None,
        rotated_at=now,
        rotated_by=actor,
        version=1 if before is None else before.version + 1,
    )
    return _put(row, "key_rotated", actor)


def signed_from_now(changes: Changes, now: int, agent: str, key: str, actor: str) -> Changes:
    """Add the first key of an agent to what registers it: its first ping is signed already."""
    _check("webhook_key", key)
    row = WebhookKeys(agent=agent, key=key, rotated_at=now, rotated_by=actor)
    more = _put(row, "key_rotated", actor)
    return structs.replace(changes, rows=(*changes.rows, *more.rows), facts=(*changes.facts, *more.facts))


def settle(
    _view: View, _now: int, params: SettleParams, *, actor: str, known: Sequence[WebhookKeys]
) -> Changes:
    """End the old key; without one nothing changes."""
    if not known:
        raise NotFoundError(f"{params.name} has no key")
    if known[0].previous is None:
        return Changes(answer=_keys_view(known[0]))
    row = structs.replace(known[0], previous=None, previous_until=None, version=known[0].version + 1)
    return _put(row, "key_settled", actor)


def listed(rows: Sequence[Delivery], limit: int) -> ListResult:
    """Return a page of deliveries."""
    return ListResult(items=tuple(map(_view, rows)), next=following(rows, limit))


def _check(field: str, key: str) -> None:
    if key_bytes(key) is None:
        raise InvalidError("the key cannot be read", fields={field: "is whsec_ and base64"})


def _put(row: WebhookKeys, event: str, actor: str) -> Changes:
    fact = Fact(aggregate="webhook", id=row.agent, event=event, version=row.version, actor=actor)
    return Changes(rows=(Row("put_webhook_keys", row),), facts=(fact,), answer=_keys_view(row))


def _keys_view(row: WebhookKeys) -> KeysView:
    until = row.previous_until
    return KeysView(
        agent=row.agent,
        rotated_at=instant(row.rotated_at),
        rotated_by=row.rotated_by,
        previous_until=None if until is None else instant(until),
    )


def _view(row: Delivery) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        assignment=row.assignment_id,
        attempt=row.attempt,
        agent=row.agent,
        host=urlsplit(row.url).netloc,  # the path may be a secret of the receiver's
        state=row.state,
        tries=row.tries,
        status=row.status,
        why=row.why,
        sent_at=instant(row.sent_at),
        next_at=None if row.next_at is None else instant(row.next_at),
        delivered_at=None if row.delivered_at is None else instant(row.delivered_at),
    )
