"""Tasks coming to an end or back to todo, and what that means for those that wait for them."""

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
    for dependent in _dependents(draft, task):
        unblock(draft, dependent)
    return after


def unblock(draft: Draft, task: Task) -> None:
    """Take one blocker off a task; without any it wants an owner."""
    if not task.blockers:
        return  # it was begun before its blocker was reopened
    after = structs.replace(task, blockers=task.blockers - 1, updated_at=draft.now)
    if after.blockers == 0 and task.status == "todo":
        after = _wanting(draft, structs.replace(after, status_why=""))
    draft.put(after)


def fail(draft: Draft, task: Task, why: str) -> Task:
    """Let the task be failed, and flag those that waited for it."""
    after = _end(draft, structs.replace(task, status="failed", status_why=why))
    draft.fact(after, "failed", why=why)
    draft.comment(task.id, f"Failed: {why}")
    _flag_dependents(draft, after)
    return after


def cancel(draft: Draft, task: Task, why: str) -> Task:
    """Let the task be cancelled, and flag those that waited for it."""
    after = _end(draft, structs.replace(task, status="cancelled", status_why=why))
    draft.fact(after, "cancelled", why=why)
    _flag_dependents(draft, after)
    return after


def give_back(draft: Draft, task: Task, row: Assignment, why: str) -> Task:
    """Return the task to todo in the same round: somebody else is sought at once."""
    end_escalation(draft, row.escalation_id, why)
    loose = structs.replace(task, status="todo", status_why=why, assignment_id=None, agent=None)
    after = _wanting(draft, structs.replace(loose, updated_at=draft.now))
    draft.put(after)
    draft.fact(after, "returned", why=why, assignment=row.id, agent=row.agent)
    return after


def end_escalation(draft: Draft, escalation_id: int | None, reason: str) -> None:
    """End a running escalation."""
    running = draft.escalation(escalation_id)
    if running is not None and running.ended_at is None:
        draft.put(structs.replace(running, ended_at=draft.now, end_reason=reason))


def blocked_for_good(draft: Draft, task: Task, blocker: Task) -> Task:
    """Flag a task in todo: what it waits for will not be done."""
    why = f"waits for task {blocker.id}, which ended {blocker.status}"
    after = structs.replace(task, status_why=why, alarmed=True, updated_at=draft.now)
    draft.put(after)
    draft.fact(after, "blocked_for_good", blocker=blocker.id, ended=blocker.status)
    draft.comment(task.id, f"Blocked: {why}")
    return after


def _flag_dependents(draft: Draft, task: Task) -> None:
    for dependent in _dependents(draft, task):
        if dependent.status == "todo":
            blocked_for_good(draft, dependent, task)


def _dependents(draft: Draft, task: Task) -> list[Task]:
    return [draft.task(identity) for identity in draft.view.dependents.get(task.id, ())]


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


def wait_again(draft: Draft, task: Task) -> None:
    """Let those wait again that a reopened task had freed, as far as nobody works on them."""
    for dependent in _dependents(draft, task):
        if dependent.status == "in_progress":
            continue
        todo = dependent.status == "todo"
        draft.put(
            structs.replace(
                dependent,
                blockers=dependent.blockers + (task.status == "done"),
                status_why="" if todo else dependent.status_why,
                alarmed=False,
                assign_at=None,
                unassigned_since=None,
                updated_at=draft.now,
            )
        )
