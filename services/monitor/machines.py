"""The monitor's ear for machines: their daemons join, leave, report and beat; operators look."""

import structlog

from bus.service import Delivery, Request
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import RollcallError
from contracts.limits import MACHINE_BYTES_MAX
from contracts.messages import MachineBeat
from contracts.work import Cast, Committed, Lookup, Needs, Unit
from domain import daemons
from domain.timers import Timers

log = structlog.get_logger(__name__)

MACHINES = Lookup(query="list_machines")


def join(request: Request, timers: Timers) -> Unit:
    """Let a daemon join with what it runs."""
    name, params = request.identity, request.params
    own = _own(name)
    return request.write(
        _needs(name, [facts.agent for facts in params.processes], own),
        lambda view, now: daemons.join(view, now, name, params, agents=view.rows[own], timers=timers),
    )


def leave(request: Request, timers: Timers) -> Unit:
    """Let a daemon go."""
    name, params = request.identity, request.params
    own = _own(name)
    return request.write(
        Needs(machines=(name,), lookups=(own,)),
        lambda view, now: daemons.leave(view, now, name, params, agents=view.rows[own], timers=timers),
    )


def report(request: Request, timers: Timers) -> Unit:
    """Hear at once what became of processes."""
    name, params = request.identity, request.params
    return request.write(
        _needs(name, [facts.agent for facts in params.processes]),
        lambda view, now: daemons.report(view, now, name, params, timers=timers),
    )


def beat(delivery: Delivery, timers: Timers) -> Unit | None:
    """Return the unit of a daemon's beat; one that cannot be read is nobody's death."""
    try:
        name = subjects.name(delivery.tokens[2])
        said = decode(delivery.data or b"{}", MachineBeat, bytes_max=MACHINE_BYTES_MAX)
    except RollcallError as error:
        log.warning("beat.unreadable", subject=".".join(delivery.tokens), reason=str(error))
        return None
    return Unit(
        key=f"machine:{name}",
        needs=_needs(name, [facts.agent for facts in said.processes]),
        decide=lambda view, now: daemons.beat(view, now, name, said, at=delivery.at_us, timers=timers),
        actor=f"machine:{name}",
    )


def beat_reply(delivery: Delivery, result: Committed) -> Cast | None:
    """Answer a beat only when it was wrong."""
    if result.problem is None:
        return None
    return Cast(subject=subjects.machine_answer(delivery.tokens[2]), body=encode(result.problem))


def listed(request: Request) -> Unit:
    """List all machines."""
    return request.read(Needs(lookups=(MACHINES,)), lambda view, _: daemons.listed(view.rows[MACHINES]))


def shown(request: Request) -> Unit:
    """Show a machine and its agents."""
    name = request.params.name
    own = _own(name)
    return request.read(
        Needs(machines=(name,), lookups=(own,)), lambda view, _: daemons.shown(view, name, view.rows[own])
    )


def _own(name: str) -> Lookup:
    return Lookup(query="machine_agents", params=(("machine", name),))


def _needs(name: str, agents: list[str], *lookups: Lookup) -> Needs:
    return Needs(machines=(name,), agents=tuple(agents), hosts=True, lookups=lookups)
