"""The monitor's doors for what an operator says about an agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.service import Endpoint
from contracts.operations import BY_NAME
from contracts.work import Needs
from domain import flags
from services.monitor.credentials import ways

if TYPE_CHECKING:
    from bus.service import Request
    from contracts.work import Unit
    from domain.timers import Timers
    from services.monitor.credentials import Desk

WORDS: dict[str, flags.Flag] = {"pause": "paused", "drain": "draining", "quarantine": "quarantined"}


def endpoints(timers: Timers, desk: Desk) -> tuple[Endpoint, ...]:
    """Return the doors for flags."""
    doors = {f"agent.{verb}": _flagging(which, timers) for verb, which in WORDS.items()}
    doors |= {"agent.resume": _resuming(timers, desk), "agent.retire": _retiring(timers, desk)}
    return tuple(Endpoint(operation=BY_NAME[name], unit=unit) for name, unit in doors.items())


def _flagging(which: flags.Flag, timers: Timers) -> Callable[[Request], Unit]:
    def unit(request: Request) -> Unit:
        return request.write(
            Needs(agents=(request.params.name,)),
            lambda view, now: flags.flag(
                view, now, request.params, which, actor=request.actor, timers=timers
            ),
        )

    return unit


def _resuming(timers: Timers, desk: Desk) -> Callable[[Request], Unit]:
    return lambda request: request.write(
        Needs(agents=(request.params.name,)),
        lambda view, now: flags.resume(
            view, now, request.params, actor=request.actor, guarded=desk.guarded, timers=timers
        ),
    )


def _retiring(timers: Timers, desk: Desk) -> Callable[[Request], Unit]:
    def unit(request: Request) -> Unit:
        known, tokens = ways(request.params.name)
        return request.write(
            Needs(agents=(request.params.name,), leases=True, lookups=(known, tokens)),
            lambda view, now: flags.retire(
                view,
                now,
                request.params,
                actor=request.actor,
                credentials=view.rows[known],
                tokens=view.rows[tokens],
                guarded=desk.guarded,
                timers=timers,
            ),
        )

    return unit
