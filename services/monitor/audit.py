"""What was changed, by whom and why: how the audit is read."""

from bus.service import Request
from contracts.errors import InvalidError
from contracts.work import Lookup, Needs, Unit
from domain import audit


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
