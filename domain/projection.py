"""The status of an agent: a pure projection of the facts about it, stated only when it changes."""

from msgspec import structs

from contracts.records import Agent, AgentStatus
from domain.draft import Draft


def project(agent: Agent) -> tuple[AgentStatus, str]:
    """Return the first status that fits, and why."""
    absent = _absent(agent)
    if absent is not None:
        return absent
    if agent.leases and agent.waiting == agent.leases:
        return "waiting", "all it holds is waiting"
    if agent.accepted:
        return "working", "has accepted work"
    if agent.leases:
        return "busy", "holds what it has not accepted"
    if agent.leases >= agent.capacity:
        return "busy", "has no capacity"
    return "ready", "no beats" if agent.beats == "none" else "present"


def _absent(agent: Agent) -> tuple[AgentStatus, str] | None:
    if not agent.active:
        return "offline", "not active"
    if agent.beats == "none":
        return None
    if agent.left_at is not None:
        return "offline", "left"
    if agent.joined_at is None:
        return "offline", "never joined"
    return ("suspect", "missed its beats") if agent.suspect else None


def put_agent(draft: Draft, agent: Agent) -> Agent:
    """Write an agent with the status that follows from its facts."""
    status, why = project(agent)
    if status == agent.status:
        after = structs.replace(agent, status_why=why)
        draft.put(after)
        return after
    after = structs.replace(agent, status=status, status_why=why, status_since=draft.now)
    draft.put(after)
    draft.fact(after, "status_changed", before=agent.status, status=status, why=why)
    return after


def alive(agent: Agent) -> str | None:
    """Return why an agent cannot be expected to answer, or None if it can."""
    if not agent.active:
        return "not active"
    if agent.quarantined:
        return "quarantined"
    if agent.beats == "required" and agent.status in ("offline", "suspect"):
        return f"not present: {agent.status}"
    return None
