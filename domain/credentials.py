"""Credentials of the bus: created, replaced, revoked, listed."""

from collections.abc import Callable, Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.credentials import CredentialRow
from contracts.errors import ExistsError, NotFoundError
from contracts.operations.credentials import (
    CreateParams,
    CreateResult,
    CredentialView,
    ListResult,
    RevokeParams,
    RevokeResult,
)
from contracts.tokens import TokenRow
from contracts.work import Changes, Fact, Row, View

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
Sign = Callable[[CredentialRow], str]


def create(
    view: View,
    now: int,
    params: CreateParams,
    *,
    actor: str,
    known: Sequence[CredentialRow],
    same: Sequence[CredentialRow],
    sign: Sign,
) -> Changes:
    """Let a key in from now on, which `sign` vouches for.

    `known` are the holder's others, and `same` is there if the key was let in before.
    """
    if same:
        raise ExistsError("this key was let in before: a key is used once")
    name = params.name
    if params.holder == "agent":
        found = view.agents.get(name.lower())
        if found is None or not found.active:
            raise NotFoundError(f"there is no active agent {name}")
        name = found.name
    row = CredentialRow(
        public_key=params.public_key,
        holder=params.holder,
        name=name,
        created_at=now,
        created_by=actor,
        expires_at=now + params.days * DAY_US,
    )
    ended: tuple[CredentialRow, ...] = ()
    if params.keep_minutes is not None:
        until = now + params.keep_minutes * MINUTE_US
        ended = tuple(structs.replace(old, ends_at=until) for old in known if _ends_after(old, until))
    return Changes(
        rows=tuple(Row("put_credential", changed) for changed in (row, *ended)),
        facts=(_fact(row, "created", len(known) + 1, actor, replaces=len(ended)),),
        answer=CreateResult(
            name=name, holder=row.holder, expires_at=instant(row.expires_at), token=sign(row)
        ),
    )


def revoke(
    _: View,
    now: int,
    params: RevokeParams,
    *,
    actor: str,
    known: Sequence[CredentialRow],
    tokens: Sequence[TokenRow],
) -> Changes:
    """End all credentials of a holder, and an agent's tokens with them; a second time changes nothing."""
    ended = [structs.replace(row, ends_at=now) for row in known if _ends_after(row, now)]
    spent = [structs.replace(row, revoked_at=now) for row in tokens if row.revoked_at is None]
    if not known and not tokens:
        raise NotFoundError(f"there is no credential of {params.holder} {params.name}")
    rows = (*(Row("put_credential", row) for row in ended), *(Row("put_token", row) for row in spent))
    first = known[0] if known else None
    name = first.name if first else tokens[0].agent or params.name
    facts = (_ended(params.holder, name, len(known) + 1, actor, len(ended), len(spent)),) if rows else ()
    answer = RevokeResult(name=name, holder=params.holder, credentials=len(ended), tokens=len(spent))
    return Changes(rows=rows, facts=facts, answer=answer)


def listed(rows: Sequence[CredentialRow], now: int, *, every: bool) -> ListResult:
    """Return the credentials that count, or all, for readers."""
    return ListResult(items=tuple(_view(row) for row in rows if every or counts(row, now)))


def counts(row: CredentialRow, now: int) -> bool:
    """Return whether somebody is let in with it now."""
    return now < row.expires_at and _ends_after(row, now)


def _ends_after(row: CredentialRow, at: int) -> bool:
    return row.ends_at is None or row.ends_at > at


def _view(row: CredentialRow) -> CredentialView:
    return CredentialView(
        name=row.name,
        holder=row.holder,
        public_key=row.public_key,
        created_at=instant(row.created_at),
        created_by=row.created_by,
        expires_at=instant(row.expires_at),
        ends_at=None if row.ends_at is None else instant(row.ends_at),
    )


def _fact(row: CredentialRow, event: str, version: int, actor: str, *, replaces: int) -> Fact:
    data = {"holder": row.holder, "public_key": row.public_key, "replaces": replaces}
    return Fact(aggregate="credential", id=row.name, event=event, version=version, actor=actor, data=data)


def _ended(holder: str, name: str, version: int, actor: str, credentials: int, tokens: int) -> Fact:
    data = {"holder": holder, "credentials": credentials, "tokens": tokens}
    return Fact(aggregate="credential", id=name, event="revoked", version=version, actor=actor, data=data)
