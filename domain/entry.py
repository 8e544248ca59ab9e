"""Whether an agent has a way in at all: taken away with its credentials, and given back with a new one."""

from collections.abc import Iterable

from msgspec import structs

from contracts.credentials import CredentialRow
from contracts.records import Agent
from contracts.tokens import TokenRow
from contracts.work import Row
from domain.draft import Draft
from domain.projection import flags, put_agent


def ended(
    now: int, credentials: Iterable[CredentialRow], tokens: Iterable[TokenRow]
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return what has to be written so that these credentials and tokens let nobody in from now on."""
    keys = (row for row in credentials if row.ends_at is None or row.ends_at > now)
    spent = (row for row in tokens if row.revoked_at is None)
    return (
        tuple(Row("put_credential", structs.replace(row, ends_at=now)) for row in keys),
        tuple(Row("put_token", structs.replace(row, revoked_at=now)) for row in spent),
    )


def shut(draft: Draft, agent: Agent) -> None:
    """Offer an agent nothing more: nothing is left that would let it in."""
    if agent.revoked_at is not None:
        return
    why = f"its credentials were revoked: rollcall agent add {agent.name} gives it new ones"
    after = structs.replace(agent, revoked_at=draft.now, flag_reason=why, flagged_by=_who(draft))
    after = put_agent(draft, after)
    draft.fact(after, "shut_out", reason=why, leases=after.leases)


def let_in(draft: Draft, agent: Agent) -> None:
    """Let an agent be offered work again: it was given a way in."""
    if agent.revoked_at is None:
        return
    after = structs.replace(agent, revoked_at=None)
    if not flags(after):
        after = structs.replace(after, flag_reason=None, flagged_by=_who(draft))
    after = put_agent(draft, after)
    draft.fact(after, "let_in")
    draft.wake("assigner")


def _who(draft: Draft) -> str:
    return draft.actor.partition(":")[2]
