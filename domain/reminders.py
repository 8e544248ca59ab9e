"""Clocks that move no lease: due dates, waits and snoozes."""

from msgspec import structs

from contracts.records import Assignment
from domain.assignment import apply
from domain.draft import Draft
from domain.leases import put_assignment
from domain.waits import limits_passed
from domain.wording import moment


def due(draft: Draft, row: Assignment) -> Assignment:
    """Tell holder and main, once per task, that the due date has passed; the lease stays."""
    task = draft.task(row.task_id)
    after = apply(row, "due_missed", draft.now, draft.timers)
    put_assignment(draft, row, after)
    if task.due_noticed:
        return after
    told = structs.replace(task, due_noticed=True, updated_at=draft.now)
    draft.put(told)
    text = f"Task {task.id} was due at {moment(row.due_at or draft.now)}"
    for agent in dict.fromkeys((row.agent, *_mains(draft))):
        draft.notice(agent, row.id, "due", text)
    draft.fact(told, "due_missed", agent=row.agent, assignment=row.id)
    draft.comment(task.id, text)
    return after


def stalled(draft: Draft, row: Assignment) -> Assignment:
    """Let an accepted row without progress count as stalled; the lease stays, and its act clock runs on."""
    after = apply(row, "warn_missed", draft.now, draft.timers)
    put_assignment(draft, row, after)
    draft.fact(after, "stalled", task=row.task_id, agent=row.agent)
    return after


def snooze_over(draft: Draft, row: Assignment) -> None:
    """Let a snoozed row be as it was before, and ping."""
    after = apply(row, "snooze_over", draft.now, draft.timers)
    put_assignment(draft, row, after)
    draft.fact(after, "snooze_ended", task=row.task_id, agent=row.agent, status=after.status)
    draft.comment(row.task_id, f"The snooze of {row.agent} is over")


def wait_over(draft: Draft, row: Assignment) -> None:
    """Let a row go on whose wait was to end by itself, and ping: it goes on, or tries again."""
    after = apply(row, "wait_over", draft.now, draft.timers)
    put_assignment(draft, row, after)
    draft.fact(
        after,
        "wait_ended",
        task=row.task_id,
        agent=row.agent,
        status=after.status,
        kind=row.wait_kind,
        backoffs=row.backoffs or None,
    )
    draft.comment(row.task_id, f"The wait of {row.agent} is over{': try again' * bool(row.backoffs)}")
    passed = limits_passed(row, draft.timers)
    if 0 < passed <= draft.timers.wait_notices_max:
        _tell_of_wait(draft, row, after, _mains(draft), passed)


def wait_limit(draft: Draft, row: Assignment) -> None:
    """Tell whom it waits for, then main; flagged after the last notice, it waits on, and main is told on."""
    after = apply(row, "wait_limit_missed", draft.now, draft.timers)
    put_assignment(draft, row, after)
    awaited = draft.find_agent(row.wait_who) if row.wait_who and not row.wait_notices else None
    told = [awaited.name] if awaited is not None else _mains(draft)
    _tell_of_wait(draft, row, after, told, after.wait_notices)
    if after.exhausted and not row.exhausted:
        state_exhausted(draft, after, "nobody ended the wait")


def _tell_of_wait(draft: Draft, row: Assignment, after: Assignment, told: list[str], notice: int) -> None:
    text = f"{row.agent} has waited too long ({row.wait_kind}) with task {row.task_id}"
    for agent in told:
        draft.notice(agent, row.id, "waited_too_long", text)
    if row.exhausted:
        return  # one remark per change of level, never one per notice
    draft.fact(after, "waited_too_long", task=row.task_id, agent=row.agent, told=told, notice=notice)
    draft.comment(row.task_id, f"{text}; told: {', '.join(told) or 'nobody'}")


def state_exhausted(draft: Draft, row: Assignment, why: str) -> None:
    """State, loudly and once, that nobody is left to turn to."""
    draft.fact(row, "exhausted", task=row.task_id, agent=row.agent, why=why)
    draft.comment(row.task_id, f"Exhausted, still with {row.agent}: {why}")


def _mains(draft: Draft) -> list[str]:
    return [agent.name for agent in draft.main_agents()]
