"""Orders about an agent's process: who can carry them out, and that they were given."""

from contracts.errors import ConflictError, NotFoundError, UnavailableError
from contracts.operations.orders import OrderParams, OrderResult
from contracts.records import Agent
from contracts.work import Changes, View
from domain.draft import Draft
from domain.timers import Timers
from domain.wording import misspelt


def target(view: View, name: str) -> OrderResult:
    """Return the agent, its machine and its process, if that machine's daemon can be asked."""
    agent = _known(view, name)
    if agent.machine is None:
        raise ConflictError(f"no machine keeps {agent.name}: its process is started and stopped by hand")
    machine = view.machines.get(agent.machine.lower())
    if machine is None or not machine.connected:
        raise UnavailableError(f"the daemon of {agent.machine} is not heard: is it running there?")
    return OrderResult(
        agent=agent.name, machine=machine.name, process=agent.process, why=agent.process_why or ""
    )


def ordered(
    view: View, now: int, verb: str, params: OrderParams, taken: OrderResult, *, actor: str, timers: Timers
) -> Changes:
    """State that an order was given and taken."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    agent = _known(view, params.name)
    draft.put(agent)
    draft.fact(agent, "ordered", verb=verb, machine=taken.machine, reason=params.reason)
    return draft.changes(taken)


def _known(view: View, name: str) -> Agent:
    agent = view.agents.get(name.lower())
    if agent is None or not agent.active:
        raise NotFoundError(f"there is no active agent {name}")
    if agent.name != name:
        raise NotFoundError(misspelt(name, agent.name))
    return agent
