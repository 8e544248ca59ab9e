"""What agents and operators say, and what they are shown: every operation by its name, typed as declared."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import msgspec

from bus.api import Incoming, Outgoing
from bus.nats import NatsBus
from contracts.errors import Problem
from contracts.messages import Outcome
from contracts.operations import BY_NAME
from contracts.views import AgentView, AssignmentView, SyncView, TaskDetail
from tests.support.house import ROOT

T = TypeVar("T")


class Refused(Exception):
    """A command was refused."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem


class Asking(ABC):
    """Whoever has a connection, and can wait until all that follows was done."""

    bus: NatsBus

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    @property
    @abstractmethod
    def incarnation(self) -> str: ...

    @abstractmethod
    async def settle(self) -> None: ...

    async def raw(self, subject: str, data: bytes) -> Incoming:
        return await self.bus.request(f"{ROOT}.{subject}", data, timeout_s=10.0)

    async def ask(self, subject: str, result: type[T], body: dict[str, Any]) -> T:
        """Send a command and return its answer, or raise Refused."""
        reply = await self.raw(subject, msgspec.json.encode(body))
        if "Nats-Service-Error-Code" in reply.headers:
            problem = msgspec.json.decode(reply.data, type=Problem)
            assert reply.headers["Nats-Service-Error-Code"] == str(problem.status)
            raise Refused(problem)
        return msgspec.json.decode(reply.data, type=result)

    async def operator(self, operation: str, **params: Any) -> Any:
        """Do an operator's operation by its name."""
        found = BY_NAME[operation]
        answer = await self.ask(f"cmd.{found.owner}.{found.verb}.tester", found.result, params)
        if not found.query:
            await self.settle()
        return answer

    async def asks(self, agent: str, operation: str, **params: Any) -> Any:
        """Do an agent's operation by its name."""
        found = BY_NAME[operation]
        answer = await self.ask(f"cmd.agent.{agent}.{found.verb}", found.result, params)
        if not found.query:
            await self.settle()
        return answer

    async def agent(self, name: str, **params: Any) -> None:
        """Register an agent; without other word it need not beat."""
        await self.operator("agent.add", name=name, **{"beats": "none", **params})

    async def task(self, title: str, **params: Any) -> int:
        """Add a task, and wait until it has been looked at."""
        added = await self.operator("task.add", title=title, **params)
        return int(added.task)

    async def given(self, agent: str, title: str = "ship it", **params: Any) -> tuple[int, AssignmentView]:
        """Register an agent and give it a task of its own."""
        await self.agent(agent)
        task = await self.task(title, **params)
        lease = await self.lease(task)
        assert lease.agent == agent, lease
        return task, lease

    async def says(self, agent: str, kind: str, lease: AssignmentView | int, **fields: Any) -> Outcome:
        """Answer by request, and return the outcome."""
        number = lease if isinstance(lease, int) else lease.id
        outcome = await self.asks(agent, f"assignment.{kind}", assignment=number, **fields)
        assert isinstance(outcome, Outcome)
        return outcome

    async def refused(self, agent: str, kind: str, lease: AssignmentView | int, **fields: Any) -> Problem:
        """Answer by request, and return why it was refused."""
        try:
            outcome = await self.says(agent, kind, lease, **fields)
        except Refused as refused:
            return refused.problem
        raise AssertionError(outcome)

    async def writes(self, agent: str, kind: str, lease: AssignmentView | int, **fields: Any) -> None:
        """Answer on the stream, and wait until that was handled."""
        await self.leaves(agent, kind, lease, **fields)
        await self.settle()

    async def leaves(self, agent: str, kind: str, lease: AssignmentView | int, **fields: Any) -> None:
        """Answer on the stream: stored once this returns, handled whenever somebody lives who can."""
        number = lease if isinstance(lease, int) else lease.id
        body = {"kind": kind, "incarnation": self.incarnation, **fields}
        await self.stores(f"ack.{agent}.{number}", msgspec.json.encode(body))

    async def stores(self, subject: str, data: bytes) -> None:
        """Publish to the stream of answers, with its acknowledgement."""
        item = Outgoing(f"{ROOT}.{subject}", data, f"written:{next(self._numbers)}")
        assert await self.bus.publish_batch([item], stream="ROLLCALL_ACKS") == []

    async def show(self, task: int) -> TaskDetail:
        shown = await self.operator("task.show", task=task)
        assert isinstance(shown, TaskDetail)
        return shown

    async def lease(self, task: int) -> AssignmentView:
        """Return the open assignment of a task."""
        shown = await self.show(task)
        found = [row for row in shown.assignments if row.id == shown.task.assignment_id]
        assert found, shown
        return found[0]

    async def who(self, agent: str) -> AgentView:
        shown = (await self.operator("agent.show", name=agent)).agent
        assert isinstance(shown, AgentView)
        return shown

    async def sync(self, agent: str) -> SyncView:
        synced = await self.asks(agent, "agent.sync")
        assert isinstance(synced, SyncView)
        return synced
