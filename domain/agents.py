"""Agents: registered, changed, shown."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType, structs

from contracts import subjects
from contracts.credentials import CredentialRow
from contracts.errors import ExistsError, InvalidError, NotFoundError
from contracts.messages import AgentSpec
from contracts.operations.agents import AddParams, AgentRef, ListResult, SetParams, ShowResult
from contracts.records import OPEN_STATUSES, Agent
from contracts.views import AgentView, AssignmentView
from contracts.views import view as shown_as
from contracts.work import Changes, View
from domain import webhooks
from domain.addresses import Reach, place
from domain.credentials import namesake
from domain.draft import Draft
from domain.processes import BACK, UNSAID
from domain.projection import flags, project, put_agent, status4, status6
from domain.timers import Timers
from domain.versions import check

MAIN_CAPACITY = 10
STRANGERS = Reach()


def add(
    view: View,
    now: int,
    params: AddParams | AgentSpec,
    *,
    actor: str,
    timers: Timers,
    cause: str | None = None,
    reach: Reach = STRANGERS,
    people: Sequence[CredentialRow] = (),
) -> Changes:
    """Register an agent; `people` are the credentials of those who operate under its name."""
    _refuse_address(params.endpoint_url, reach)
    key = None if isinstance(params, AgentSpec) else params.webhook_key
    if key and not params.endpoint_url:
        raise InvalidError("a key signs what is sent", fields={"webhook_key": "has no endpoint_url"})
    draft = Draft(view, now, actor=actor, timers=timers, cause=cause)
    if params.name.lower() == subjects.CANARY:
        raise InvalidError("this name is Rollcall's own", fields={"name": "is reserved"})
    known = draft.find_agent(params.name)
    if known is not None:
        raise ExistsError(f"there is an agent {known.name}", agent=known.name)
    other = namesake(people, now)
    if other is not None:
        raise ExistsError(
            f"{other.holder} {other.name} has credentials of this name, and names are used once: use another,"
            f" or end them: rollcall credential revoke {other.name} --holder {other.holder}"
        )
    main = params.kind == "main_agent"
    capacity, minutes = params.capacity, params.timeout_minutes
    usual_us = timers.accept_main_us if main else timers.accept_sub_us
    agent = Agent(
        id=view.new_id("agents"),
        name=params.name,
        kind=params.kind,
        capabilities=tuple(dict.fromkeys(params.capabilities)),
        capacity=(MAIN_CAPACITY if main else 1) if capacity is None else capacity,
        timeout_us=usual_us if minutes is None else minutes * timers.minute_us,
        beats=params.beats or ("none" if params.endpoint_url else "required"),
        assignable_by=() if isinstance(params, AgentSpec) else params.assignable_by,
        kept_by=None if isinstance(params, AgentSpec) else params.kept_by,
        endpoint_url=params.endpoint_url,
        created_at=now,
        status_since=now,
    )
    status, why = project(agent)
    agent = structs.replace(agent, status=status, status_why=why)
    draft.put(agent)
    draft.fact(agent, "registered", kind=agent.kind, capacity=agent.capacity, status=status)
    draft.wake("assigner")
    changes = draft.changes(AgentRef(id=agent.id, name=agent.name))
    return changes if key is None else webhooks.signed_from_now(changes, now, agent.name, key, actor)


def set_agent(
    view: View,
    now: int,
    params: SetParams,
    *,
    actor: str,
    timers: Timers,
    cause: str | None = None,
    reach: Reach = STRANGERS,
) -> Changes:
    """Change an agent; what it holds stays with it."""
    if not isinstance(params.endpoint_url, UnsetType):
        _refuse_address(params.endpoint_url, reach)
    draft = Draft(view, now, actor=actor, timers=timers, cause=cause or params.command_id)
    agent = draft.agent(params.name)
    check(params.expected_version, agent.version)
    names = ("capabilities", "capacity", "beats", "active", "quarantined", "assignable_by", "kept_by")
    changes: dict[str, Any] = {name: value for name in names if (value := getattr(params, name)) is not UNSET}
    if not isinstance(params.timeout_minutes, UnsetType):
        changes["timeout_us"] = params.timeout_minutes * timers.minute_us
    if not isinstance(params.endpoint_url, UnsetType):
        changes["endpoint_url"] = params.endpoint_url or None
    if changes.get("beats") == "none" or changes.get("active") is False:
        changes |= {"silent_at": None, **BACK}
    if changes.get("active") is False:
        left_at = None if agent.joined_at is None else agent.left_at or now
        changes |= {"left_at": left_at, **UNSAID}  # it has to join when it is active again
    after = structs.replace(agent, **changes)
    if after.endpoint_url != agent.endpoint_url or after.beats == "required":
        after = structs.replace(after, unreachable_since=None)
    if after.active and agent.retired_at is not None:
        after = structs.replace(after, retired_at=None)
    if after.quarantined != agent.quarantined:
        after = structs.replace(after, flag_reason=None, flagged_by=actor.partition(":")[2])
    if after.beats == "required" != agent.beats and after.joined_at is not None and after.left_at is None:
        after = structs.replace(after, silent_at=now + timers.beat_misses * after.beat_interval_us)
    after = put_agent(draft, after)
    draft.fact(after, "changed", fields=sorted(changes))
    draft.wake("assigner")
    return draft.changes(AgentRef(id=agent.id, name=agent.name))


def _refuse_address(url: str | None, reach: Reach) -> None:
    """Refuse an address to which no ping may be sent; what its name stands for is asked at each ping."""
    if url:
        place(url, reach)


def listed(rows: Sequence[Agent]) -> ListResult:
    """Return the agents for readers."""
    return ListResult(items=tuple(agent_view(row) for row in rows))


def agent_view(agent: Agent) -> AgentView:
    """Return an agent for readers, with its status in the older vocabularies too."""
    return shown_as(agent, AgentView, flags=flags(agent), status4=status4(agent), status6=status6(agent))


def shown(view: View, name: str) -> ShowResult:
    """Return an agent with what it holds."""
    agent = view.agents.get(name.lower())
    if agent is None:
        raise NotFoundError(f"there is no agent {name}")
    held = (
        row for row in view.assignments.values() if row.agent == agent.name and row.status in OPEN_STATUSES
    )
    return ShowResult(
        agent=agent_view(agent),
        assignments=tuple(shown_as(row, AssignmentView) for row in sorted(held, key=lambda row: row.id)),
    )
