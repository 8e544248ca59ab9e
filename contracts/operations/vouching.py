"""What an operator says about an assignment, in their own name: nobody answers in an agent's."""

from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import NOTE_CHARS_MAX, TEXT_PATTERN, Id, Note, SnoozeMinutes
from contracts.operations.registry import Noun, Params, Route


class VouchParams(Params, frozen=True, kw_only=True):
    """Somebody has it in hand: the clock that runs begins anew, and what was flagged is flagged no more."""

    assignment: Id
    reason: Note | None = None


class DeferParams(Params, frozen=True, kw_only=True):
    """Its holder is to be asked again later; this counts as no snooze of its own."""

    assignment: Id
    minutes: SnoozeMinutes = 30
    reason: Note | None = None


class ReplyParams(Params, frozen=True, kw_only=True):
    """What its holder waits for: it is told, and goes on."""

    assignment: Id
    text: Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]


class VouchResult(Struct, frozen=True, kw_only=True):
    """The assignment as it stands now."""

    assignment: int
    task: int
    agent: str
    status: str


ASSIGNMENT = Noun("assignment", "pinger")
_ERRORS = ("not_found", "already_final", "not_allowed_now")

OPERATIONS = (
    ASSIGNMENT.operation(
        "vouch",
        VouchParams,
        VouchResult,
        "Say that somebody has it in hand: the clock begins anew.",
        arguments=("assignment",),
        errors=_ERRORS,
        http=(Route("POST", "/assignments/{assignment}/vouch"),),
    ),
    ASSIGNMENT.operation(
        "defer",
        DeferParams,
        VouchResult,
        "Let its holder be asked again later.",
        arguments=("assignment", "minutes"),
        errors=_ERRORS,
        http=(Route("POST", "/assignments/{assignment}/defer"),),
    ),
    ASSIGNMENT.operation(
        "reply",
        ReplyParams,
        VouchResult,
        "Give the answer that its holder waits for; it goes on.",
        arguments=("assignment", "text"),
        errors=_ERRORS,
        http=(Route("POST", "/assignments/{assignment}/reply"),),
    ),
)
