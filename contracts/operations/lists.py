"""What there is of many tasks at once: assignments, comments, escalations, notices."""

from datetime import datetime

from msgspec import Struct

from contracts.limits import Id, Name
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Route
from contracts.records import AssignmentStatus
from contracts.views import AssignmentView, EscalationStepView, PolicyStepView


class AssignmentsParams(Page, frozen=True, kw_only=True):
    """Which assignments to list, a page at a time: the open ones, or all."""

    status: AssignmentStatus | None = None
    agent: Name | None = None
    exhausted: bool = False
    all: bool = False


class AssignmentsResult(Struct, frozen=True, kw_only=True):
    """A page of assignments by their numbers; `next` is the `after` of the following page."""

    items: tuple[AssignmentView, ...]
    next: int | None


class AssignmentParams(Struct, frozen=True, kw_only=True):
    """Which assignment to show."""

    assignment: Id


class CommentsParams(Page, frozen=True, kw_only=True):
    """Which comments to list, a page at a time: those on a task, or all."""

    task: Id | None = None


class CommentItem(Struct, frozen=True, kw_only=True):
    """A remark, and on which task."""

    id: int
    task_id: int
    author: str
    at: datetime
    text: str


class CommentsResult(Struct, frozen=True, kw_only=True):
    """A page of comments, oldest first; `next` is the `after` of the following page."""

    items: tuple[CommentItem, ...]
    next: int | None


class NoticesParams(Page, frozen=True, kw_only=True):
    """Which notices to list, a page at a time: those to an agent, or all."""

    agent: Name | None = None


class NoticeItem(Struct, frozen=True, kw_only=True):
    """What an agent was told without having asked."""

    id: int
    agent: str
    assignment_id: int
    kind: str
    text: str
    at: datetime


class NoticesResult(Struct, frozen=True, kw_only=True):
    """A page of notices, oldest first; `next` is the `after` of the following page."""

    items: tuple[NoticeItem, ...]
    next: int | None


class EscalationsParams(Page, frozen=True, kw_only=True):
    """Which escalations to list, a page at a time: those that run, or all.

    `ended_since`: beside those that run, those that ended then or later.
    """

    all: bool = False
    ended_since: datetime | None = None


class EscalationView(Struct, frozen=True, kw_only=True):
    """An escalation: of which task, with its own copy of the policy's steps, and how far it has come."""

    id: int
    task_id: int
    title: str
    agent: str | None  # who holds the task now
    assignment_id: int | None
    round: int
    policy: str
    steps: tuple[PolicyStepView, ...]
    position: int  # how many of the steps were tried
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None


class EscalationsResult(Struct, frozen=True, kw_only=True):
    """A page of escalations by their numbers; `next` is the `after` of the following page."""

    items: tuple[EscalationView, ...]
    next: int | None


class EscalationParams(Struct, frozen=True, kw_only=True):
    """Which escalation to show."""

    escalation: Id


class EscalationDetail(Struct, frozen=True, kw_only=True):
    """An escalation and what became of its steps: taken or skipped, and why."""

    escalation: EscalationView
    steps: tuple[EscalationStepView, ...]


ASSIGNMENT = Noun("assignment", "assigner")
COMMENT = Noun("comment", "assigner")
ESCALATION = Noun("escalation", "escalator")
NOTICE = Noun("notice", "monitor")

OPERATIONS = (
    ASSIGNMENT.operation(
        "ls",
        AssignmentsParams,
        AssignmentsResult,
        "List assignments: the open ones, or all.",
        priority="look",
        errors=(),
        http=(Route("GET", "/assignments"),),
    ),
    ASSIGNMENT.operation(
        "show",
        AssignmentParams,
        AssignmentView,
        "Show an assignment and its clocks.",
        priority="look",
        arguments=("assignment",),
        http=(Route("GET", "/assignments/{assignment}"),),
    ),
    COMMENT.operation(
        "ls",
        CommentsParams,
        CommentsResult,
        "List comments: those on a task, or all.",
        priority="look",
        arguments=("task",),
        http=(Route("GET", "/comments"), Route("GET", "/tasks/{task}/comments")),
    ),
    NOTICE.operation(
        "ls",
        NoticesParams,
        NoticesResult,
        "List what agents were told without having asked.",
        priority="look",
        errors=(),
        http=(Route("GET", "/notices"),),
    ),
    ESCALATION.operation(
        "ls",
        EscalationsParams,
        EscalationsResult,
        "List escalations: those that run, those that ended lately too, or all.",
        priority="look",
        errors=(),
        http=(Route("GET", "/escalations"),),
    ),
    ESCALATION.operation(
        "show",
        EscalationParams,
        EscalationDetail,
        "Show an escalation, and what became of its steps.",
        priority="look",
        arguments=("escalation",),
        http=(Route("GET", "/escalations/{escalation}"),),
    ),
)
