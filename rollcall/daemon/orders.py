"""Orders of operators about the agents of this machine: read, refused when too late, done once."""

from collections.abc import Mapping

from contracts.codec import decode, micros
from contracts.errors import RollcallError
from contracts.messages import Order, Ordered
from domain.keeper import Restart, Start, Stop
from rollcall.daemon.runner import Runner

_PAST = {"start": "started", "stop": "stopped", "restart": "restarted"}


def carry_out(agent: str, data: bytes, runners: Mapping[str, Runner], now: int, *, closing: bool) -> Ordered:
    """Do what an order says and return the answer to it, given the wall clock `now` in microseconds."""
    runner = runners.get(agent)
    try:
        order = decode(data, Order)
        deadline = micros(order.deadline)
    except RollcallError as error:
        return _refused(agent, runner, f"the order cannot be read: {error}")
    if runner is None:
        return _refused(agent, runner, f"no agent of this machine is called {agent}")
    done = runner.orders.get(order.command_id)
    if done == order.verb:
        return Ordered(agent=agent, accepted=True, state=runner.facts.state, why=runner.facts.why or "")
    if done is not None:
        return _refused(agent, runner, f"the command id was used before, for {done}")
    if deadline <= now:
        return _refused(agent, runner, f"the order came {(now - deadline) / 1e6:.0f} s too late")
    if closing:
        return _refused(agent, runner, "the daemon is stopping")
    why = f"{_PAST[order.verb]} by {order.by.removeprefix('operator:')}"
    runner.order(_event(order.verb, f"{why}: {order.reason}" if order.reason else why), order.command_id)
    facts = runner.facts
    return Ordered(agent=agent, accepted=True, state=facts.state, why=facts.why or "")


def _event(verb: str, why: str) -> Start | Stop | Restart:
    match verb:
        case "start":
            return Start(why)
        case "stop":
            return Stop(why)
        case _:
            return Restart(why)


def _refused(agent: str, runner: Runner | None, why: str) -> Ordered:
    state = None if runner is None else runner.facts.state
    return Ordered(agent=agent, accepted=False, state=state, why=why)
