"""Escalator: what happens when a clock has run out, and the policies that say so."""

from msgspec import Struct

from bus.service import Chore, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts.codec import micros
from contracts.operations import BY_NAME
from contracts.work import Changes, Claim, Lookup, Needs, Unit, View
from domain import escalation, lists, policies, previewing
from domain.timers import Timers

POLICIES = Lookup(query="list_policies")


class Escalator(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    steps_per_second: int | None = None
    name: str = "escalator"
    fronts: tuple[Front, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    chores: tuple[Chore, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The policies, and what came of them."""
        return (
            Endpoint(operation=BY_NAME["policy.ls"], unit=_list),
            Endpoint(operation=BY_NAME["policy.show"], unit=_show),
            Endpoint(operation=BY_NAME["policy.set"], unit=_set),
            Endpoint(operation=BY_NAME["policy.try"], unit=self._try),
            Endpoint(operation=BY_NAME["escalation.ls"], unit=_list_escalations),
            Endpoint(operation=BY_NAME["escalation.show"], unit=_show_escalation),
            Endpoint(operation=BY_NAME["policy.preview"], unit=self._preview),
        )

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Deadlines."""
        return (
            Duty(
                name="deadlines",
                claim=self._claim,
                due_query="next_deadline_at",
                per_second_max=self.steps_per_second,
            ),
        )

    def _claim(self, _now: int) -> Claim:
        needs = Needs(candidates=True, excluded=True, clocks=True, dependents=True, brakes=True)
        return Claim(query="claim_deadlines", rows="assignments", decide=self._deadline, needs=needs)

    def _deadline(self, view: View, assignment_id: int, now: int) -> Changes:
        return escalation.deadline(view, assignment_id, now, timers=self.timers)

    def _try(self, request: Request) -> Unit:
        task, policy = request.params.task, request.params.policy
        needs = Needs(
            tasks=(task,), policies=() if policy is None else (policy,), candidates=True, excluded=True
        )
        return request.read(
            needs, lambda view, now: escalation.try_policy(view, task, policy, now, timers=self.timers)
        )

    def _preview(self, request: Request) -> Unit:
        params = request.params
        needs = Needs(tasks=params.tasks, policies=(params.name,), candidates=True, excluded=True)
        return request.read(
            needs, lambda view, now: previewing.preview(view, params, now, timers=self.timers)
        )


def _list(request: Request) -> Unit:
    return request.read(Needs(lookups=(POLICIES,)), lambda view, _: policies.listed(view.rows[POLICIES]))


def _show(request: Request) -> Unit:
    name = request.params.name
    return request.read(Needs(policies=(name,)), lambda view, _: policies.shown(view, name))


def _set(request: Request) -> Unit:
    params = request.params
    return request.write(
        Needs(policies=(params.name,)),
        lambda view, now: policies.set_policy(view, now, params, actor=request.actor),
    )


def _list_escalations(request: Request) -> Unit:
    since = request.params.ended_since
    ended_since = None if since is None else micros(since)
    return request.page("list_escalations", lists.escalations, ended_since=ended_since)


def _show_escalation(request: Request) -> Unit:
    number = request.params.escalation
    named = (("id", number),)
    row = Lookup(query="escalation_numbered", params=named)
    steps = Lookup(query="escalation_steps", params=named)
    return request.read(
        Needs(lookups=(row, steps)),
        lambda view, _: lists.escalation(number, view.rows[row], view.rows[steps]),
    )
