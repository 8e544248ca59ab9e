"""Reminders: what is to be said later."""

from collections.abc import Callable, Mapping

from bus.service import Duty, Request
from contracts.work import Changes, Claim, Lookup, Needs, Unit, View
from domain import schedule
from domain.timers import Timers

_COUNT = Lookup(query="count_reminders")


def units(timers: Timers) -> Mapping[str, Callable[[Request], Unit]]:
    """Return what answers each operation."""
    return {
        "reminder.add": lambda request: _add(request, timers),
        "reminder.ls": _list,
        "reminder.cancel": lambda request: _cancel(request, timers),
    }


def duty(timers: Timers) -> Duty:
    """Return what fires those that are due."""

    def fire(view: View, number: int, now: int) -> Changes:
        return schedule.fire(view, view.rows[_named(number)], now, timers=timers)

    claim = Claim(query="claim_reminders", rows="reminders", row_query="due_reminder", decide=fire)
    return Duty(name="reminders", claim=lambda _now: claim, due_query="next_reminder_at")


def _named(number: int) -> Lookup:
    return Lookup(query="due_reminder", params=(("id", number),))


def _add(request: Request, timers: Timers) -> Unit:
    params = request.params
    needs = Needs(
        tasks=() if params.task is None else (params.task,),
        agents=() if params.agent is None else (params.agent,),
        alone=True,
        lookups=(_COUNT,),
    )
    return request.write(
        needs,
        lambda view, now: schedule.add(
            view, now, params, actor=request.actor, timers=timers, to_come=view.rows[_COUNT][0][0]
        ),
    )


def _cancel(request: Request, timers: Timers) -> Unit:
    params = request.params
    row = _named(params.reminder)
    return request.write(
        Needs(lookups=(row,)),
        lambda view, now: schedule.cancel(
            view, now, params, actor=request.actor, timers=timers, found=view.rows[row]
        ),
    )


def _list(request: Request) -> Unit:
    return request.page("list_reminders", schedule.listed)
