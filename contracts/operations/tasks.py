"""Tasks: add, import, list, show, set, assign, cancel, reopen, comment."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from contracts.limits import (
    IMPORT_BYTES_MAX,
    IMPORT_TASKS_MAX,
    NOTE_CHARS_MAX,
    TEXT_PATTERN,
    CommandId,
    Description,
    Id,
    Minutes,
    Name,
    Note,
    Title,
)
from contracts.messages import NewTask, TaskSpec
from contracts.operations.paging import Page
from contracts.operations.registry import Edit, Noun, Params, Route
from contracts.views import AssignmentView, TaskDetail, TaskView


class AddParams(NewTask, frozen=True, kw_only=True):
    """A new task."""

    command_id: CommandId | None = None  # as in Params, which is no base beside another


class TaskRef(Struct, frozen=True, kw_only=True):
    """A task by its id."""

    task: int
    status: str


class ImportParams(Params, frozen=True, kw_only=True):
    """Many tasks at once, all or none; a key that is there already is left as it is."""

    tasks: Annotated[tuple[TaskSpec, ...], Meta(min_length=1, max_length=IMPORT_TASKS_MAX)]


class ImportResult(Struct, frozen=True, kw_only=True):
    """What the import did."""

    created: tuple[int, ...]
    existing: tuple[str, ...]


class ListParams(Page, frozen=True, kw_only=True):
    """Which tasks to list, a page at a time."""

    status: Literal["todo", "in_progress", "done", "failed", "cancelled"] | None = None
    agent: Name | None = None


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of tasks; `next` is the `after` of the following page."""

    items: tuple[TaskView, ...]
    next: int | None


class ShowParams(Struct, frozen=True, kw_only=True):
    """Which task to show."""

    task: Id


class HistoryParams(Page, frozen=True, kw_only=True):
    """Whose assignments to list, a page at a time."""

    task: Id


class HistoryResult(Struct, frozen=True, kw_only=True):
    """A page of assignments, newest first; `next` is the `after` of the following page."""

    items: tuple[AssignmentView, ...]
    next: int | None


class SetParams(Edit, frozen=True, kw_only=True):
    """What to change; what is absent stays."""

    task: Id
    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    priority: Literal["P0", "P1", "P2", "P3"] | UnsetType = UNSET
    due_at: datetime | UnsetType | None = UNSET
    ping_interval_minutes: Minutes | UnsetType = UNSET
    pings_enabled: bool | UnsetType = UNSET
    policy: Name | UnsetType = UNSET


class AssignParams(Params, frozen=True, kw_only=True):
    """Give the task to one agent, or to whom Rollcall chooses; an open assignment is superseded."""

    task: Id
    agent: Name | None = None


class AssignResult(Struct, frozen=True, kw_only=True):
    """The new owner."""

    task: int
    assignment: int
    agent: str


class CancelParams(Params, frozen=True, kw_only=True):
    """End the task."""

    task: Id
    reason: Note | None = None


class ReopenParams(Params, frozen=True, kw_only=True):
    """Open an ended task again, in a new round."""

    task: Id


class CommentParams(Params, frozen=True, kw_only=True):
    """Remark something on a task."""

    task: Id
    text: Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]


TASK = Noun("task", "assigner")

OPERATIONS = (
    TASK.operation(
        "add",
        AddParams,
        TaskRef,
        "Create a task.",
        arguments=("title",),
        errors=("exists", "not_found"),
        priority="work",
        http=(Route("POST", "/tasks", 201, "/tasks/{task}"),),
    ),
    structs.replace(
        TASK.operation(
            "import",
            ImportParams,
            ImportResult,
            "Create many tasks, all or none.",
            errors=("cycle", "not_found"),
            priority="work",
            http=(Route("POST", "/tasks/import"),),
        ),
        bytes_max=IMPORT_BYTES_MAX,
    ),
    TASK.operation(
        "ls",
        ListParams,
        ListResult,
        "List tasks.",
        priority="look",
        errors=(),
        http=(Route("GET", "/tasks"),),
    ),
    TASK.operation(
        "show",
        ShowParams,
        TaskDetail,
        "Show a task, its assignments and why.",
        priority="look",
        arguments=("task",),
        http=(Route("GET", "/tasks/{task}"),),
    ),
    TASK.operation(
        "assignments",
        HistoryParams,
        HistoryResult,
        "Who has had a task, newest first.",
        priority="look",
        arguments=("task",),
        http=(Route("GET", "/tasks/{task}/assignments"),),
    ),
    TASK.operation(
        "set",
        SetParams,
        TaskRef,
        "Change a task.",
        arguments=("task",),
        errors=("not_found", "conflict", "changed"),
        http=(Route("PATCH", "/tasks/{task}"),),
    ),
    TASK.operation(
        "assign",
        AssignParams,
        AssignResult,
        "Give a task to an agent.",
        arguments=("task", "agent"),
        errors=("not_found", "conflict", "nobody_eligible"),
        http=(Route("POST", "/tasks/{task}/assign", words=(("agent_name", "agent"),)),),
    ),
    TASK.operation(
        "cancel",
        CancelParams,
        TaskRef,
        "End a task.",
        arguments=("task",),
        errors=("not_found", "already_final"),
        http=(Route("POST", "/tasks/{task}/cancel"),),
    ),
    TASK.operation(
        "reopen",
        ReopenParams,
        TaskRef,
        "Open an ended task again.",
        arguments=("task",),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/tasks/{task}/reopen"),),
    ),
    TASK.operation(
        "comment",
        CommentParams,
        TaskRef,
        "Remark something on a task.",
        arguments=("task", "text"),
        http=(Route("POST", "/tasks/{task}/comments"),),
    ),
)
