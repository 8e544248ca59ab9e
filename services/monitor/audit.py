"""What was changed, by whom and why, and what agents were told of it: how these are read."""

from bus.service import Request
from contracts.errors import InvalidError
from contracts.work import Lookup, Needs, Unit
from domain import audit, lists


def listed(request: Request) -> Unit:
    """Return the unit that lists changes."""
    params = request.params
    if params.id is not None and params.aggregate is None:
        raise InvalidError("the id of what?", fields={"aggregate": "is needed with an id"})
    asked = (
        ("aggregate", params.aggregate),
        ("id", params.id),
        ("after", params.after),
        ("limit", params.limit),
    )
    rows = Lookup(query="audit_about", params=asked)
    return request.read(Needs(lookups=(rows,)), lambda view, _: audit.listed(view.rows[rows], params.limit))


def notices(request: Request) -> Unit:
    """Return the unit that lists notices."""
    params = request.params
    asked = (("agent", params.agent), ("after", params.after), ("limit", params.limit))
    rows = Lookup(query="list_notices", params=asked)
    return request.read(Needs(lookups=(rows,)), lambda view, _: lists.notices(view.rows[rows], params.limit))
