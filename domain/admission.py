"""The one admission point: who may be given anything new, and whether anything new is given at all."""

from contracts.errors import ConflictError, FrozenError
from contracts.records import Agent, Frozen
from domain.draft import Draft
from domain.projection import GONE, shut_out
from domain.wording import moment


def barred(agent: Agent) -> str | None:
    """Return why an operator lets the agent have nothing new, or None if it may; it holds whoever asks."""
    if agent.retired_at is not None:
        return "retired"
    if not agent.active:
        return "not active"
    if agent.quarantined:
        return "quarantined"
    if agent.draining:
        return "draining"
    if agent.paused:
        return "paused"
    return "revoked" if shut_out(agent) else None


def unasked(agent: Agent) -> str | None:
    """Return why the agent cannot be asked now whether it takes something, or None if it can."""
    why = barred(agent)
    if why is None and agent.asking:
        return "waiting for a human"
    return why


def unable(agent: Agent) -> str | None:
    """Return why the agent is not to be turned to for an answer, or None if it is: it is there, too."""
    why = unasked(agent)
    if why is None and agent.unreachable_since is not None:
        return f"unreachable: no ping was delivered to its address, {moment(agent.unreachable_since)}"
    if why is None and agent.status in GONE:
        return f"not present: {agent.status}"
    return why


def closed_to(agent: Agent, giver: str) -> str | None:
    """Return why the agent takes no work from another agent, or None if it does; operators are not asked."""
    names = {name.lower() for name in agent.assignable_by}
    return None if not names or giver.lower() in names else f"not assignable by {giver}"


def admit(draft: Draft, agent: Agent) -> None:
    """Refuse a lease that may not be opened; every lease that is opened comes by here."""
    refuse_frozen(draft.view.frozen)
    why = barred(agent)
    if why is not None:
        raise ConflictError(f"{agent.name} is {why}", agent=agent.name, reason=agent.flag_reason)


def refuse_frozen(frozen: Frozen | None) -> None:
    """Refuse while nothing new is offered anywhere."""
    if frozen is not None:
        raise FrozenError(told(frozen), since=frozen.since, by=frozen.by, reason=frozen.reason)


def told(frozen: Frozen) -> str:
    """Say why nothing new is offered."""
    return f"frozen by {frozen.by}: {frozen.reason}"
