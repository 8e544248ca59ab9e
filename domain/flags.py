"""What an operator says about an agent or the whole fleet, put on record; `admission` enforces it."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import structs

from contracts.codec import instant
from contracts.credentials import CredentialRow
from contracts.errors import ConflictError
from contracts.operations.flags import (
    FlagParams,
    FlagResult,
    FleetResult,
    FreezeParams,
    ResumeParams,
    ThawParams,
)
from contracts.records import OPEN_STATUSES, Agent, Frozen
from contracts.tokens import TokenRow
from contracts.work import Changes, View
from domain.credentials import revoked
from domain.draft import Draft
from domain.entry import ended
from domain.processes import BACK
from domain.projection import flags, put_agent
from domain.timers import Timers

Flag = Literal["paused", "draining", "quarantined"]
SHOWN_MAX = 20


def flag(view: View, now: int, params: FlagParams, which: Flag, *, actor: str, timers: Timers) -> Changes:
    """Flag an agent: it gets nothing new; what it holds stays with it, and its answers are taken."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    agent = _present(draft, params.name)
    said: dict[str, Any] = {which: True}
    return _said(draft, agent, said, which, params.reason)


def resume(
    view: View, now: int, params: ResumeParams, *, actor: str, timers: Timers, guarded: bool = True
) -> Changes:
    """Take all flags off an agent; that it was revoked only where the bus lets in everybody."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    agent = _present(draft, params.name)
    for service in ("assigner", "pinger"):
        draft.wake(service)
    none: dict[str, Any] = {
        "paused": False,
        "draining": False,
        "quarantined": False,
        "unreachable_since": None,
    }
    if not guarded:
        none["revoked_at"] = None
    return _said(draft, agent, none, "resumed", params.reason)


def retire(
    view: View,
    now: int,
    params: FlagParams,
    *,
    actor: str,
    timers: Timers,
    credentials: Sequence[CredentialRow] = (),
    tokens: Sequence[TokenRow] = (),
    guarded: bool = True,
) -> Changes:
    """Let an agent go for good, and in no more, unless something is in the way.

    If it is made active again, it needs a new way in where the bus asks who speaks (`guarded`).
    """
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    agent = _present(draft, params.name)
    _refuse_at_work(view, agent)
    keys, spent = ended(now, credentials, tokens)
    gone = {
        "retired_at": now,
        "active": False,
        "session": None,
        "left_at": agent.left_at or (None if agent.joined_at is None else now),
        "silent_at": None,
        "revoked_at": now if guarded and (keys or spent) else agent.revoked_at,
        **BACK,
    }
    changes = _said(draft, agent, gone, "retired", params.reason)
    more = revoked("agent", agent.name, len(credentials) + 1, actor, keys, spent)
    return structs.replace(changes, rows=(*keys, *spent), facts=(*changes.facts, *more))


def freeze(view: View, now: int, params: FreezeParams, *, actor: str, timers: Timers) -> Changes:
    """Let nothing new be offered anywhere; said again it gets the newer reason."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    since = now if view.frozen is None else view.frozen.since
    frozen = Frozen(since=since, by=_name(actor), reason=params.reason)
    draft.freeze(frozen)
    draft.fleet_fact("frozen", reason=params.reason)
    return draft.changes(FleetResult(frozen=True, since=instant(since), by=frozen.by, reason=frozen.reason))


def thaw(view: View, now: int, params: ThawParams, *, actor: str, timers: Timers) -> Changes:
    """Let offers go on: what wants an owner is looked at again in its order, what was missed at its pace."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    if view.frozen is not None:
        draft.freeze(None)
        draft.fleet_fact("thawed", reason=params.reason, frozen_us=now - view.frozen.since)
        draft.wake("assigner")
    return draft.changes(FleetResult(frozen=False))


def _present(draft: Draft, name: str) -> Agent:
    agent = draft.agent(name)
    if agent.retired_at is not None:
        raise ConflictError(f"{agent.name} is retired", agent=agent.name)
    return agent


def _said(draft: Draft, agent: Agent, changes: dict[str, Any], event: str, reason: str | None) -> Changes:
    after = structs.replace(agent, **changes, flag_reason=reason, flagged_by=_name(draft.actor))
    after = put_agent(draft, after)
    draft.fact(after, event, reason=reason, leases=after.leases)
    return draft.changes(FlagResult(name=after.name, flags=flags(after), leases=after.leases))


def _refuse_at_work(view: View, agent: Agent) -> None:
    held = sorted(
        (row for row in view.assignments.values() if row.agent == agent.name and row.status in OPEN_STATUSES),
        key=lambda row: row.id,
    )
    if held:
        named = ", ".join(f"task {row.task_id} ({row.status})" for row in held[:SHOWN_MAX])
        raise ConflictError(
            f"{agent.name} still holds {named}: let it finish (drain), or assign it to somebody else",
            agent=agent.name,
            assignments=[row.id for row in held[:SHOWN_MAX]],
            tasks=[row.task_id for row in held[:SHOWN_MAX]],
            leases=len(held),
        )
    if agent.process in ("running", "restarting"):
        raise ConflictError(
            f"{agent.machine} keeps the process of {agent.name}, which is {agent.process}: stop it first",
            agent=agent.name,
            machine=agent.machine,
            process=agent.process,
        )


def _name(actor: str) -> str:
    return actor.partition(":")[2]
