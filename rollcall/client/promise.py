"""A promise about one task as its agent holds it, and every answer that can be given."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypedDict, TypeVar, Unpack

from msgspec import Struct

from rollcall.client.wire import Closed, Handoff, Notice, Outcome, Receipt, Refused, Withdrawn

T = TypeVar("T")


class How(TypedDict, total=False):
    """How an answer is sent."""

    outcome: bool  # wait for the decision, not only until the answer is stored
    command_id: str | None  # that of an earlier try, so that both count once


class Sender(Protocol):
    """What sends answers: the agent."""

    @property
    def session(self) -> str:
        """Which of the agent's runs this is."""
        ...

    async def store(self, assignment: int, body: dict[str, Any], trace: Mapping[str, str]) -> None:
        """Return when the bus has stored the answer."""
        ...

    async def command(self, verb: str, kind: type[T], body: dict[str, Any], trace: Mapping[str, str]) -> T:
        """Return the command's result."""
        ...


class Held(Struct, kw_only=True, dict=True, eq=False, weakref=True):
    """A promise about one task.

    Each answer returns when it is stored, and with `outcome=True` when it is decided; anything else raises.
    """

    assignment: int
    task: int
    title: str = ""
    epoch: int = 0
    status: str = ""

    def __post_init__(self) -> None:
        """Begin without a sender; `bind` gives one."""
        self.withdrawn: Withdrawn | None = None  # set as soon as nothing is owed about it
        self.ended = False  # the lease is over: stop working on the task
        self.refused: Refused | None = None  # why an answer that was stored was refused
        self._about: dict[str, Any] = {}
        self._sender: Sender | None = None
        self._trace: Mapping[str, str] = {}

    def bind(self, sender: Sender, about: dict[str, Any], trace: Mapping[str, str]) -> None:
        """Say who sends the answers, and what each of them repeats."""
        self._sender, self._about, self._trace = sender, about, trace

    async def ack(self, **how: Unpack[How]) -> Receipt:
        """Say that you have it."""
        return await self._answer("ack", how)

    async def progress(self, note: str, **how: Unpack[How]) -> Receipt:
        """Say how far you are; only a note that differs from the last one counts."""
        return await self._answer("progress", how, note=note)

    async def wait(
        self,
        on: str,
        who: str | None = None,
        *,
        reason: str | None = None,
        resume_at: datetime | None = None,
        **how: Unpack[How],
    ) -> Receipt:
        """Say that you cannot go on: `on` is human, lock, peer, rate_limit or external."""
        return await self._answer("wait", how, on=on, who=who, reason=reason, resume_at=resume_at)

    async def resume(self, **how: Unpack[How]) -> Receipt:
        """Say that the wait is over."""
        return await self._answer("resume", how)

    async def snooze(self, minutes: int = 30, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Ask to be asked again in so many minutes (1 to 480, at most three times)."""
        return await self._answer("snooze", how, minutes=minutes, reason=reason)

    async def unsnooze(self, **how: Unpack[How]) -> Receipt:
        """End the snooze now."""
        return await self._answer("unsnooze", how)

    async def decline(self, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Say that it is not for you."""
        return await self._answer("decline", how, reason=reason)

    async def complete(self, result: str | None = None, **how: Unpack[How]) -> Receipt:
        """Say that it is done."""
        return await self._answer("complete", how, result=result)

    async def fail(self, reason: str | None = None, *, final: bool = False, **how: Unpack[How]) -> Receipt:
        """Say that you could not do it; `final` says that nobody can."""
        return await self._answer("fail", how, reason=reason, final=final)

    async def release(self, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Give it back."""
        return await self._answer("release", how, reason=reason)

    async def handoff(
        self,
        to: str | None = None,
        reason: str | None = None,
        *,
        capability: str | None = None,
        command_id: str | None = None,
    ) -> Handoff:
        """Offer it to another agent, or to one with a capability (with neither, Rollcall chooses).

        Returns when that is decided.
        """
        me = self._bound()
        body = {"assignment": self.assignment, "session": me.session, "command_id": command_id}
        body |= {"to": to, "capability": capability, "reason": reason}
        return await me.command("handoff", Handoff, body, self._trace)

    def _bound(self) -> Sender:
        if self._sender is None:
            raise Closed("this promise did not come from an agent's connection")
        return self._sender

    async def _answer(self, kind: str, how: How, **more: object) -> Receipt:
        me, command_id = self._bound(), how.get("command_id") or str(uuid.uuid4())
        body = {"kind": kind, "command_id": command_id, "session": me.session, **self._about, **more}
        if not how.get("outcome"):
            await me.store(self.assignment, body, self._trace)
            return Receipt(command_id=command_id)
        body["assignment"] = self.assignment
        return Receipt(command_id=command_id, outcome=await me.command(kind, Outcome, body, self._trace))


class Ping(Held, kw_only=True, tag_field="kind", tag="ping", eq=False):
    """Rollcall asks: you owe an answer about this assignment."""

    incarnation: str
    attempt: int
    description: str = ""
    sent_at: datetime
    answer_by: datetime | None = None
    due_at: datetime | None = None
    exhausted: bool = False
    offered_by: str | None = None
    escalated_from: str | None = None


class Lease(Held, kw_only=True, eq=False):
    """A promise that the agent holds; `ping` is what is owed about it now."""

    accept_by: datetime | None = None
    progress_by: datetime | None = None
    snooze_until: datetime | None = None
    ping: Ping | None = None
    description: str = ""  # where no ping says it
    note: str | None = None  # the last that was said of its progress
    wait_kind: str | None = None
    wait_who: str | None = None
    resume_at: datetime | None = None


class Sync(Struct, kw_only=True):
    """All that an agent has to know after it was away."""

    incarnation: str
    agent: str
    leases: tuple[Lease, ...]
    session: str | None = None
    notices: tuple[Notice, ...] = ()


class Next(Struct, kw_only=True):
    """The most urgent lease that owes an answer, or none."""

    status: str
    lease: Lease | None = None
