"""Failures by name: one base, one class each; the docstring is the message, the code is the contract."""

from typing import Any, ClassVar

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal as it crosses the wire: what was wrong and what may be done."""

    code: str
    status: int
    title: str
    detail: str = ""
    retryable: bool = False
    retry_after_s: int | None = None
    fields: dict[str, str] = {}
    state: dict[str, Any] = {}


class RollcallError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None  # whole seconds, as in HTTP's Retry-After

    def __init__(self, detail: str = "", *, fields: dict[str, str] | None = None, **state: Any) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.fields = fields or {}
        self.state = state

    @classmethod
    def title(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")

    def problem(self) -> Problem:
        """Return the refusal for the wire."""
        return Problem(
            code=self.code,
            status=self.status,
            title=self.title(),
            detail=self.detail,
            retryable=self.retryable,
            retry_after_s=self.retry_after_s,
            fields=self.fields,
            state=self.state,
        )


class MalformedError(RollcallError):
    """The message cannot be read as JSON of the right shape."""

    code, status = "malformed", 400


class InvalidError(RollcallError):
    """A field has a value that is not allowed."""

    code, status = "invalid", 422


class TooLargeError(RollcallError):
    """The message is larger than its limit."""

    code, status = "too_large", 413


class UnauthorizedError(RollcallError):
    """Who asks is not known: a token is missing, wrong, expired or revoked."""

    code, status = "unauthorized", 401


class MethodNotAllowedError(RollcallError):
    """This path does not know the method."""

    code, status = "method_not_allowed", 405


class NotAcceptableError(RollcallError):
    """What is asked for is not what is spoken here: answers are JSON."""

    code, status = "not_acceptable", 406


class UnsupportedMediaError(RollcallError):
    """The body is not what is spoken here: bodies are JSON."""

    code, status = "unsupported_media", 415


class MisdirectedError(RollcallError):
    """This host is not served here."""

    code, status = "misdirected", 421


class ForbiddenError(RollcallError):
    """This identity may not do that."""

    code, status = "forbidden", 403


class NotFoundError(RollcallError):
    """There is no such thing."""

    code, status = "not_found", 404


class ConflictError(RollcallError):
    """The present state does not allow it."""

    code, status = "conflict", 409


class NotSecuredError(ConflictError):
    """There are no keys to sign with here: the bus lets in everybody, or somebody else guards it."""

    code, status = "not_secured", 409


class NotAllowedNowError(ConflictError):
    """The assignment's present state does not allow this."""

    code = "not_allowed_now"


class SupersededError(ConflictError):
    """The lease is no longer yours: stop working on the task."""

    code = "superseded"


class AlreadyFinalError(ConflictError):
    """The assignment has ended already."""

    code = "already_final"


class SnoozeLimitError(ConflictError):
    """The assignment was snoozed as often as it may be."""

    code = "snooze_limit"


class NobodyEligibleError(ConflictError):
    """Nobody is able to take it."""

    code = "nobody_eligible"


class UnfinishedError(ConflictError):
    """Something that is required of the task is still open."""

    code = "unfinished"


class FrozenError(ConflictError):
    """Nothing new is offered while the fleet is frozen."""

    code = "frozen"


class ExistsError(ConflictError):
    """Something of this name exists already."""

    code = "exists"


class CycleError(ConflictError):
    """The dependencies would form a circle."""

    code = "cycle"


class StaleSessionError(ConflictError):
    """A newer session of this agent has taken over."""

    code = "stale_session"


class IncarnationError(ConflictError):
    """The answer belongs to another store: ask for a sync."""

    code = "other_incarnation"


class IdempotencyMismatchError(ConflictError):
    """The command id was used before with another body."""

    code = "idempotency_mismatch"


class RejoinRequiredError(ConflictError):
    """The agent or its session is not known here: join again."""

    code = "rejoin_required"


class ChangedError(RollcallError):
    """It has changed since it was read: read it anew, and decide again."""

    code, status = "changed", 412


class VersionRequiredError(RollcallError):
    """Whoever replaces something says which version of it was read."""

    code, status = "version_required", 428


class OverloadedError(RollcallError):
    """Too much is waiting already: try again later."""

    code, status, retryable, retry_after_s = "overloaded", 429, True, 5


class UnavailableError(RollcallError):
    """The service cannot be reached: the outcome is unknown, try again with the same command id."""

    code, status, retryable = "unavailable", 503, True


class NobodyAnswersError(UnavailableError):
    """Nobody takes this now, and nothing of it was done."""

    code = "nobody_answers"


class InternalError(RollcallError):
    """Rollcall failed to handle this; it was recorded."""

    code, status = "internal", 500


def all_errors() -> dict[str, type[RollcallError]]:
    """Return every failure by its code."""
    found: dict[str, type[RollcallError]] = {}
    waiting = [RollcallError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found
