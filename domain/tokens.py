"""Tokens: created, revoked, listed, used."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.errors import ExistsError, InvalidError, NotFoundError, UnauthorizedError
from contracts.operations import logins
from contracts.operations.tokens import CreateParams, ListParams, ListResult, RevokeParams, TokenView
from contracts.tokens import FIXED, LINK_US, SESSION_US, TokenRow
from contracts.work import Changes, Fact, Row, View
from domain.draft import Draft
from domain.entry import let_in
from domain.timers import Timers

DAY_US = 86_400_000_000
USED_UP = "this link was used, or is too old: ask for another with `rollcall dashboard`"
_LINK = "-link"
_WHO_CHARS = 40  # of the operator's name, so that the session's is one too
_DIGEST_CHARS = 6


def create(
    view: View, now: int, params: CreateParams, *, actor: str, known: Sequence[TokenRow], timers: Timers
) -> Changes:
    """Let somebody in from now on; `known` are the tokens of this name."""
    if params.name.lower() == FIXED:
        raise InvalidError(
            f"{FIXED} is the token in the configuration: what another does must not look like its doing",
            fields={"name": "is reserved"},
        )
    if known:
        raise ExistsError(f"there was a token {known[0].name} before: a name is used once")
    if (params.scope == "agent") != (params.agent is not None):
        raise InvalidError(
            "an agent is named with the scope of an agent, and only then",
            fields={"agent": "is required with the scope agent, and not allowed with another"},
        )
    agent = None
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    if params.agent is not None:
        found = view.agents.get(params.agent.lower())
        if found is None or not found.active:
            raise NotFoundError(f"there is no active agent {params.agent}")
        agent = found.name
        let_in(draft, found)
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
    also = draft.changes()
    return structs.replace(
        also,
        rows=(Row("put_token", row),),
        facts=(_fact(row, "created", 1, actor, scope=row.role, agent=agent), *also.facts),
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


def invite(
    now: int, params: logins.CreateParams, *, name: str, actor: str, known: Sequence[TokenRow]
) -> Changes:
    """Write down a link that works once; `name` is that of the session it opens."""
    if known:
        raise ExistsError(f"there is a link {known[0].name} already")
    row = TokenRow(
        name=link_name(name),
        role=params.scope,
        agent=None,
        prefix=params.prefix,
        digest=bytes.fromhex(params.digest),
        created_at=now,
        created_by=actor,
        expires_at=now + LINK_US,
    )
    shown = logins.LoginView(session=name, scope=params.scope, expires_at=instant(row.expires_at))
    return Changes(
        rows=(Row("put_token", row),), facts=(_fact(row, "created", 1, actor, scope=row.role),), answer=shown
    )


def enter(now: int, known: Sequence[TokenRow], *, link: bytes, prefix: str, digest: bytes) -> Changes:
    """Let whoever has a link in, once: the link ends, and a session of its role begins.

    `link` is the digest of the link, `prefix` and `digest` are the session's. Raises UnauthorizedError.
    """
    row = next((row for row in known if row.digest == link and counts(row, now)), None)
    if row is None:
        raise UnauthorizedError(USED_UP)
    name = row.name.removesuffix(_LINK)
    session = structs.replace(
        row,
        name=name,
        prefix=prefix,
        digest=digest,
        created_at=now,
        created_by=f"operator:{name}",
        expires_at=now + SESSION_US,
        last_used_at=now,
    )
    ended = structs.replace(row, revoked_at=now, last_used_at=now)
    actor = session.created_by
    return Changes(
        rows=(Row("put_token", ended), Row("put_token", session)),
        facts=(
            _fact(row, "revoked", 2, actor),
            _fact(session, "created", 1, actor, scope=session.role),
        ),
        answer=_view(session),
    )


def session_name(who: str, params: logins.CreateParams) -> str:
    """Return what an operator's session is named: a name is used once."""
    return f"{who[:_WHO_CHARS]}-{params.digest[:_DIGEST_CHARS]}"


def link_name(session: str) -> str:
    """Return under which name the link to a session is written down."""
    return f"{session}{_LINK}"


def used(known: Sequence[TokenRow], at: Mapping[str, int]) -> Changes:
    """Note when tokens were last used, by their names."""
    later = (row for row in known if (row.last_used_at or 0) < at.get(row.name, 0))
    return Changes(
        rows=tuple(Row("put_token", structs.replace(row, last_used_at=at[row.name])) for row in later)
    )


def listed(rows: Sequence[TokenRow], now: int, params: ListParams) -> ListResult:
    """Return a page of the tokens that count, or of all."""
    shown = (row for row in rows if params.all or counts(row, now))
    return ListResult(
        items=tuple(map(_view, shown)), next=rows[-1].name if len(rows) >= params.limit else None
    )


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
