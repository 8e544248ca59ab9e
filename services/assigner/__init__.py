"""Assigner: tasks and their life, what they are made of, and who gets them."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from bus.service import Chore, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts.operations import BY_NAME
from contracts.views import PhaseView, PingView, ReminderView, TaskDetail, TodoView
from contracts.views import view as view_of
from contracts.work import Changes, Claim, Lookup, Needs, Unit, View
from domain import assigning, flags, tasks
from domain.timers import Timers
from services.assigner import lists, plans, reminders

ASSIGN_MAX = 200
OPENINGS_MAX = 20  # what is behind these is tried again soon enough by its own instant


class Assigner(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    name: str = "assigner"
    fronts: tuple[Front, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    chores: tuple[Chore, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Tasks, the handoff of an assignment, and whether anything is offered at all."""
        units: dict[str, Callable[[Request], Unit]] = {
            "task.add": self._add,
            "task.import": self._import,
            "task.ls": _list,
            "task.show": _show,
            "task.assignments": _history,
            "task.set": self._set,
            "task.assign": self._assign,
            "task.cancel": self._on_task(tasks.cancel),
            "task.reopen": self._on_task(tasks.reopen),
            "task.comment": self._on_task(tasks.comment),
            "assignment.handoff": self._handoff,
            **plans.units(self.timers),
            **reminders.units(self.timers),
            "assignment.ls": lists.assignments,
            "assignment.show": lists.assignment,
            "comment.ls": lists.comments,
            "fleet.freeze": self._on_fleet(flags.freeze),
            "fleet.thaw": self._on_fleet(flags.thaw),
        }
        return tuple(Endpoint(operation=BY_NAME[name], unit=unit) for name, unit in units.items())

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Tasks that want an owner (when due, or when somebody has room again), and reminders."""
        return (
            Duty(
                name="assignments", claim=lambda now: self._claim(now, ASSIGN_MAX), due_query="next_assign_at"
            ),
            Duty(
                name="openings",
                claim=lambda now: self._claim(now + self.timers.assign_retry_us, OPENINGS_MAX),
                due_query=None,
            ),
            reminders.duty(self.timers),
        )

    def _claim(self, until: int, limit: int) -> Claim:
        needs = Needs(candidates=True, excluded=True)
        return Claim(
            query="claim_assignable",
            rows="tasks",
            decide=self._due,
            needs=needs,
            params=(("until", until),),
            limit=limit,
        )

    def _due(self, view: View, task_id: int, now: int) -> Changes:
        return assigning.assign_due(view, task_id, now, timers=self.timers)

    def _add(self, request: Request) -> Unit:
        params = request.params
        keys = (*params.depends_on, *(() if params.key is None else (params.key,)))
        needs = Needs(task_keys=keys, tasks=_numbers(params.depends_on), policies=(params.policy,))
        return request.write(
            needs, lambda view, now: tasks.add(view, now, params, actor=request.actor, timers=self.timers)
        )

    def _import(self, request: Request) -> Unit:
        params = request.params
        named = [name for spec in params.tasks for name in spec.depends_on]
        keys = (*named, *(spec.key for spec in params.tasks if spec.key is not None))
        needs = Needs(
            task_keys=tuple(dict.fromkeys(keys)),
            tasks=_numbers(named),
            policies=tuple({spec.policy for spec in params.tasks}),
        )
        return request.write(
            needs,
            lambda view, now: tasks.import_tasks(view, now, params, actor=request.actor, timers=self.timers),
        )

    def _set(self, request: Request) -> Unit:
        params = request.params
        policy = () if not isinstance(params.policy, str) else (params.policy,)
        return request.write(
            Needs(tasks=(params.task,), policies=policy),
            lambda view, now: tasks.set_task(view, now, params, actor=request.actor, timers=self.timers),
        )

    def _assign(self, request: Request) -> Unit:
        params = request.params
        needs = Needs(
            tasks=(params.task,),
            agents=() if params.agent is None else (params.agent,),
            candidates=True,
            excluded=True,
        )
        return request.write(
            needs,
            lambda view, now: assigning.assign(
                view, now, params.task, params.agent, actor=request.actor, timers=self.timers
            ),
        )

    def _handoff(self, request: Request) -> Unit:
        params = request.params
        needs = Needs(
            assignments=(params.assignment,),
            agents=(request.identity, *(() if params.to is None else (params.to,))),
            candidates=True,
            excluded=True,
        )
        return request.write(
            needs,
            lambda view, now: assigning.handoff(
                view, now, params, agent=request.identity, timers=self.timers
            ),
        )

    def _on_task(self, decide: Callable[..., Changes]) -> Callable[[Request], Unit]:
        def unit(request: Request) -> Unit:
            params = request.params
            return request.write(
                Needs(tasks=(params.task,), dependents=True),
                lambda view, now: decide(view, now, params, actor=request.actor, timers=self.timers),
            )

        return unit

    def _on_fleet(self, decide: Callable[..., Changes]) -> Callable[[Request], Unit]:
        return lambda request: request.write(
            Needs(),
            lambda view, now: decide(view, now, request.params, actor=request.actor, timers=self.timers),
        )


def _numbers(names: tuple[str, ...] | list[str]) -> tuple[int, ...]:
    """Return those of the names that are ids: a dependency is named by key or by number."""
    return tuple(int(name) for name in names if name.isdigit() and len(name) < 19)  # noqa: PLR2004


def _list(request: Request) -> Unit:
    return request.page("list_tasks", tasks.listed)


def _show(request: Request) -> Unit:
    task: Any = request.params.task
    named = (("task_id", task),)
    parts = tuple(
        Lookup(query=query, params=named)
        for query in ("task_assignments", "task_comments", "task_steps", "task_dependencies")
    )
    pings = Lookup(query="task_pings", params=named)
    phases, todos = plans.lookups("task", "task_id", task)
    to_come = Lookup(query="task_reminders", params=named)

    def answer(view: View, _now: int) -> TaskDetail:
        detail = tasks.shown(view, task, *(view.rows[part] for part in parts))
        return structs.replace(
            detail,
            pings=tuple(view_of(row, PingView) for row in view.rows[pings]),
            phases=tuple(view_of(row, PhaseView) for row in view.rows[phases]),
            todos=tuple(view_of(row, TodoView) for row in view.rows[todos]),
            reminders=tuple(view_of(row, ReminderView) for row in view.rows[to_come]),
        )

    return request.read(
        Needs(tasks=(task,), alone=True, lookups=(*parts, pings, phases, todos, to_come)), answer
    )


def _history(request: Request) -> Unit:
    params = request.params
    named = (("task_id", params.task), ("after", params.after), ("limit", params.limit))
    rows = Lookup(query="task_history", params=named)
    return request.read(
        Needs(tasks=(params.task,), lookups=(rows,)),
        lambda view, _: tasks.history(view, params.task, view.rows[rows], params.limit),
    )
