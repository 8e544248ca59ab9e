"""What was changed, by whom and why, and what agents were told of it: how these are read."""

from bus.service import Request
from contracts.errors import InvalidError
from contracts.work import Unit
from domain import audit, lists


def listed(request: Request) -> Unit:
    """Return the unit that lists changes."""
    params = request.params
    if params.id is not None and params.aggregate is None:
        raise InvalidError("the id of what?", fields={"aggregate": "is needed with an id"})
    return request.page("audit_about", audit.listed)


def notices(request: Request) -> Unit:
    """Return the unit that lists notices."""
    return request.page("list_notices", lists.notices)
