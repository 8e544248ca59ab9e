"""Dead letters: list, show, replay."""

from msgspec import Struct

from contracts.limits import Id
from contracts.messages import DeadLetter
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Params, Route


class ListParams(Page, frozen=True, kw_only=True):
    """A page of dead letters, oldest first."""


class Entry(Struct, frozen=True, kw_only=True):
    """A dead letter and its number in the stream."""

    seq: int
    letter: DeadLetter


class ListResult(Struct, frozen=True, kw_only=True):
    """Dead letters, and the `after` of the next page."""

    items: tuple[Entry, ...]
    next: int | None


class ShowParams(Struct, frozen=True, kw_only=True):
    """Which dead letter to show."""

    seq: Id


class ReplayParams(Params, frozen=True, kw_only=True):
    """Put the message back where it came from, or the row back to work; the dead letter goes."""

    seq: Id


class ReplayResult(Struct, frozen=True, kw_only=True):
    """What was done."""

    seq: int
    replayed: str


DLQ = Noun("dlq", "relay")

OPERATIONS = (
    DLQ.operation(
        "ls",
        ListParams,
        ListResult,
        "List what could not be handled.",
        priority="look",
        errors=(),
        http=(Route("GET", "/dead-letters"),),
    ),
    DLQ.operation(
        "show",
        ShowParams,
        Entry,
        "Show one dead letter.",
        priority="look",
        arguments=("seq",),
        http=(Route("GET", "/dead-letters/{seq}"),),
    ),
    DLQ.operation(
        "replay",
        ReplayParams,
        ReplayResult,
        "Try a dead letter again.",
        arguments=("seq",),
        http=(Route("POST", "/dead-letters/{seq}/replay"),),
    ),
)
