"""Credentials of the bus: created, replaced, revoked, listed."""

from collections.abc import Callable, Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.credentials import CredentialRow
from contracts.errors import ExistsError, InvalidError, NotFoundError
from contracts.operations.credentials import (
    CreateParams,
    CreateResult,
    CredentialView,
    ListParams,
    ListResult,
    RevokeParams,
    RevokeResult,
)
from contracts.tokens import TokenRow
from contracts.work import Changes, Fact, Row, View
from domain.draft import Draft
from domain.entry import ended, let_in, shut
from domain.timers import Timers

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
_PLACE = ("holder", "name", "public_key")
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
    timers: Timers,
) -> Changes:
    """Let a key in from now on, which `sign` vouches for.

    `known` are the holder's others, and `same` is there if the key was let in before.
    """
    if same:
        raise ExistsError("this key was let in before: a key is used once")
    name = params.name
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    found = view.agents.get(name.lower())
    if params.holder == "agent":
        if found is None or not found.active:
            raise NotFoundError(f"there is no active agent {name}")
        name = found.name
        let_in(draft, found)
    elif found is not None and params.holder != "machine":
        raise ExistsError(
            f"{found.name} is an agent, and what is said under its name is its own: use another"
        )
    row = CredentialRow(
        public_key=params.public_key,
        holder=params.holder,
        name=name,
        created_at=now,
        created_by=actor,
        expires_at=now + params.days * DAY_US,
    )
    replaced: tuple[CredentialRow, ...] = ()
    if params.keep_minutes is not None:
        until = now + params.keep_minutes * MINUTE_US
        replaced = tuple(structs.replace(old, ends_at=until) for old in known if _ends_after(old, until))
    also = draft.changes()
    return structs.replace(
        also,
        rows=tuple(Row("put_credential", changed) for changed in (row, *replaced)),
        facts=(_fact(row, "created", len(known) + 1, actor, replaces=len(replaced)), *also.facts),
        answer=CreateResult(
            name=name, holder=row.holder, expires_at=instant(row.expires_at), token=sign(row)
        ),
    )


def revoke(
    view: View,
    now: int,
    params: RevokeParams,
    *,
    actor: str,
    known: Sequence[CredentialRow],
    tokens: Sequence[TokenRow],
    guarded: bool,
    timers: Timers,
) -> Changes:
    """End all credentials of a holder, and an agent's tokens with them; a second time changes nothing.

    Where the bus asks who speaks (`guarded`), an agent that nothing lets in any more is offered nothing more.
    """
    if not known and not tokens:
        raise NotFoundError(f"there is no credential of {params.holder} {params.name}")
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    agent = view.agents.get(params.name.lower()) if params.holder == "agent" else None
    if agent is not None and guarded:
        shut(draft, agent)
    keys, spent = ended(now, known, tokens)
    name = known[0].name if known else tokens[0].agent or params.name
    facts = revoked(params.holder, name, len(known) + 1, actor, keys, spent)
    also = draft.changes()
    answer = RevokeResult(name=name, holder=params.holder, credentials=len(keys), tokens=len(spent))
    return structs.replace(also, rows=(*keys, *spent), facts=(*facts, *also.facts), answer=answer)


def revoked(
    holder: str, name: str, version: int, actor: str, keys: Sequence[Row], spent: Sequence[Row]
) -> tuple[Fact, ...]:
    """Return the fact that these credentials and tokens ended; none if there were none."""
    data = {"holder": holder, "credentials": len(keys), "tokens": len(spent)}
    fact = Fact(aggregate="credential", id=name, event="revoked", version=version, actor=actor, data=data)
    return (fact,) if keys or spent else ()


def listed(rows: Sequence[CredentialRow], now: int, params: ListParams) -> ListResult:
    """Return a page of the credentials that count, or of all."""
    items = tuple(_view(row) for row in rows if params.all or counts(row, now))
    return ListResult(items=items, next=_place(rows[-1]) if len(rows) >= params.limit else None)


def begins(place: str) -> tuple[tuple[str, str], ...]:
    """Return after which credential a page begins; raises InvalidError."""
    parts = place.split(":") if place else ("", "", "")
    if len(parts) != len(_PLACE):
        raise InvalidError("this is the `next` of no page", fields={"after": "is no place in this list"})
    return tuple(zip(_PLACE, parts, strict=True))


def _place(row: CredentialRow) -> str:
    return ":".join(getattr(row, name) for name in _PLACE)


def counts(row: CredentialRow, now: int) -> bool:
    """Return whether somebody is let in with it now."""
    return now < row.expires_at and _ends_after(row, now)


def namesake(rows: Sequence[CredentialRow], now: int) -> CredentialRow | None:
    """Return one of these credentials of people that counts: an agent must not have its name."""
    return next((row for row in rows if counts(row, now)), None)


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
