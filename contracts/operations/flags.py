"""What an operator says about an agent, or about the whole fleet: who gets nothing new, and why."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import NOTE_CHARS_MAX, TEXT_PATTERN, Name, Note
from contracts.operations.registry import Noun, Operation, Params, Route

Reason = Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]


class FlagParams(Params, frozen=True, kw_only=True):
    """Which agent, and why."""

    name: Name
    reason: Reason


class ResumeParams(Params, frozen=True, kw_only=True):
    """Which agent goes on."""

    name: Name
    reason: Note | None = None


class FlagResult(Struct, frozen=True, kw_only=True):
    """An agent's flags by now, and how much it still holds."""

    name: str
    flags: tuple[str, ...]
    leases: int


class FreezeParams(Params, frozen=True, kw_only=True):
    """Why nothing new is to be offered."""

    reason: Reason


class ThawParams(Params, frozen=True, kw_only=True):
    """Let offers go on."""

    reason: Note | None = None


class FleetResult(Struct, frozen=True, kw_only=True):
    """Whether nothing new is offered, since when, by whom, and why."""

    frozen: bool
    since: datetime | None = None
    by: str | None = None
    reason: str | None = None


AGENT = Noun("agent", "monitor")
SUMMARIES = {
    "pause": "Offer an agent nothing new and send it no pings, until it is resumed; its clocks run on.",
    "drain": "Offer an agent nothing new; it finishes what it has.",
    "quarantine": "Keep an agent from all work and all escalations; its answers are taken.",
}
OPERATIONS = (
    *(
        AGENT.operation(
            verb,
            FlagParams,
            FlagResult,
            summary,
            arguments=("name",),
            http=(Route("POST", f"/agents/{{name}}/{verb}"),),
        )
        for verb, summary in SUMMARIES.items()
    ),
    AGENT.operation(
        "resume",
        ResumeParams,
        FlagResult,
        "Let an agent that was paused, drained or quarantined go on.",
        arguments=("name",),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/agents/{name}/resume"),),
    ),
    AGENT.operation(
        "retire",
        FlagParams,
        FlagResult,
        "Let an agent go for good; refused while it holds work, or its process runs.",
        arguments=("name",),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/agents/{name}/retire"),),
    ),
    Operation(
        name="fleet.freeze",
        owner="assigner",
        params=FreezeParams,
        result=FleetResult,
        scope="operator",
        summary="Offer nothing new to anybody; answers are still taken.",
        priority="order",
        cli="freeze",
        http=(Route("POST", "/fleet/freeze"),),
    ),
    Operation(
        name="fleet.thaw",
        owner="assigner",
        params=ThawParams,
        result=FleetResult,
        scope="operator",
        summary="Let offers go on.",
        priority="order",
        cli="thaw",
        http=(Route("POST", "/fleet/thaw"),),
    ),
)
