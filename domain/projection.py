"""The status of an agent: a pure projection of the facts about it, stated only when it changes."""

from collections.abc import Callable

from msgspec import structs

from contracts.records import Agent, AgentStatus
from domain.draft import Draft


def shut_out(agent: Agent) -> bool:
    """Whether an agent can neither hear nor answer: its credentials were revoked, and it has no webhook."""
    return agent.revoked_at is not None and not agent.endpoint_url


FLAGS: tuple[tuple[str, Callable[[Agent], bool]], ...] = (
    ("retired", lambda agent: agent.retired_at is not None),
    ("quarantined", lambda agent: agent.quarantined),
    ("draining", lambda agent: agent.draining),
    ("paused", lambda agent: agent.paused),
    ("revoked", shut_out),
    ("unreachable", lambda agent: agent.unreachable_since is not None),
)
"""What keeps work from an agent, whatever its status: an operator's word, or a webhook that fails."""
STATUS4: dict[AgentStatus, str] = {
    "dead_failed_revive": "offline",
    "dead": "offline",
    "restarting": "offline",
    "offline": "offline",
    "suspect": "",
    "stalled": "working",
    "waiting": "busy",
    "working": "working",
    "busy": "busy",
    "ready": "idle",
}
"""The status in four words (idle, busy, working, offline); a suspect is shown as what it holds."""
STATUS6: dict[AgentStatus, str] = {
    "dead_failed_revive": "dead_failed_revive",
    "dead": "dead",
    "restarting": "restarting",
    "offline": "offline",
    "suspect": "",
    "stalled": "working",
    "waiting": "working",
    "working": "working",
    "busy": "ready",
    "ready": "ready",
}
"""The status in six words (offline, ready, working, restarting, dead, dead_failed_revive)."""
GONE: tuple[AgentStatus, ...] = ("dead_failed_revive", "dead", "restarting", "offline", "suspect")
"""Who cannot be expected to answer now."""


def project(agent: Agent) -> tuple[AgentStatus, str]:
    """Return the first status that fits, in the order of `AgentStatus`, and why."""
    return _lost(agent) or _absent(agent) or _load(agent)


def status4(agent: Agent) -> str:
    """Return the status in the older vocabulary of four words."""
    return STATUS4[agent.status] or STATUS4[_load(agent)[0]]


def status6(agent: Agent) -> str:
    """Return the status in the older vocabulary of six words."""
    return STATUS6[agent.status] or STATUS6[_load(agent)[0]]


def flags(agent: Agent) -> tuple[str, ...]:
    """Return what keeps work from the agent beside its status."""
    return tuple(word for word, is_set in FLAGS if is_set(agent))


def _lost(agent: Agent) -> tuple[AgentStatus, str] | None:
    """Return how an agent that should be there is not, whatever became of it."""
    if not agent.active:
        return "offline", "not active" if agent.retired_at is None else "retired"
    if agent.process == "failed":
        return "dead_failed_revive", agent.process_why or "its process failed again and again"
    if agent.dead_at is not None:
        return "dead", agent.dead_why or "missed its beats"
    if agent.process == "restarting":
        return "restarting", agent.process_why or "its process ended"
    return None


def _absent(agent: Agent) -> tuple[AgentStatus, str] | None:
    if agent.beats == "none":
        return _ended(agent)
    if agent.left_at is not None:
        return "offline", "stopped" if agent.process == "stopped" else "left"
    if agent.joined_at is None:
        return "offline", "never joined"
    if agent.suspect_at is not None:
        witness = agent.machine is not None and agent.process == "running"
        return "suspect", f"missed its beats; {agent.machine} says it runs" if witness else "missed its beats"
    return None


def _ended(agent: Agent) -> tuple[AgentStatus, str] | None:
    """Return how an agent that sends no beats is absent: only its daemon's word tells, while it stands."""
    if agent.process == "stopped":
        return "offline", "stopped"
    return ("offline", "its process is gone") if agent.process == "gone" else None


def _load(agent: Agent) -> tuple[AgentStatus, str]:
    """Return what an agent that is there does."""
    if agent.stalled:
        return "stalled", "has accepted work and reports no progress"
    if agent.leases and agent.waiting == agent.leases:
        return "waiting", "waits for a human" if agent.asking else "all it holds is waiting"
    if agent.accepted:
        return "working", "has accepted work"
    if agent.leases:
        return "busy", "holds what it has not accepted"
    if agent.leases >= agent.capacity:
        return "busy", "has no capacity"
    if agent.unreachable_since is not None:
        return "ready", "no beats, and its address cannot be reached"
    return "ready", "no beats" if agent.beats == "none" else "present"


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
    if shut_out(agent):
        return "revoked"
    return f"not present: {agent.status}" if agent.status in GONE else None
