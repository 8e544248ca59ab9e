"""What becomes of one request: a command goes to its owner over the bus, a query to the store."""

from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from bus import trace
from bus.api import BusError, BusTimeout, NoResponders
from bus.endpoints import ERROR_CODE
from bus.service import Context, Request
from contracts import subjects
from contracts.codec import encode
from contracts.errors import (
    InternalError,
    NobodyAnswersError,
    NotFoundError,
    Problem,
    UnavailableError,
    all_errors,
)
from contracts.operations import Operation
from contracts.work import Changes, Committed, Needs, Unit, View
from services.gateway import Reads, running
from services.gateway.turns import Turns

log = structlog.get_logger(__name__)

ANSWER_S: Final = 10.0


class _Number(Struct, frozen=True):
    number: int


class Desk:
    """Asks for others."""

    def __init__(self, context: Context, reads: Reads) -> None:
        """Keep the ports."""
        self.context = context
        self._reads = reads
        self._turns = Turns()

    async def ask(self, operation: Operation, who: str, params: Struct, traced: str) -> Committed:
        """Return the answer or the refusal, when it is its turn; `who` is the name that was proved."""
        build = self._reads.get(operation.name)
        actor = f"{operation.scope}:{who}"
        async with self._turns.turn(actor):
            if build is None:
                return await self._forward(operation, who, params, traced)
            return await self.read(build(Request(operation, who, actor, params)))

    async def assignment_of(self, task: int, agent: str) -> int:
        """Return the open assignment that an agent has about a task; raises NotFoundError."""

        def found(view: View, _now: int) -> _Number:
            row = view.tasks.get(task)
            open_one = None if row is None else view.assignments.get(row.assignment_id or 0)
            if open_one is None or open_one.agent != agent:
                raise NotFoundError(f"{agent} has no open assignment about a task {task}")
            return _Number(open_one.id)

        return await self._number(Needs(tasks=(task,)), found)

    async def agent_id(self, name: str) -> int:
        """Return the number of an agent; raises NotFoundError."""

        def found(view: View, _now: int) -> _Number:
            row = view.agents.get(name.lower())
            if row is None:
                raise NotFoundError(f"there is no agent {name}")
            return _Number(row.id)

        return await self._number(Needs(agents=(name,)), found)

    async def _number(self, needs: Needs, found: Callable[[View, int], _Number]) -> int:
        unit = Unit(
            key="gateway",
            needs=needs,
            decide=lambda view, now: Changes(answer=found(view, now)),
            reads_only=True,
        )
        outcome = await self.read(unit)
        if outcome.problem is not None:
            raise all_errors()[outcome.problem.code](outcome.problem.detail)
        return msgspec.json.decode(outcome.answer, type=_Number).number

    async def read(self, unit: Unit) -> Committed:
        """Return what a reading unit answers, from this process's own store."""
        try:
            return await running.run(self.context, unit)
        except (UnavailableError, InternalError) as error:
            return Committed(problem=error.problem())

    async def _forward(self, operation: Operation, who: str, params: Struct, traced: str) -> Committed:
        if not self.context.bus.connected:
            return _unavailable("the bus cannot be reached; nothing was done")
        headers = {"traceparent": trace.following({"traceparent": traced} if traced else {})}
        try:
            reply = await self.context.bus.request(
                self._subject(operation, who), encode(params), timeout_s=ANSWER_S, headers=headers
            )
        except NoResponders:
            return Committed(problem=NobodyAnswersError(f"{operation.owner} does not run").problem())
        except BusTimeout:
            return _unavailable(f"no answer within {ANSWER_S:g} s")
        except BusError as error:
            log.warning("bus.failed", operation=operation.name, reason=str(error))
            return _unavailable("the bus cannot be reached")
        if status := reply.headers.get(ERROR_CODE):
            return Committed(problem=_problem(reply.data, status))
        return Committed(answer=reply.data)

    def _subject(self, operation: Operation, who: str) -> str:
        """Return where an operation is asked for."""
        who = subjects.name(who)
        if operation.scope == "agent":
            return f"{self.context.root}.{subjects.agent_command(who, operation.verb)}"
        return f"{self.context.root}.{subjects.command(operation.owner, operation.verb, who)}"


def _unavailable(detail: str) -> Committed:
    return Committed(problem=UnavailableError(detail).problem())


def _problem(data: bytes, status: str) -> Problem:
    """Read a refusal; one that cannot be read is still a refusal."""
    try:
        return msgspec.json.decode(data, type=Problem)
    except (msgspec.MsgspecError, ValueError):
        log.warning("refusal.unreadable", status=status)
        return InternalError().problem()
