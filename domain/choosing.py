"""Who may have a task, and who of these gets it."""

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct

from contracts.records import Agent, Task
from domain.admission import unable, unasked


class Choice(Struct, frozen=True):
    """The chosen agent, or nobody; and why each of the others was not able."""

    agent: Agent | None
    reasons: dict[str, str]

    def summary(self) -> str:
        """Return how many were kept out by what."""
        if not self.reasons:
            return "nobody is free"
        counts = Counter(reason.partition(":")[0] for reason in self.reasons.values())
        return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def eligible(
    agent: Agent, task: Task, excluded: frozenset[str], *, capability: str | None = None
) -> str | None:
    """Return why the agent may not have the task, or None; `capability` stands for what the task needs."""
    why = unable(agent)
    if why is not None:
        return why
    missing = set(task.capabilities if capability is None else (capability,)) - set(agent.capabilities)
    if missing:
        return f"not capable: {', '.join(sorted(missing))}"
    return roomy(agent, excluded)


def roomy(agent: Agent, excluded: frozenset[str]) -> str | None:
    """Return why the agent may not have one more, whatever it is able to do."""
    why = unasked(agent)
    if why is not None:
        return why
    if agent.name.lower() in excluded:
        return "had it before in this round"
    return "at capacity" if agent.leases >= agent.capacity else None


def score(agent: Agent) -> tuple[float, float, int]:
    """Return what the eligible are ordered by, the least first: load, then failures, then slowness."""
    load = agent.leases / max(1, agent.capacity)
    failing = (agent.failures + 1) / (agent.successes + agent.failures + 2)
    return load, failing, agent.progress_latency_us


def best(able: Iterable[Agent], draw: Callable[[], float]) -> Agent | None:
    """Return one of the best, by lot among equals."""
    ranked = [(score(agent), agent) for agent in able]
    least = min((scored for scored, _ in ranked), default=None)
    ties = sorted((agent for scored, agent in ranked if scored == least), key=lambda agent: agent.id)
    if len(ties) < 2:  # noqa: PLR2004
        return ties[0] if ties else None
    return ties[min(int(draw() * len(ties)), len(ties) - 1)]


def choose(
    task: Task,
    candidates: Iterable[Agent],
    excluded: frozenset[str],
    draw: Callable[[], float],
    *,
    capability: str | None = None,
) -> Choice:
    """Choose a sub-agent; with nobody eligible the main agent that has room, present or not.

    With a capability that stands for what the task needs the main agent, too, has to be there and to have it.
    """
    reasons: dict[str, str] = {}
    able: dict[str, list[Agent]] = {"sub_agent": [], "main_agent": []}
    for agent in candidates:
        last_resort = agent.kind == "main_agent" and capability is None
        why = (
            roomy(agent, excluded) if last_resort else eligible(agent, task, excluded, capability=capability)
        )
        if why is None:
            able[agent.kind].append(agent)
        else:
            reasons[agent.name] = why
    return Choice(best(able["sub_agent"] or able["main_agent"], draw), reasons)
