"""What happens when a clock has run out: policy steps, repeats, and the flag at the end."""

from collections.abc import Iterator
from typing import assert_never

from msgspec import structs

from contracts.errors import ConflictError, NotFoundError
from contracts.operations.policies import TryResult, TryStep
from contracts.records import ENDED_TASKS, OPEN_STATUSES, Agent, Assignment, Escalation, StepRow, Task
from contracts.work import Changes, View
from domain import brakes, reminders
from domain.aims import DEFAULT_STEPS, Aim, Case, aim
from domain.assigning import assign_due
from domain.assignment import extended, given_up, repeated
from domain.clocks import Running, running, unreachable, warning
from domain.draft import Draft
from domain.leases import able_giver, continued, end_lease, open_lease, put_assignment, return_to_giver
from domain.matrix import Word
from domain.projection import put_agent
from domain.rehearsal import Rehearsal
from domain.timers import Timers
from domain.wording import length

COURSE_TURNS_MAX = 100
TOLD = {
    "steps_used_up": "repeats begin",
    "repeated": "pinged again",
    "exhausted": "exhausted",
    "due_missed": "due date missed",
    "snooze_ended": "snooze over",
    "wait_ended": "wait over",
    "waited_too_long": "waited too long",
}
"""What a rehearsal tells, by event."""


def deadline(view: View, assignment_id: int, now: int, timers: Timers) -> Changes:
    """Decide about one row whose deadline has come: act on the clock that is due, or look again later."""
    draft = Draft(view, now, actor="rollcall:escalator", timers=timers)
    row = draft.assignment(assignment_id)
    if row.status not in OPEN_STATUSES or row.deadline_at is None or row.deadline_at > now:
        return draft.changes()
    if row.due_at is not None and row.due_at <= now:
        row = reminders.due(draft, row)
    warn_at = warning(row, view, now, timers)
    if warn_at is not None and warn_at <= now:
        row, warn_at = reminders.stalled(draft, row), None
    lost_at = unreachable(row, view, now, timers)
    if lost_at is not None and lost_at <= now:
        _act(draft, row)
        return draft.changes()
    clock = running(row, view, now, timers)
    if clock is None or clock.judged_at > now:
        _look_again(draft, row, clock, warn_at, lost_at)
        return draft.changes()
    match clock.event:
        case "snooze_over":
            reminders.snooze_over(draft, row)
        case "wait_over":
            reminders.wait_over(draft, row)
        case "wait_limit_missed":
            reminders.wait_limit(draft, row)
        case "repeat_due":
            _repeat(draft, row)
        case "accept_by_missed" | "progress_by_missed":
            _act(draft, row)
        case _:
            assert_never(clock.event)
    return draft.changes()


def _look_again(draft: Draft, row: Assignment, clock: Running | None, *others: int | None) -> None:
    """Set the deadline to when something can be due; the clocks themselves stay."""
    instants = (row.due_at, *others, None if clock is None else clock.judged_at)
    soonest = min((at for at in instants if at is not None), default=None)
    draft.put(structs.replace(row, deadline_at=soonest))


def _act(draft: Draft, row: Assignment) -> None:
    """Act on a missed promise, or on a holder that cannot be told, unless nothing new is offered now."""
    if draft.view.frozen is None:
        _missed(draft, row)
    else:
        draft.put(structs.replace(row, deadline_at=draft.now + draft.timers.assign_retry_us))


def _missed(draft: Draft, row: Assignment) -> None:
    """Let a missed promise go back to the giver of a handoff, or on along the policy.

    While a brake holds its holder, which may only be cut off, the clock begins anew instead.
    """
    if brakes.holds(draft, draft.agent(row.agent)):
        after = extended(row, draft.now)
        put_assignment(draft, row, after)
        draft.fact(after, "clock_held", task=row.task_id, agent=row.agent)
        return
    giver = able_giver(draft, row) if row.status == "pending" else None
    if giver is None:
        next_step(draft, row)
    else:
        return_to_giver(draft, _time_out(draft, row, giver.name), giver)


def next_step(draft: Draft, row: Assignment) -> None:
    """Take the first step that is left and can be taken; with none left repeat, or flag the row."""
    case = _case(draft, row)
    steps = case.escalation.steps
    for number in range(case.escalation.position, len(steps)):
        found = aim(draft, case, steps[number])
        if found.name is not None:
            _take(draft, case, number, found)
            return
        _record(draft, case, number, found, None)
    draft.put(structs.replace(case.escalation, position=len(steps)))
    if case.holder.kind == "main_agent" or case.escalation.taken:
        _begin_repeats(draft, case.row)
        return
    after = given_up(case.row, draft.now, draft.timers)
    put_assignment(draft, row, after)
    reminders.state_exhausted(draft, after, "every step of the policy was skipped")


def _case(draft: Draft, row: Assignment) -> Case:
    """Return the missed clock with its escalation; the first one starts it with a copy of the policy."""
    task = draft.task(row.task_id)
    escalation = draft.escalation(row.escalation_id)
    if escalation is None or escalation.ended_at is not None:
        policy = draft.view.policies.get(task.policy)
        escalation = Escalation(
            id=draft.view.new_id("escalations"),
            task_id=task.id,
            round=row.round,
            policy=task.policy,
            steps=DEFAULT_STEPS if policy is None else policy.steps,
            started_at=draft.now,
        )
        row = structs.replace(row, escalation_id=escalation.id)
    return Case(row=row, task=task, holder=draft.agent(row.agent), escalation=escalation)


def _take(draft: Draft, case: Case, number: int, found: Aim) -> Assignment | None:
    """Take a step; return the new lease if it made one."""
    draft.put(
        structs.replace(
            case.escalation,
            position=max(case.escalation.position, number + 1),
            taken=case.escalation.taken | 1 << number,
        )
    )
    if case.escalation.steps[number].kind != "notify" and found.agent is not None:
        successor = _move(draft, case, number, found.agent)
        _record(draft, case, number, found, successor)
        return successor
    _tell(draft, case, number, found)
    _record(draft, case, number, found, None)
    return None


def _move(draft: Draft, case: Case, number: int, target: Agent) -> Assignment:
    """Let the holder lose the task to the target of a step."""
    row, step = case.row, number + 1
    ended = _time_out(draft, row, target.name)
    successor = open_lease(
        draft,
        draft.task(row.task_id),
        draft.agent(target.name),
        f"escalated from {row.agent}",
        continued(row, step=step),
        remark=f"Escalated from {row.agent} ({_why(ended)}) to {target.name} (step {step})",
    )
    draft.fact(
        ended,
        "escalated",
        task=row.task_id,
        kind=case.escalation.steps[number].kind,
        step=step,
        level=successor.level,
        agent=row.agent,
        to=target.name,
        assignment=successor.id,
    )
    return successor


def _time_out(draft: Draft, row: Assignment, holder: str) -> Assignment:
    agent = draft.agent(row.agent)
    put_agent(draft, structs.replace(agent, failures=agent.failures + 1))
    event: Word = "accept_by_missed" if row.status == "pending" else "progress_by_missed"
    return end_lease(draft, row, "unreachable" if row.unreachable_at is not None else event, holder=holder)


def _why(ended: Assignment) -> str:
    return "unreachable" if ended.end_reason == "unreachable" else "timeout"


def _tell(draft: Draft, case: Case, number: int, found: Aim) -> None:
    """Tell somebody; the row stays with its holder and gets a fresh clock."""
    row, step = case.row, number + 1
    after = row if row.exhausted else extended(row, draft.now)
    put_assignment(draft, row, after)
    text = f"{row.agent} has not answered about task {row.task_id}"
    if found.agent is not None:
        draft.notice(found.agent.name, row.id, "silent", text)
    draft.fact(after, "escalated", task=row.task_id, kind="notify", step=step, agent=row.agent, to=found.name)
    draft.comment(row.task_id, f"Told {found.name} that {text} (step {step})")


def _record(draft: Draft, case: Case, number: int, found: Aim, successor: Assignment | None) -> None:
    draft.step(
        StepRow(
            assignment_id=case.row.id,
            step=number + 1,
            kind=case.escalation.steps[number].kind,
            outcome="skipped" if found.name is None else "taken",
            target=found.name,
            reason=found.reason,
            successor_id=None if successor is None else successor.id,
            at=draft.now,
        )
    )


def _begin_repeats(draft: Draft, row: Assignment) -> None:
    after = repeated(row, draft.now, draft.timers)
    put_assignment(draft, row, after)
    if after.exhausted:
        reminders.state_exhausted(draft, after, "no step is left")
        return
    wait = length(draft.timers.repeat_us(1))
    draft.fact(
        after, "steps_used_up", task=row.task_id, agent=row.agent, repeats=len(draft.timers.repeats_us)
    )
    draft.comment(row.task_id, f"No step is left: {row.agent} is pinged again in {wait}")


def _repeat(draft: Draft, row: Assignment) -> None:
    """Ping again; after the last repeat flag the row, and then keep trying the steps that were skipped."""
    if row.exhausted and draft.view.frozen is None and _retry_skipped(draft, row):
        return
    after = repeated(row, draft.now, draft.timers)
    put_assignment(draft, row, after)
    if row.exhausted:
        return  # one remark per change of level, never one per tick
    said = f"{row.repeats} of {len(draft.timers.repeats_us)}"
    draft.fact(after, "repeated", task=row.task_id, agent=row.agent, repeat=row.repeats)
    draft.comment(row.task_id, f"Pinged {row.agent} again (repeat {said})")
    if after.exhausted:
        reminders.state_exhausted(draft, after, "no step and no repeat is left")


def _retry_skipped(draft: Draft, row: Assignment) -> bool:
    """Take the first skipped step that can be taken by now; tell whether the task moved."""
    case = _case(draft, row)
    for number in range(case.escalation.position):
        if case.escalation.taken >> number & 1:
            continue
        found = aim(draft, case, case.escalation.steps[number])
        if found.name is not None:
            return _take(draft, case, number, found) is not None
    return False


def try_policy(view: View, task_id: int, policy: str | None, now: int, timers: Timers) -> TryResult:
    """Return what would happen, to the end, if whoever holds the task stayed silent from now on."""
    stage = Rehearsal(view)
    task = _rehearsed(stage, task_id, policy)
    if task.assignment_id is None:
        task = structs.replace(task, assign_at=now, blockers=0)
        stage.tasks[task.id] = task
        stage.take(assign_due(stage, task.id, now, timers))
    course: list[TryStep] = []
    at = now
    for _ in range(COURSE_TURNS_MAX):
        task = stage.tasks[task_id]
        if task.assignment_id is None:
            course.append(TryStep(step=None, what="unassigned", target=None, reason=task.status_why))
            break
        row = stage.assignments[task.assignment_id]
        if row.exhausted or row.deadline_at is None:
            break
        at = max(at, row.deadline_at)
        changes = deadline(stage, row.id, at, timers)
        stage.take(changes)
        course.extend(_told(changes, length(at - now)))
    return TryResult(policy=policy or task.policy, course=tuple(course))


def _rehearsed(stage: Rehearsal, task_id: int, policy: str | None) -> Task:
    """Return the task as it is, or as if the named policy were to begin now."""
    task = stage.tasks.get(task_id)
    if task is None:
        raise NotFoundError(f"there is no task {task_id}")
    if task.status in ENDED_TASKS:
        raise ConflictError(f"task {task.id} is {task.status}", status=task.status)
    if policy is None:
        return task
    if policy not in stage.policies:
        raise NotFoundError(f"there is no policy {policy}")
    task = stage.tasks[task_id] = structs.replace(task, policy=policy)
    if task.assignment_id is not None:
        row = stage.assignments[task.assignment_id]
        fresh = structs.replace(row, escalation_id=None, repeats=0, exhausted=False)
        stage.assignments[row.id] = fresh
    return task


def _told(changes: Changes, after: str) -> Iterator[TryStep]:
    """Yield what one decision would do, in words."""
    for step in changes.steps:
        reason = f"after {after}: {step.reason}"
        yield TryStep(step=step.step, what=f"{step.kind} {step.outcome}", target=step.target, reason=reason)
    for fact in changes.facts:
        if fact.event in TOLD:
            agent = fact.data.get("agent")
            yield TryStep(step=None, what=TOLD[fact.event], target=agent, reason=f"after {after}")
