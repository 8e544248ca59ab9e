"""Tasks coming to an end or back to todo, and what that means for those that wait for them."""

from collections.abc import Sequence

from msgspec import structs

from contracts.records import Assignment, Task, TaskStatus
from domain.draft import Draft

TASK_TABLE: dict[str, tuple[tuple[TaskStatus, TaskStatus], ...]] = {
    "assign": (("todo", "in_progress"),),
    "complete": (("in_progress", "done"),),
    "decline, release, fail": (("in_progress", "todo"),),
    "fail (final or third)": (("in_progress", "failed"),),
    "cancel": (("todo", "cancelled"), ("in_progress", "cancelled")),
    "reopen": (("done", "todo"), ("failed", "todo"), ("cancelled", "todo")),
}
"""The task machine: every move that there is."""


def finish(draft: Draft, task: Task) -> Task:
    """Let the task be done, and free those that waited for it."""
    after = _end(draft, structs.replace(task, status="done", status_why=""))
    draft.fact(after, "completed", agent=task.agent, assignment=task.assignment_id)
    judge_dependents(draft, task.id)
    return after


def fail(draft: Draft, task: Task, why: str) -> Task:
    """Let the task be failed, and flag those that waited for it."""
    after = _end(draft, structs.replace(task, status="failed", status_why=why))
    draft.fact(after, "failed", why=why)
    draft.comment(task.id, f"Failed: {why}")
    judge_dependents(draft, task.id)
    return after


def cancel(draft: Draft, task: Task, why: str) -> Task:
    """Let the task be cancelled, and flag those that waited for it."""
    after = _end(draft, structs.replace(task, status="cancelled", status_why=why))
    draft.fact(after, "cancelled", why=why)
    judge_dependents(draft, task.id)
    return after


def give_back(draft: Draft, task: Task, row: Assignment, why: str) -> Task:
    """Return the task to todo in the same round: somebody else is sought, unless it has to wait again."""
    end_escalation(draft, row.escalation_id, why)
    loose = structs.replace(task, status="todo", status_why=why, assignment_id=None, agent=None)
    draft.fact(loose, "returned", why=why, assignment=row.id, agent=row.agent)
    after = judge(draft, structs.replace(loose, updated_at=draft.now))
    draft.put(after)
    return after


def judge_dependents(draft: Draft, task_id: int) -> None:
    """Judge anew whatever waits for a task that ended or was reopened."""
    for identity in draft.view.dependents.get(task_id, ()):
        before = draft.task(identity)
        after = judge(draft, before)
        if after != before:
            draft.put(structs.replace(after, updated_at=draft.now))


def judge(draft: Draft, task: Task, on: Sequence[int] | None = None) -> Task:
    """Return a task as its dependencies let it be: wanting an owner, waiting, or flagged.

    Always counted anew from all of them: what is added and taken off goes wrong with the first move
    that is forgotten. A task in progress goes on, and is judged when it comes back to todo.
    """
    named = draft.view.dependencies[task.id] if on is None else on
    known = [draft.find_task(identity) for identity in named]
    blockers = sum(other is None or other.status != "done" for other in known)
    after = structs.replace(task, blockers=blockers)
    if task.status != "todo":
        return after
    if task.blockers and not blockers:
        after = structs.replace(after, status_why="")
    dead = (other for other in known if other is not None and other.status in ("failed", "cancelled"))
    return _in_todo(draft, after, next(dead, None))


def _in_todo(draft: Draft, task: Task, dead: Task | None) -> Task:
    if dead is not None:
        return _blocked_for_good(draft, task, dead)
    if not task.blockers:
        return task if task.assign_at is not None else _wanting(draft, task)
    stale = task.alarmed or task.assign_at is not None
    return structs.replace(
        task,
        status_why="" if stale else task.status_why,
        alarmed=False,
        assign_at=None,
        unassigned_since=None,
    )


def end_escalation(draft: Draft, escalation_id: int | None, reason: str) -> None:
    """End a running escalation."""
    running = draft.escalation(escalation_id)
    if running is not None and running.ended_at is None:
        draft.put(structs.replace(running, ended_at=draft.now, end_reason=reason))


def _blocked_for_good(draft: Draft, task: Task, dead: Task) -> Task:
    """Flag a task in todo: what it waits for will not be done; told once for each that ended so."""
    why = f"waits for task {dead.id}, which ended {dead.status}"
    after = structs.replace(task, status_why=why, alarmed=True, assign_at=None, unassigned_since=None)
    if (task.status_why, task.alarmed) != (why, True):
        draft.fact(after, "blocked_for_good", blocker=dead.id, ended=dead.status)
        draft.comment(task.id, f"Blocked: {why}")
    return after


def _end(draft: Draft, task: Task) -> Task:
    after = structs.replace(
        task,
        assignment_id=None,
        agent=None,
        assign_at=None,
        unassigned_since=None,
        alarmed=False,
        updated_at=draft.now,
    )
    draft.put(after)
    return after


def _wanting(draft: Draft, task: Task) -> Task:
    draft.wake("assigner")
    return structs.replace(task, assign_at=draft.now, unassigned_since=draft.now, alarmed=False)
