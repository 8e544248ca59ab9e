"""Leases: opened, changed and ended in one place, so that counters, status and pings always agree."""

from msgspec import Struct, structs

from contracts.records import OPEN_STATUSES, Agent, Assignment, EndReason, Task
from domain.admission import admit, unable
from domain.assignment import apply, settle
from domain.draft import Draft
from domain.matrix import Word
from domain.projection import put_agent

OWN_ENDS: frozenset[EndReason] = frozenset({"completed", "failed", "declined", "released"})
"""Ends that the holder asked for itself: it need not be told to stop."""


class Origin(Struct, frozen=True, kw_only=True):
    """How a lease came about."""

    level: int = 0
    step: int | None = None
    previous: int | None = None
    offered_by: str | None = None
    original: str | None = None
    escalation_id: int | None = None


ANEW = Origin()


def continued(row: Assignment, *, step: int | None = None, offered_by: str | None = None) -> Origin:
    """Return the origin of a lease that follows another in its escalation; a policy step raises the level."""
    return Origin(
        level=row.level + (step is not None),
        step=step,
        previous=row.id,
        offered_by=offered_by,
        original=row.original_agent,
        escalation_id=row.escalation_id,
    )


def open_lease(
    draft: Draft, task: Task, agent: Agent, why: str, origin: Origin = ANEW, remark: str | None = None
) -> Assignment:
    """Give the task to the agent: a new row, a higher epoch, a ping at once."""
    admit(draft, agent)
    row = settle(_lease(draft, task, agent, origin))
    put_assignment(draft, None, row)
    draft.put(
        structs.replace(
            task,
            status="in_progress",
            status_why=why,
            epoch=row.epoch,
            assignment_id=row.id,
            agent=agent.name,
            assign_at=None,
            unassigned_since=None,
            alarmed=False,
            updated_at=draft.now,
        )
    )
    draft.fact(
        row,
        "assigned",
        task=task.id,
        agent=agent.name,
        epoch=row.epoch,
        why=why,
        level=row.level,
        step=row.step,
    )
    draft.comment(task.id, remark or f"Assigned to {agent.name} ({why})")
    return row


def _lease(draft: Draft, task: Task, agent: Agent, origin: Origin) -> Assignment:
    timers = draft.timers
    accept_us = agent.timeout_us if task.accept_us is None else task.accept_us
    return Assignment(
        id=draft.view.new_id("assignments"),
        task_id=task.id,
        agent=agent.name,
        epoch=task.epoch + 1,
        round=task.round,
        assigned_at=draft.now,
        accept_us=accept_us,
        warn_us=timers.warn_us if task.warn_us is None else task.warn_us,
        act_us=timers.act_us if task.act_us is None else task.act_us,
        accept_by=draft.now + accept_us,
        due_at=None if task.due_noticed else task.due_at,
        ping_interval_us=task.ping_interval_us,
        pings_enabled=task.pings_enabled,
        ping_at=draft.now,
        escalation_id=origin.escalation_id,
        step=origin.step,
        level=origin.level,
        previous_id=origin.previous,
        original_agent=origin.original or agent.name,
        offered_by=origin.offered_by,
    )


def able_giver(draft: Draft, row: Assignment) -> Agent | None:
    """Return who handed the task off, if it can have it back."""
    if row.offered_by is None or draft.view.frozen is not None:
        return None
    giver = draft.find_agent(row.offered_by)
    return giver if giver is not None and unable(giver) is None else None


def return_to_giver(draft: Draft, row: Assignment, giver: Agent) -> None:
    """Give a handed-off task that nobody accepted back to its giver."""
    why = f"{row.agent} did not take the handoff"
    open_lease(draft, draft.task(row.task_id), giver, why, continued(row))


def end_lease(
    draft: Draft, row: Assignment, event: Word, *, holder: str | None = None, why: str | None = None
) -> Assignment:
    """End a lease without its holder's word, and tell it to stop; the task is the caller's to move."""
    after = apply(row, event, draft.now, draft.timers)
    put_assignment(draft, row, after, holder)
    state_end(draft, after, holder=holder, why=why)
    return after


def state_end(draft: Draft, row: Assignment, *, holder: str | None = None, why: str | None = None) -> None:
    """State that a lease ended; the event is named as its reason."""
    reason = row.end_reason or "failed"
    draft.fact(row, reason, task=row.task_id, agent=row.agent, holder=holder, why=why)


def put_assignment(
    draft: Draft, before: Assignment | None, after: Assignment, holder: str | None = None
) -> None:
    """Write an assignment; its holder's counters and status, its pings and doorbells follow."""
    draft.put(after)
    agent = draft.agent(after.agent)
    leases, accepted, waiting, asking, stalled = (
        now - then for now, then in zip(_counts(after), _counts(before), strict=True)
    )
    if leases or accepted or waiting or asking or stalled:
        put_agent(
            draft,
            structs.replace(
                agent,
                leases=agent.leases + leases,
                accepted=agent.accepted + accepted,
                waiting=agent.waiting + waiting,
                asking=agent.asking + asking,
                stalled=agent.stalled + stalled,
            ),
        )
    if before is not None and _withdraws(before, after):
        draft.withdraw(after, holder)
    if after.ping_at is not None and after.ping_at <= draft.now:
        draft.wake("pinger")
    if leases < 0:
        draft.wake("assigner")  # somebody has room now


def _counts(row: Assignment | None) -> tuple[int, int, int, int, int]:
    if row is None:
        return 0, 0, 0, 0, 0
    accepted, waiting = row.status == "acknowledged", row.status == "waiting"
    asking = waiting and row.wait_kind == "human"
    return row.status in OPEN_STATUSES, accepted, waiting, asking, accepted and row.stalled


def _withdraws(before: Assignment, after: Assignment) -> bool:
    """Tell whether the change leaves a ping out that nobody has to answer, or a holder who has to stop."""
    if after.end_reason is not None and after.end_reason not in OWN_ENDS:
        return True
    return unanswered(before) and not unanswered(after)


def unanswered(row: Assignment) -> bool:
    """Tell whether a ping of the row is out that wants an answer."""
    return row.status in ("pending", "acknowledged") and row.attempt > row.answered_attempt
