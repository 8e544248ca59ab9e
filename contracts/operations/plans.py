"""The plan of a task: todos and phases, for operators; and what its holder may do about them."""

from msgspec import UNSET, Struct, UnsetType

from contracts.limits import Id, Note, Token
from contracts.operations.registry import Edit, Noun, Operation, Params, Route
from contracts.plans import PhaseName, PhaseStatus, Position, TodoText
from contracts.views import PhaseView, TodoView


class AddTodoParams(Params, frozen=True, kw_only=True):
    """A new thing on a task's checklist, at the end or at a position."""

    task: Id
    text: TodoText
    required: bool = False
    phase: Id | None = None
    position: Position | None = None


class SetTodoParams(Edit, frozen=True, kw_only=True):
    """What to change of a todo; what is absent stays."""

    task: Id
    todo: Id
    text: TodoText | UnsetType = UNSET
    done: bool | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    phase: Id | UnsetType | None = UNSET
    position: Position | UnsetType = UNSET


class RemoveTodoParams(Params, frozen=True, kw_only=True):
    """Which todo is no longer on the list."""

    task: Id
    todo: Id


class ListParams(Struct, frozen=True, kw_only=True):
    """Of which task."""

    task: Id


class TodosResult(Struct, frozen=True, kw_only=True):
    """A task's checklist in its order; it has at most 200 todos."""

    items: tuple[TodoView, ...]


class AddPhaseParams(Params, frozen=True, kw_only=True):
    """A new phase of a task, at the end or at a position."""

    task: Id
    name: PhaseName
    required: bool = True
    prompt: Note = ""
    done_definitions: Note = ""
    expected_outputs: Note = ""
    next_steps_guide: Note = ""
    position: Position | None = None


class SetPhaseParams(Edit, frozen=True, kw_only=True):
    """What to change of a phase; what is absent stays."""

    task: Id
    phase: Id
    name: PhaseName | UnsetType = UNSET
    status: PhaseStatus | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    prompt: Note | UnsetType = UNSET
    done_definitions: Note | UnsetType = UNSET
    expected_outputs: Note | UnsetType = UNSET
    next_steps_guide: Note | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class PhasesResult(Struct, frozen=True, kw_only=True):
    """A task's phases in their order; it has at most 50."""

    items: tuple[PhaseView, ...]


class PlanParams(Struct, frozen=True, kw_only=True):
    """The plan of the task that an assignment is about."""

    assignment: Id


class PlanResult(Struct, frozen=True, kw_only=True):
    """A task's phases and todos, and what of them keeps it from being completed."""

    task: int
    phases: tuple[PhaseView, ...]
    todos: tuple[TodoView, ...]
    unfinished: tuple[str, ...]


class CheckParams(Params, frozen=True, kw_only=True):
    """Tick a todo off; with `done` false open it again; without a todo add one of this text."""

    assignment: Id
    todo: Id | None = None
    text: TodoText | None = None
    done: bool | None = None
    required: bool | None = None
    phase: Id | None = None
    incarnation: Token | None = None
    session: Token | None = None


class AdvanceParams(Params, frozen=True, kw_only=True):
    """Say how a phase stands, by default that it is done; without a phase add one of this name."""

    assignment: Id
    phase: Id | None = None
    name: PhaseName | None = None
    status: PhaseStatus | None = None
    required: bool | None = None
    incarnation: Token | None = None
    session: Token | None = None


class RemarkParams(Params, frozen=True, kw_only=True):
    """Remark something on the task that an assignment is about."""

    assignment: Id
    text: TodoText
    incarnation: Token | None = None
    session: Token | None = None


class RemarkResult(Struct, frozen=True, kw_only=True):
    """Where it was remarked."""

    assignment: int
    task: int


CHECKLIST = Noun("todo", "assigner")
PHASES = Noun("phase", "assigner")
HELD = (
    "not_found",
    "superseded",
    "already_final",
    "stale_session",
    "other_incarnation",
    "idempotency_mismatch",
)
"""How it is refused when who speaks does not hold the assignment."""


def _of_holder(
    kind: str, params: type[Struct], result: type[Struct], summary: str, arguments: tuple[str, ...]
) -> Operation:
    query = kind == "plan"
    return Operation(
        name=f"assignment.{kind}",
        owner="assigner",
        params=params,
        result=result,
        scope="agent",
        summary=summary,
        query=query,
        cli=kind,
        arguments=("assignment", *arguments),
        errors=("not_found",) if query else (*HELD, *(() if kind == "remark" else ("conflict",))),
    )


OPERATIONS = (
    _of_holder(
        "plan", PlanParams, PlanResult, "What are the phases and todos of my task, and which are open?", ()
    ),
    _of_holder("check", CheckParams, TodoView, "Tick a todo of your task off, or add one.", ("todo",)),
    _of_holder(
        "advance", AdvanceParams, PhaseView, "Say how a phase of your task stands, or add one.", ("phase",)
    ),
    _of_holder("remark", RemarkParams, RemarkResult, "Remark something on your task.", ("text",)),
    CHECKLIST.operation(
        "add",
        AddTodoParams,
        TodoView,
        "Put something on a task's checklist.",
        arguments=("task", "text"),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/tasks/{task}/todos", 201),),
    ),
    CHECKLIST.operation(
        "ls",
        ListParams,
        TodosResult,
        "List a task's todos.",
        priority="look",
        arguments=("task",),
        http=(Route("GET", "/tasks/{task}/todos"),),
    ),
    CHECKLIST.operation(
        "set",
        SetTodoParams,
        TodoView,
        "Change a todo, tick it off, or move it.",
        arguments=("task", "todo"),
        errors=("not_found", "conflict", "changed"),
        http=(Route("PATCH", "/tasks/{task}/todos/{todo}"),),
    ),
    CHECKLIST.operation(
        "rm",
        RemoveTodoParams,
        TodoView,
        "Take a todo off the checklist.",
        arguments=("task", "todo"),
        errors=("not_found", "conflict"),
        http=(Route("DELETE", "/tasks/{task}/todos/{todo}"),),
    ),
    PHASES.operation(
        "add",
        AddPhaseParams,
        PhaseView,
        "Add a phase to a task.",
        arguments=("task", "name"),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/tasks/{task}/phases", 201),),
    ),
    PHASES.operation(
        "ls",
        ListParams,
        PhasesResult,
        "List a task's phases.",
        priority="look",
        arguments=("task",),
        http=(Route("GET", "/tasks/{task}/phases"),),
    ),
    PHASES.operation(
        "set",
        SetPhaseParams,
        PhaseView,
        "Change a phase, say how it stands, or move it.",
        arguments=("task", "phase"),
        errors=("not_found", "conflict", "changed"),
        http=(Route("PATCH", "/tasks/{task}/phases/{phase}"),),
    ),
)
