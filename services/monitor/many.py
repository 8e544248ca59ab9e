"""The monitor's view of many at once: brakes on deaths, the canary, teams."""

from typing import Final

import structlog

from bus.api import BusError
from bus.service import Context, Delivery, Request
from contracts import subjects
from contracts.codec import encode
from contracts.messages import Beat
from contracts.work import Claim, Lookup, Needs, Unit
from domain import brakes, teams
from domain.timers import SECOND_US, Timers

log = structlog.get_logger(__name__)

CANARY_S: Final = 5.0
TOLL_US: Final = 3_600 * SECOND_US  # who died longer ago is no part of what befalls others now


def silent(now: int) -> Lookup:
    """Return the lookup of who is silent now."""
    return brakes.silent_since(now - TOLL_US)


def claim(now: int, timers: Timers) -> Claim:
    """Return the claim of the brakes that have to be looked at."""
    quiet = silent(now)
    return Claim(
        query="claim_brakes",
        rows="brakes",
        decide=lambda view, brake_id, at: brakes.judge(view, brake_id, at, silent=quiet, timers=timers),
        needs=Needs(brakes=True, shared=(brakes.MEMBERS, quiet)),
    )


def canary(delivery: Delivery, timers: Timers) -> Unit:
    """Return the unit of our own beat, come back over the bus."""
    return Unit(
        key=subjects.CANARY,
        needs=Needs(brakes=True),
        decide=lambda view, now: brakes.canary(view, now, delivery.at_us, timers),
        actor="rollcall:monitor",
    )


async def sing(context: Context, _now: int) -> None:
    """Beat over the bus as agents do; what is lost is what a brake has to know."""
    try:
        await context.bus.publish(
            f"{context.root}.{subjects.heartbeat(subjects.CANARY)}", encode(Beat(interval_s=int(CANARY_S)))
        )
    except BusError as error:
        log.debug("canary.lost", reason=str(error))


def let_go(request: Request, timers: Timers) -> Unit:
    """Let brakes go at an operator's word."""
    params = request.params
    return request.write(
        Needs(brakes=True),
        lambda view, now: brakes.let_go(view, now, params, actor=request.actor, timers=timers),
    )


def listed(request: Request) -> Unit:
    """List the brakes that are on."""
    return request.read(Needs(brakes=True), lambda view, _: brakes.listed(view))


def ready(request: Request) -> Unit:
    """Say whether a team is ready."""
    rows = Lookup(query="list_agents", params=(("all", False),))
    return request.read(Needs(lookups=(rows,)), lambda view, _: teams.ready(view.rows[rows], request.params))
