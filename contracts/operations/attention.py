"""Who needs somebody, and why."""

from datetime import datetime

from msgspec import Struct

from contracts.attention import AttentionKind
from contracts.operations.registry import Noun, Route


class ListParams(Struct, frozen=True, kw_only=True):
    """List what somebody has to look at."""


class AttentionView(Struct, frozen=True, kw_only=True):
    """One thing that needs somebody: an agent, a task, or an open assignment of a task."""

    kind: AttentionKind
    since: datetime
    why: str
    task: int | None = None
    title: str | None = None
    priority: int | None = None
    assignment: int | None = None
    status: str | None = None  # of the assignment, or of the agent
    agent: str | None = None


class ListResult(Struct, frozen=True, kw_only=True):
    """The most pressing first; `more` tells that there are others behind them."""

    items: tuple[AttentionView, ...]
    more: bool


ATTENTION = Noun("attention", "monitor")

OPERATIONS = (
    ATTENTION.operation(
        "ls",
        ListParams,
        ListResult,
        "List who needs somebody, since when and why.",
        priority="look",
        errors=(),
        http=(Route("GET", "/attention"),),
    ),
)
