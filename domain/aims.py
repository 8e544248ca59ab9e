"""Whom a policy step turns to, or why it is skipped."""

from collections.abc import Callable
from typing import assert_never

from msgspec import Struct

from contracts.records import Agent, Assignment, Escalation, PolicyStep, Task
from domain.admission import unable
from domain.choosing import best, eligible
from domain.draft import Draft
from domain.projection import alive

DEFAULT_STEPS = (PolicyStep(kind="main"),)


class Case(Struct, frozen=True):
    """A missed clock: whose, on what, and how far the policy has come."""

    row: Assignment
    task: Task
    holder: Agent
    escalation: Escalation


class Aim(Struct, frozen=True):
    """Whom a step turns to; without an agent and a name nobody, and the reason says why."""

    agent: Agent | None
    name: str | None
    reason: str


def aim(draft: Draft, case: Case, step: PolicyStep) -> Aim:
    """Return whom the step turns to, or why nobody."""
    match step.kind:
        case "retry":
            return _able(case.holder, unable(case.holder))
        case "peer":
            return _peer(draft, case, step)
        case "main":
            return _main(draft, case, draft.excluded(case.task.id), unable)
        case "notify":
            return _told(draft, case, step)
        case _:
            assert_never(step.kind)


def _able(agent: Agent, why_not: str | None) -> Aim:
    if why_not is None:
        return Aim(agent, agent.name, "able")
    return Aim(None, None, f"{agent.name} is {why_not}")


def _peer(draft: Draft, case: Case, step: PolicyStep) -> Aim:
    barred = draft.excluded(case.task.id) | {case.holder.name.lower()}
    peers = [agent for agent in draft.candidates() if agent.kind == "sub_agent"]
    reasons = {agent.name: eligible(agent, case.task, barred, capability=step.capability) for agent in peers}
    found = best((agent for agent in peers if reasons[agent.name] is None), draft.view.draw)
    if found is not None:
        return Aim(found, found.name, "able")
    told = "; ".join(f"{name} {reason}" for name, reason in sorted(reasons.items())[:5])
    return Aim(None, None, f"no peer is able ({told or 'none has room'})")


def _main(draft: Draft, case: Case, barred: frozenset[str], why_not: Callable[[Agent], str | None]) -> Aim:
    """Turn to a main agent that can answer, whatever it is capable of and however much it holds."""
    mains = draft.main_agents()
    if not mains:
        return Aim(None, None, "there is no main agent")
    reasons = {agent.name: _main_cannot(agent, case, barred) or why_not(agent) for agent in mains}
    found = best((agent for agent in mains if reasons[agent.name] is None), draft.view.draw)
    if found is not None:
        return Aim(found, found.name, "able")
    return Aim(None, None, "; ".join(f"{name} is {reason}" for name, reason in sorted(reasons.items())))


def _main_cannot(agent: Agent, case: Case, barred: frozenset[str]) -> str | None:
    if agent.id == case.holder.id:
        return "the sender"
    return "done with it in this round" if agent.name.lower() in barred else None


def _told(draft: Draft, case: Case, step: PolicyStep) -> Aim:
    """Tell a named agent if it can hear, a person always, else the main agent."""
    if step.who is None:
        return _main(draft, case, frozenset(), alive)
    agent = draft.find_agent(step.who)
    if agent is None:
        return Aim(None, step.who, "a person")
    return _able(agent, "the sender" if agent.id == case.holder.id else alive(agent))
