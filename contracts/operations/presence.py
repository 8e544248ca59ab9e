"""Presence of many: the brakes on deaths, and whether a team is ready."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import NAME_PATTERN, Name, Note
from contracts.operations.registry import Noun, Params, Route

TEAM_MAX = 1_000
_SCOPE = rf"^(fleet|machine:{NAME_PATTERN[1:]}"
Scope = Annotated[str, Meta(pattern=rf"{_SCOPE})", description="fleet, or machine:<name>")]
Names = Annotated[tuple[Name, ...], Meta(max_length=TEAM_MAX)]


class BrakeView(Struct, frozen=True, kw_only=True):
    """A brake that is on: since when, how many are silent, and since when it lets go."""

    scope: str
    began_at: datetime
    members: int
    silent: int
    canary_since: datetime | None
    released_at: datetime | None
    released_why: str | None


class BrakesParams(Struct, frozen=True, kw_only=True):
    """List the brakes that are on."""


class BrakesResult(Struct, frozen=True, kw_only=True):
    """The brakes that are on."""

    items: tuple[BrakeView, ...]


class ReleaseParams(Params, frozen=True, kw_only=True):
    """Let a brake go, or all of them: those that are silent are declared dead, one after the other."""

    scope: Scope | None = None
    reason: Note


class ReleaseResult(Struct, frozen=True, kw_only=True):
    """The scopes whose brakes let go."""

    scopes: tuple[str, ...]


class ReadyParams(Struct, frozen=True, kw_only=True):
    """Ask whether a team is ready: the named agents, all with a capability, or the whole fleet."""

    names: Names = ()
    capability: Name | None = None


class MemberView(Struct, frozen=True, kw_only=True):
    """One expected agent: there or not, in which status, ready or not and why."""

    name: str
    ready: bool
    why: str
    status: str
    status_since: datetime | None
    status6: str
    flags: tuple[str, ...]
    leases: int
    capacity: int
    beat_at: datetime | None
    machine: str | None


class ReadyResult(Struct, frozen=True, kw_only=True):
    """Whether all are ready, how many are expected, there and ready, and each of them."""

    ready: bool
    expected: int
    there: int
    able: int
    items: tuple[MemberView, ...]


PRESENCE = Noun("presence", "monitor")
TEAM = Noun("team", "monitor")

OPERATIONS = (
    PRESENCE.operation(
        "brakes",
        BrakesParams,
        BrakesResult,
        "List the brakes that hold deaths back.",
        priority="look",
        errors=(),
        http=(Route("GET", "/brakes"),),
    ),
    PRESENCE.operation(
        "release",
        ReleaseParams,
        ReleaseResult,
        "Let a brake go: whoever is silent is declared dead, one at a time.",
        arguments=("scope",),
        http=(Route("POST", "/brakes/release"),),
    ),
    TEAM.operation(
        "ready",
        ReadyParams,
        ReadyResult,
        "Show who is expected, who is there, and whether all are ready.",
        priority="look",
        errors=(),
        http=(Route("GET", "/teams/ready"),),
    ),
)
