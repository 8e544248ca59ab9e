"""The plan of a task: its phases, and its todos."""

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from contracts.limits import NOTE_CHARS_MAX, TEXT_PATTERN, TITLE_CHARS_MAX

PhaseStatus = Literal["todo", "in_progress", "done", "skipped"]
PHASE_STATUSES: Final[tuple[PhaseStatus, ...]] = get_args(PhaseStatus)
CLOSED: Final[tuple[PhaseStatus, ...]] = ("done", "skipped")

CHECKLIST_MAX: Final = 200  # of one task
PHASES_MAX: Final = 50  # of one task

TodoText = Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]
PhaseName = Annotated[str, Meta(min_length=1, max_length=TITLE_CHARS_MAX, pattern=TEXT_PATTERN)]
Position = Annotated[int, Meta(ge=1, le=CHECKLIST_MAX)]


class Todo(Struct, frozen=True, kw_only=True, gc=False):
    """One thing on a task's checklist."""

    id: int
    task_id: int
    phase_id: int | None = None  # the phase of the same task that it belongs to
    position: int  # from 1, without gaps
    text: str
    required: bool = False  # the task is not completed before this is done
    done: bool = False
    created_at: int
    created_by: str  # who: agent:<name> or operator:<name>
    updated_at: int
    updated_by: str
    version: int = 1


class Phase(Struct, frozen=True, kw_only=True, gc=False):
    """One stretch of a task's way."""

    id: int
    task_id: int
    position: int  # from 1, without gaps
    name: str
    status: PhaseStatus = "todo"
    required: bool = True  # the task is not completed before this is done or skipped
    prompt: str = ""  # what an agent is told at its beginning
    done_definitions: str = ""  # by what one knows that it is done
    expected_outputs: str = ""
    next_steps_guide: str = ""
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    version: int = 1
