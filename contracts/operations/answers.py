"""What an agent says about its own assignments: answers, next, handoff, sync, join, leave."""

from typing import Literal

from msgspec import Struct

from contracts import messages
from contracts.limits import Capabilities, Count, Id, Minutes, Name, Note, Token
from contracts.operations.registry import Operation, Params, Route
from contracts.views import Lease, SyncView


class AssignmentRef(Struct, frozen=True, kw_only=True):
    """Which assignment the answer in the same body is about."""

    assignment: Id


class AckParams(messages.Ack, frozen=True, kw_only=True, tag_field="kind", tag="ack"):
    """An ack with the assignment in the body."""

    assignment: Id


class ProgressParams(messages.Progress, frozen=True, kw_only=True, tag_field="kind", tag="progress"):
    """Progress with the assignment in the body."""

    assignment: Id


class WaitParams(messages.Wait, frozen=True, kw_only=True, tag_field="kind", tag="wait"):
    """A wait with the assignment in the body."""

    assignment: Id


class ResumeParams(messages.Resume, frozen=True, kw_only=True, tag_field="kind", tag="resume"):
    """A resume with the assignment in the body."""

    assignment: Id


class SnoozeParams(messages.Snooze, frozen=True, kw_only=True, tag_field="kind", tag="snooze"):
    """A snooze with the assignment in the body."""

    assignment: Id


class UnsnoozeParams(messages.Unsnooze, frozen=True, kw_only=True, tag_field="kind", tag="unsnooze"):
    """An unsnooze with the assignment in the body."""

    assignment: Id


class DeclineParams(messages.Decline, frozen=True, kw_only=True, tag_field="kind", tag="decline"):
    """A decline with the assignment in the body."""

    assignment: Id


class CompleteParams(messages.Complete, frozen=True, kw_only=True, tag_field="kind", tag="complete"):
    """A completion with the assignment in the body."""

    assignment: Id


class FailParams(messages.Fail, frozen=True, kw_only=True, tag_field="kind", tag="fail"):
    """A failure with the assignment in the body."""

    assignment: Id


class ReleaseParams(messages.Release, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """A release with the assignment in the body."""

    assignment: Id


class HandoffParams(Params, frozen=True, kw_only=True):
    """Offer the assignment to an agent, or to one with a capability; with neither Rollcall chooses."""

    assignment: Id
    to: Name | None = None
    capability: Name | None = None
    reason: Note | None = None
    incarnation: Token | None = None
    session: Token | None = None


class HandoffResult(Struct, frozen=True, kw_only=True):
    """The receiver and its new assignment."""

    assignment: int
    agent: str


class NextParams(Struct, frozen=True, kw_only=True):
    """Ask what is owed now."""


class NextResult(Struct, frozen=True, kw_only=True):
    """The most urgent lease that owes an answer, or none and when to ask again."""

    status: Literal["due", "none"]
    lease: Lease | None = None
    retry: bool = True


class JoinParams(Params, frozen=True, kw_only=True):
    """I am here. A new session supersedes the older one; capabilities may only be narrowed."""

    session: Token
    interval_s: Minutes = 30
    capabilities: Capabilities | None = None


class LeaveParams(Params, frozen=True, kw_only=True):
    """I am going, on purpose."""

    session: Token | None = None


class LeaveResult(Struct, frozen=True, kw_only=True):
    """How many leases the agent still holds."""

    leases: Count


class SyncParams(Struct, frozen=True, kw_only=True):
    """I was away: say what I hold and what I missed."""


_STATE = (
    "not_found",
    "not_allowed_now",
    "superseded",
    "already_final",
    "stale_session",
    "idempotency_mismatch",
)


def _answer(
    kind: str,
    params: type[Struct],
    summary: str,
    cli: str = "",
    *,
    aliases: tuple[str, ...] = (),
    errors: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
    http: tuple[Route, ...] = (),
) -> Operation:
    return Operation(
        name=f"assignment.{kind}",
        owner="pinger",
        params=params,
        result=messages.Outcome,
        scope="agent",
        summary=summary,
        cli=cli or kind,
        aliases=aliases,
        arguments=("assignment", *arguments),
        errors=(*_STATE, "other_incarnation", *errors),
        http=http,
    )


OPERATIONS = (
    _answer(
        "ack",
        AckParams,
        "Say that you have it.",
        aliases=("task-started", "acknowledge"),
        http=(Route("POST", "/agents/{agent}/acknowledge"),),
    ),
    _answer("progress", ProgressParams, "Say how far you are.", arguments=("note",)),
    _answer("wait", WaitParams, "Say whom or what you are waiting for.", arguments=("on",)),
    _answer("resume", ResumeParams, "Say that the wait is over."),
    _answer(
        "snooze",
        SnoozeParams,
        "Ask to be asked again later.",
        arguments=("minutes",),
        errors=("snooze_limit",),
        http=(Route("POST", "/agents/{agent}/snooze"),),
    ),
    _answer("unsnooze", UnsnoozeParams, "End a snooze now."),
    _answer(
        "complete",
        CompleteParams,
        "Say that it is done.",
        "done",
        aliases=("task-complete",),
        errors=("unfinished",),
    ),
    _answer("fail", FailParams, "Say that you could not do it."),
    _answer("release", ReleaseParams, "Give it back."),
    _answer("decline", DeclineParams, "Say that it is not for you."),
    Operation(
        name="assignment.handoff",
        owner="assigner",
        params=HandoffParams,
        result=HandoffResult,
        scope="agent",
        summary="Offer your assignment to another agent.",
        cli="handoff",
        arguments=("assignment", "to"),
        errors=(*_STATE, "other_incarnation", "nobody_eligible"),
    ),
    Operation(
        name="assignment.next",
        owner="pinger",
        params=NextParams,
        result=NextResult,
        scope="agent",
        summary="What do I owe an answer to?",
        query=True,
        cli="next",
        aliases=("wait-for-task", "get-next-task"),
        errors=("not_found",),
    ),
    Operation(
        name="agent.join",
        owner="monitor",
        params=JoinParams,
        result=SyncView,
        scope="agent",
        summary="Say that you are here; answers with the leases that you still hold.",
        cli="join",
        arguments=("session",),
        errors=("not_found", "stale_session"),
    ),
    Operation(
        name="agent.leave",
        owner="monitor",
        params=LeaveParams,
        result=LeaveResult,
        scope="agent",
        summary="Say that you are going, on purpose.",
        cli="leave",
        errors=("not_found", "stale_session"),
    ),
    Operation(
        name="agent.sync",
        owner="monitor",
        params=SyncParams,
        result=SyncView,
        scope="agent",
        summary="What do I hold, and what did I miss?",
        query=True,
        cli="sync",
        errors=("not_found",),
    ),
    Operation(
        name="agent.prime",
        owner="monitor",
        params=SyncParams,
        result=SyncView,
        scope="agent",
        summary="Who am I, what do I hold, and what do I do next? For a model that has forgotten.",
        query=True,
        cli="prime",
        errors=("not_found",),
    ),
)
