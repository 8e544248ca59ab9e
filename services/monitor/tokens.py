"""Who is let in over HTTP: how tokens are created, listed and revoked."""

from bus.service import Request
from contracts.work import Lookup, Needs, Unit
from domain import tokens
from domain.timers import Timers


def create(request: Request, timers: Timers) -> Unit:
    """Return the unit that lets somebody in."""
    params = request.params
    known = Lookup(query="token_named", params=(("name", params.name),))
    needs = Needs(agents=() if params.agent is None else (params.agent,), lookups=(known,))
    return request.write(
        needs,
        lambda view, now: tokens.create(
            view, now, params, actor=request.actor, known=view.rows[known], timers=timers
        ),
    )


def invite(request: Request) -> Unit:
    """Return the unit that lets somebody into the dashboard, once."""
    params = request.params
    name = tokens.session_name(request.identity, params)
    known = Lookup(query="token_named", params=(("name", tokens.link_name(name)),))
    return request.write(
        Needs(lookups=(known,)),
        lambda view, now: tokens.invite(now, params, name=name, actor=request.actor, known=view.rows[known]),
    )


def revoke(request: Request) -> Unit:
    """Return the unit that lets a token in no more."""
    params = request.params
    known = Lookup(query="token_named", params=(("name", params.name),))
    return request.write(
        Needs(lookups=(known,)),
        lambda view, now: tokens.revoke(view, now, params, actor=request.actor, known=view.rows[known]),
    )


def listed(request: Request) -> Unit:
    """Return the unit that lists tokens."""
    params = request.params
    rows = Lookup(
        query="list_tokens",
        params=(("all", params.all), ("after", params.after), ("limit", params.limit)),
    )
    return request.read(Needs(lookups=(rows,)), lambda view, now: tokens.listed(view.rows[rows], now, params))
