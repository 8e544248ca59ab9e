"""What an agent reads from the wire, and how it fails. Unknown fields are ignored."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True):
    """A refusal as it crosses the wire."""

    code: str = "internal"
    status: int = 500
    title: str = ""
    detail: str = ""
    retryable: bool = False
    fields: dict[str, str] = {}
    state: dict[str, Any] = {}


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of an answer."""

    assignment: int
    kind: str
    accepted: bool
    already: bool = False
    status: str | None = None
    command_id: str | None = None
    deferred: bool = False
    problem: Problem | None = None


class Receipt(Struct, frozen=True, kw_only=True):
    """Proof that an answer is stored, and its outcome if that was asked for."""

    command_id: str
    outcome: Outcome | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """Something the agent did not ask about."""

    kind: str
    assignment: int
    text: str
    at: datetime


class Withdrawn(Struct, frozen=True, kw_only=True, tag_field="kind", tag="withdrawn"):
    """Nothing is owed about this assignment any more."""

    incarnation: str
    assignment: int
    task: int
    status: str
    end_reason: str | None = None
    holder: str | None = None
    sent_at: datetime


class Handoff(Struct, frozen=True, kw_only=True):
    """Who was offered the task, and its new assignment."""

    assignment: int
    agent: str


class RollcallError(Exception):
    """Something did not happen that was asked for."""


class Unavailable(RollcallError):
    """Nobody confirmed it in time: it may have happened; another try with the same command id is safe."""

    def __init__(self, detail: str, command_id: str | None = None) -> None:
        super().__init__(detail)
        self.command_id = command_id


class NotStored(RollcallError):
    """The bus did not take the answer."""


class NotAllowed(RollcallError):
    """The bus does not let this connection do that."""


class Closed(RollcallError):
    """There is no connection, and there will be none."""


class Refused(RollcallError):
    """Rollcall said no: `code` says why, `state` what is the case now."""

    def __init__(self, problem: Problem) -> None:
        fields = "".join(f"; {name}: {why}" for name, why in problem.fields.items())
        super().__init__(f"{problem.code}: {problem.detail or problem.title}{fields}")
        self.problem = problem
        self.code, self.status, self.state = problem.code, problem.status, problem.state
