"""Pages of what there is of many tasks at once."""

from collections.abc import Sequence

from contracts.errors import NotFoundError
from contracts.lists import CommentLine, EscalationLine, NoticeLine
from contracts.operations.lists import (
    AssignmentsResult,
    CommentItem,
    CommentsResult,
    EscalationDetail,
    EscalationsResult,
    EscalationView,
    NoticeItem,
    NoticesResult,
)
from contracts.records import Assignment, StepRow
from contracts.views import AssignmentView, EscalationStepView, PolicyStepView
from contracts.views import view as view_of
from contracts.work import View
from domain.paging import following


def assignments(rows: Sequence[Assignment], limit: int) -> AssignmentsResult:
    """Return a page of assignments."""
    items = tuple(view_of(row, AssignmentView) for row in rows)
    return AssignmentsResult(items=items, next=following(rows, limit))


def assignment(view: View, number: int) -> AssignmentView:
    """Return one assignment; raises NotFoundError."""
    row = view.assignments.get(number)
    if row is None:
        raise NotFoundError(f"there is no assignment {number}")
    return view_of(row, AssignmentView)


def comments(view: View, task: int | None, rows: Sequence[CommentLine], limit: int) -> CommentsResult:
    """Return a page of comments; raises NotFoundError when the task is not known."""
    if task is not None and task not in view.tasks:
        raise NotFoundError(f"there is no task {task}")
    return CommentsResult(items=tuple(view_of(row, CommentItem) for row in rows), next=following(rows, limit))


def notices(rows: Sequence[NoticeLine], limit: int) -> NoticesResult:
    """Return a page of notices."""
    return NoticesResult(items=tuple(view_of(row, NoticeItem) for row in rows), next=following(rows, limit))


def escalations(rows: Sequence[EscalationLine], limit: int) -> EscalationsResult:
    """Return a page of escalations."""
    return EscalationsResult(items=tuple(map(_escalation, rows)), next=following(rows, limit))


def escalation(number: int, rows: Sequence[EscalationLine], steps: Sequence[StepRow]) -> EscalationDetail:
    """Return one escalation and what became of its steps; raises NotFoundError."""
    if not rows:
        raise NotFoundError(f"there is no escalation {number}")
    return EscalationDetail(
        escalation=_escalation(rows[0]), steps=tuple(view_of(row, EscalationStepView) for row in steps)
    )


def _escalation(row: EscalationLine) -> EscalationView:
    steps = tuple(view_of(step, PolicyStepView) for step in row.steps)
    return view_of(row, EscalationView, steps=steps)
