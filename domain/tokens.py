"""Tokens: created, revoked, listed, used."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.errors import ExistsError, InvalidError, NotFoundError
from contracts.operations.tokens import CreateParams, ListResult, RevokeParams, TokenView
from contracts.tokens import TokenRow
from contracts.work import Changes, Fact, Row, View

DAY_US = 86_400_000_000


def create(view: View, now: int, params: CreateParams, *, actor: str, known: Sequence[TokenRow]) -> Changes:
    """Let somebody in from now on; `known` are the tokens of this name."""
    if known:
        raise ExistsError(f"there was a token {known[0].name} before: a name is used once")
    if (params.scope == "agent") != (params.agent is not None):
        raise InvalidError(
            "an agent is named with the scope of an agent, and only then", fields={"agent": ""}
        )
    agent = None
    if params.agent is not None:
        found = view.agents.get(params.agent.lower())
        if found is None:
            raise NotFoundError(f"there is no agent {params.agent}")
        agent = found.name
    row = TokenRow(
        name=params.name,
        role=params.scope,
        agent=agent,
        prefix=params.prefix,
        digest=bytes.fromhex(params.digest),
        created_at=now,
        created_by=actor,
        expires_at=now + params.days * DAY_US,
    )
    return Changes(
        rows=(Row("put_token", row),),
        facts=(_fact(row, "created", 1, actor, scope=row.role, agent=agent),),
        answer=_view(row),
    )


def revoke(_: View, now: int, params: RevokeParams, *, actor: str, known: Sequence[TokenRow]) -> Changes:
    """Let a token in no more; revoking it again changes nothing."""
    if not known:
        raise NotFoundError(f"there is no token {params.name}")
    row = known[0]
    if row.revoked_at is not None:
        return Changes(answer=_view(row))
    row = structs.replace(row, revoked_at=now)
    return Changes(rows=(Row("put_token", row),), facts=(_fact(row, "revoked", 2, actor),), answer=_view(row))


def used(known: Sequence[TokenRow], at: Mapping[str, int]) -> Changes:
    """Note when tokens were last used, by their names."""
    later = (row for row in known if (row.last_used_at or 0) < at.get(row.name, 0))
    return Changes(
        rows=tuple(Row("put_token", structs.replace(row, last_used_at=at[row.name])) for row in later)
    )


def listed(rows: Sequence[TokenRow], now: int, *, every: bool) -> ListResult:
    """Return the tokens that count, or all, for readers."""
    shown = (row for row in rows if every or counts(row, now))
    return ListResult(items=tuple(map(_view, shown)))


def counts(row: TokenRow, now: int) -> bool:
    """Return whether a token lets anybody in now."""
    return row.revoked_at is None and now < row.expires_at


def _view(row: TokenRow) -> TokenView:
    return TokenView(
        name=row.name,
        scope=row.role,
        agent=row.agent,
        prefix=row.prefix,
        created_at=instant(row.created_at),
        created_by=row.created_by,
        expires_at=instant(row.expires_at),
        revoked_at=None if row.revoked_at is None else instant(row.revoked_at),
        last_used_at=None if row.last_used_at is None else instant(row.last_used_at),
    )


def _fact(row: TokenRow, event: str, version: int, actor: str, **data: str | None) -> Fact:
    return Fact(aggregate="token", id=row.name, event=event, version=version, actor=actor, data=data)
