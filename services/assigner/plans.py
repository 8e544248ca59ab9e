"""Phases and todos: what operators and the holders of tasks do about them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from bus.service import Request
from contracts.operations import plans as operations
from contracts.work import Changes, Lookup, Needs, Unit, View
from domain import holding, plans
from domain.draft import Draft
from domain.plans import Plan
from domain.timers import Timers

Units = Mapping[str, Callable[[Request], Unit]]

_DECISIONS: Final[Mapping[str, Callable[..., Struct]]] = {
    "todo.add": plans.add_todo,
    "todo.set": plans.set_todo,
    "todo.rm": plans.remove_todo,
    "phase.add": plans.add_phase,
    "phase.set": plans.set_phase,
}


def units(timers: Timers) -> Units:
    """Return what answers each operation."""
    return {
        **{name: _of_operator(decide, timers) for name, decide in _DECISIONS.items()},
        "todo.ls": _listed("task_todos", plans.todos),
        "phase.ls": _listed("task_phases", plans.phases),
        "assignment.plan": _plan,
        "assignment.check": _of_holder(holding.check, timers),
        "assignment.advance": _of_holder(holding.advance, timers),
        "assignment.remark": _remark(timers),
    }


def _of_operator(decide: Callable[..., Struct], timers: Timers) -> Callable[[Request], Unit]:
    def unit(request: Request) -> Unit:
        params = request.params
        phases, todos = lookups("task", "task_id", params.task)

        def decided(view: View, now: int) -> Changes:
            draft = Draft(view, now, actor=request.actor, timers=timers, cause=params.command_id)
            plan = Plan(phases=view.rows[phases], todos=view.rows[todos])
            return draft.changes(decide(draft, draft.task(params.task), plan, params))

        return request.write(Needs(tasks=(params.task,), alone=True, lookups=(phases, todos)), decided)

    return unit


def _of_holder(decide: Callable[..., Changes], timers: Timers) -> Callable[[Request], Unit]:
    def unit(request: Request) -> Unit:
        params = request.params
        phases, todos = lookups("assignment", "assignment_id", params.assignment)
        needs = Needs(assignments=(params.assignment,), agents=(request.identity,), lookups=(phases, todos))
        return request.write(
            needs,
            lambda view, now: decide(
                view,
                now,
                params,
                Plan(phases=view.rows[phases], todos=view.rows[todos]),
                agent=request.identity,
                timers=timers,
            ),
        )

    return unit


def _remark(timers: Timers) -> Callable[[Request], Unit]:
    return lambda request: request.write(
        Needs(assignments=(request.params.assignment,), agents=(request.identity,)),
        lambda view, now: holding.remark(view, now, request.params, agent=request.identity, timers=timers),
    )


def _plan(request: Request) -> Unit:
    params: operations.PlanParams = request.params
    phases, todos = lookups("assignment", "assignment_id", params.assignment)
    return request.read(
        Needs(assignments=(params.assignment,), alone=True, lookups=(phases, todos)),
        lambda view, _: holding.plan(
            view,
            params.assignment,
            Plan(phases=view.rows[phases], todos=view.rows[todos]),
            agent=request.identity,
        ),
    )


def _listed(query: str, answer: Callable[[View, int, Any], Struct]) -> Callable[[Request], Unit]:
    def unit(request: Request) -> Unit:
        task = request.params.task
        rows = Lookup(query=query, params=(("task_id", task),))
        return request.read(
            Needs(tasks=(task,), alone=True, lookups=(rows,)),
            lambda view, _: answer(view, task, view.rows[rows]),
        )

    return unit


def lookups(of: str, key: str, number: int) -> tuple[Lookup, Lookup]:
    """Return where the phases and the todos stand in a view."""
    named = ((key, number),)
    return Lookup(query=f"{of}_phases", params=named), Lookup(query=f"{of}_todos", params=named)
