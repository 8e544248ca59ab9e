"""What there is of many tasks at once: assignments and comments."""

from bus.service import Request
from contracts.work import Lookup, Needs, Unit
from domain import lists

_ENDED = ("completed", "failed")


def assignments(request: Request) -> Unit:
    """Return the unit that lists assignments; who asks for an ended status means also those that ended."""
    params = request.params
    return request.page("list_assignments", lists.assignments, all=params.all or params.status in _ENDED)


def assignment(request: Request) -> Unit:
    """Return the unit that shows an assignment."""
    number = request.params.assignment
    return request.read(
        Needs(assignments=(number,), alone=True), lambda view, _: lists.assignment(view, number)
    )


def comments(request: Request) -> Unit:
    """Return the unit that lists comments."""
    params = request.params
    asked = (("task_id", params.task), ("after", params.after), ("limit", params.limit))
    rows = Lookup(query="list_comments", params=asked)
    tasks = () if params.task is None else (params.task,)
    return request.read(
        Needs(tasks=tasks, alone=True, lookups=(rows,)),
        lambda view, _: lists.comments(view, params.task, view.rows[rows], params.limit),
    )
