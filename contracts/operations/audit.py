"""The audit: every change, who made it, and why."""

from msgspec import Struct

from contracts.limits import Token
from contracts.messages import Event
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Route


class ListParams(Page, frozen=True, kw_only=True):
    """Which changes to list, a page at a time, oldest first."""

    aggregate: Token | None = None
    id: Token | None = None


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of changes; `next` is the `after` of the following page."""

    items: tuple[Event, ...]
    next: int | None


AUDIT = Noun("audit", "monitor")

OPERATIONS = (
    AUDIT.operation(
        "ls",
        ListParams,
        ListResult,
        "List what was changed, by whom and why.",
        priority="look",
        errors=(),
        http=(Route("GET", "/audit"),),
    ),
)
