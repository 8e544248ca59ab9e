"""What an operator says about a task's open assignment, in their own name: nobody answers in an agent's."""

from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import NOTE_CHARS_MAX, TEXT_PATTERN, Id, Note, SnoozeMinutes
from contracts.operations.registry import Noun, Params, Route


class AckParams(Params, frozen=True, kw_only=True):
    """Somebody has it in hand: the clock that runs begins anew, and what was flagged is flagged no more."""

    task: Id
    reason: Note | None = None


class SnoozeParams(Params, frozen=True, kw_only=True):
    """Its holder is to be asked again later; this counts as no snooze of its own."""

    task: Id
    minutes: SnoozeMinutes = 30
    reason: Note | None = None


class AnswerParams(Params, frozen=True, kw_only=True):
    """What its holder waits for: it is told, and goes on."""

    task: Id
    text: Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]


class HeldResult(Struct, frozen=True, kw_only=True):
    """The open assignment of the task as it stands now."""

    assignment: int
    task: int
    agent: str
    status: str


TASK = Noun("task", "pinger")
_ERRORS = ("not_found", "already_final", "not_allowed_now")

OPERATIONS = (
    TASK.operation(
        "ack",
        AckParams,
        HeldResult,
        "Say that somebody has it in hand: its clock begins anew, and its agent still owes its own ack.",
        arguments=("task",),
        errors=_ERRORS,
        http=(Route("POST", "/tasks/{task}/ack"),),
    ),
    TASK.operation(
        "snooze",
        SnoozeParams,
        HeldResult,
        "Let its agent be asked again later.",
        arguments=("task", "minutes"),
        errors=_ERRORS,
        http=(Route("POST", "/tasks/{task}/snooze"),),
    ),
    TASK.operation(
        "answer",
        AnswerParams,
        HeldResult,
        "Give the answer that its agent waits for; it goes on.",
        arguments=("task", "text"),
        errors=_ERRORS,
        http=(Route("POST", "/tasks/{task}/answer"),),
    ),
)
