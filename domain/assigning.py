"""Giving tasks to agents: by the assigner's tick, by an operator, by handoff."""

from collections.abc import Mapping

from msgspec import structs

from contracts.errors import ConflictError, InvalidError, NobodyEligibleError, NotFoundError
from contracts.operations.answers import HandoffParams, HandoffResult
from contracts.operations.tasks import AssignResult
from contracts.records import ENDED_TASKS, Agent, Assignment, Task
from contracts.work import Changes, View
from domain import ending
from domain.admission import admit, closed_to, refuse_frozen, told
from domain.answers import held, refuse_ended
from domain.choosing import Choice, choose, eligible, roomy, score
from domain.draft import Draft
from domain.leases import Origin, continued, end_lease, open_lease
from domain.matrix import target
from domain.timers import Timers
from domain.wording import because, length

__all__ = ["Choice", "assign", "assign_due", "choose", "eligible", "handoff", "score"]

REASONS_MAX = 20
NOBODY = frozenset[str]()


def assign_due(view: View, task_id: int, now: int, timers: Timers) -> Changes:
    """Find an owner for a task that wants one, or look again a little later."""
    draft = Draft(view, now, actor="rollcall:assigner", timers=timers)
    task = draft.task(task_id)
    if task.assign_at is None:
        return draft.changes()
    if task.status != "todo" or task.blockers:
        draft.put(structs.replace(task, assign_at=None))
        return draft.changes()
    if view.frozen is not None:
        _put_off(draft, task, told(view.frozen), {})
        return draft.changes()
    chosen = choose(task, draft.candidates(), draft.excluded(task.id), view.draw)
    if chosen.agent is not None:
        open_lease(draft, task, chosen.agent, "chosen by Rollcall")
    else:
        _put_off(draft, task, f"nobody eligible: {chosen.summary()}", chosen.reasons)
    return draft.changes()


def _put_off(draft: Draft, task: Task, why: str, reasons: Mapping[str, str]) -> None:
    """Let the task wait in todo, visibly; its age raises one alarm."""
    since = draft.now if task.unassigned_since is None else task.unassigned_since
    late = draft.now - since >= draft.timers.unassigned_alarm_us
    after = structs.replace(
        task,
        status_why=why,
        assign_at=_next_try(draft),
        unassigned_since=since,
        alarmed=task.alarmed or late,
    )
    draft.put(after)
    if late and not task.alarmed:
        told_why = dict(sorted(reasons.items())[:REASONS_MAX])
        draft.fact(after, "unassigned_too_long", since_us=draft.now - since, why=why, reasons=told_why)
        draft.comment(task.id, f"Unassigned for {length(draft.now - since)}: {why}")


def _next_try(draft: Draft) -> int:
    """Return when to look again: one instant for all who wait, so that they are looked at in order."""
    every = draft.timers.assign_retry_us
    return (draft.now // every + 1) * every


def assign(
    view: View,
    now: int,
    task_id: int,
    agent: str | None,
    *,
    actor: str,
    timers: Timers,
    cause: str | None = None,
) -> Changes:
    """Give a task to the named agent, or to whom Rollcall chooses; who has it loses it.

    An operator's word goes before presence, capability, capacity and what happened before in the round.
    """
    draft = Draft(view, now, actor=actor, timers=timers, cause=cause)
    refuse_frozen(view.frozen)
    task = _assignable(draft, task_id)
    row = None if task.assignment_id is None else draft.assignment(task.assignment_id)
    receiver = _named(draft, agent) if agent is not None else _chosen(draft, task, row)
    if row is not None:
        end_lease(draft, row, "reassign", holder=receiver.name, why=f"reassigned by {actor}")
        ending.end_escalation(draft, row.escalation_id, "reassigned")
        receiver = draft.agent(receiver.name)
    if row is not None or (agent is not None and task.epoch):
        task = structs.replace(task, round=task.round + 1)
    origin = Origin(previous=None if row is None else row.id)
    lease = open_lease(draft, task, receiver, f"assigned by {actor}", origin)
    return draft.changes(AssignResult(task=task.id, assignment=lease.id, agent=lease.agent))


def _assignable(draft: Draft, task_id: int) -> Task:
    task = draft.task(task_id)
    if task.status in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}: reopen it first", status=task.status)
    if task.blockers and task.status == "todo":  # what was begun goes on, with whomever
        raise ConflictError(
            f"task {task.id} waits for {task.blockers} others", status=task.status, blockers=task.blockers
        )
    return task


def _named(draft: Draft, name: str) -> Agent:
    agent = draft.find_agent(name)
    if agent is None or not agent.active:
        raise NotFoundError(f"there is no active agent {name}")
    admit(draft, agent)
    return agent


def _chosen(draft: Draft, task: Task, row: Assignment | None) -> Agent:
    """Choose anew: not the present holder, who begins no round against itself."""
    excluded = draft.excluded(task.id) if row is None else frozenset({row.agent.lower()})
    return _somebody(task, choose(task, draft.candidates(), excluded, draft.view.draw))


def _somebody(task: Task, chosen: Choice) -> Agent:
    if chosen.agent is None:
        raise NobodyEligibleError(
            f"nobody can take task {task.id}: {chosen.summary()}",
            reasons=dict(sorted(chosen.reasons.items())[:REASONS_MAX]),
        )
    return chosen.agent


def handoff(view: View, now: int, params: HandoffParams, *, agent: str, timers: Timers) -> Changes:
    """Offer an agent's assignment to another; with nobody eligible nothing changes."""
    draft = Draft(view, now, actor=f"agent:{agent}", timers=timers, cause=params.command_id)
    row = held(draft, params.assignment, agent, incarnation=params.incarnation, session=params.session)
    refuse_ended(draft, row)
    target(row, "handoff")
    refuse_frozen(view.frozen)
    task, reason = draft.task(row.task_id), params.reason
    receiver = _receiver(draft, task, row, params)
    end_lease(draft, row, "handoff", holder=receiver.name, why=because("handed off", reason))
    why = because(f"offered by {row.agent}", reason)
    lease = open_lease(draft, task, draft.agent(receiver.name), why, continued(row, offered_by=row.agent))
    draft.notice(lease.agent, lease.id, "offered", because(f"{row.agent} offers you task {task.id}", reason))
    return draft.changes(HandoffResult(assignment=lease.id, agent=lease.agent))


def _receiver(draft: Draft, task: Task, row: Assignment, params: HandoffParams) -> Agent:
    excluded = draft.excluded(task.id) | {row.agent.lower()}
    to, capability = params.to, params.capability
    if to is None:
        open_to = [agent for agent in draft.candidates() if closed_to(agent, row.agent) is None]
        return _somebody(task, choose(task, open_to, excluded, draft.view.draw, capability=capability))
    if capability is not None:
        raise InvalidError("a handoff is to somebody or to a capability", fields={"capability": "and to"})
    if to.lower() == row.agent.lower():
        raise InvalidError("a handoff needs somebody else", fields={"to": "is you"})
    named = draft.find_agent(to)
    if named is None or not named.active:
        raise NotFoundError(f"there is no active agent {to}")
    able = roomy(named, excluded) if named.kind == "main_agent" else eligible(named, task, excluded)
    why = closed_to(named, row.agent) or able
    return _somebody(task, Choice(named if why is None else None, {} if why is None else {named.name: why}))
