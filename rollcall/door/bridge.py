"""From a request at an agent's door to its subject on the bus, and back."""

import asyncio
import re
import uuid
from typing import Any, Final

import msgspec
import structlog

from bus import trace
from bus.api import Bus, BusError, BusTimeout, Incoming, NoResponders, NotPermitted, Unsendable
from contracts import subjects
from contracts.errors import (
    ForbiddenError,
    InternalError,
    MalformedError,
    NobodyAnswersError,
    NotFoundError,
    Problem,
    TooLargeError,
    UnavailableError,
)
from contracts.operations import ALL, Operation
from rollcall.cli.tree import is_object, object_of
from rollcall.door.http import Answer, Request

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/agent/"
VERBS: Final = {operation.verb: operation for operation in ALL if operation.scope == "agent"}
WAIT_S_MAX: Final = 50.0  # clients of language models give up on a call after 60 s
PATIENCE_S: Final = 15.0
PATIENCE_S_MIN: Final = 0.1
TRIES: Final = 3
ASK_AGAIN_S: Final = 10.0  # a ping may have passed while the connection was away
_STATUS: Final = re.compile(r"[45][0-9]{2}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:$|[,;\s])", re.IGNORECASE)


class Bridge:
    """Asks the services in the name of one agent."""

    def __init__(self, agent: str, bus: Bus, *, root: str) -> None:
        """Speak through `bus`: whatever its credential allows, and no more, can be asked."""
        self.agent = subjects.name(agent)
        self._bus = bus
        self._root = root

    async def answer(self, request: Request, gone: asyncio.Event) -> Answer:
        """Return the answer; a wait ends early once `gone` is set."""
        try:
            return await self._answer(request, gone)
        except Exception:
            log.exception("door.failed", agent=self.agent, path=request.path)
            return Answer.of(InternalError().problem())

    async def _answer(self, request: Request, gone: asyncio.Event) -> Answer:
        operation = VERBS.get(request.path.removeprefix(PATH))
        if operation is None or not request.path.startswith(PATH):
            return Answer.of(NotFoundError(f"POST {PATH}VERB, with VERB one of {', '.join(VERBS)}").problem())
        if request.method != "POST":
            title = MalformedError.title()
            refused = Problem(code="malformed", status=405, title=title, detail="only POST is answered here")
            return Answer.of(refused, {"Allow": "POST"})
        try:
            body = identified(operation, request.body)
        except MalformedError as error:
            return Answer.of(error.problem())
        found = _WAIT.search(request.headers.get("prefer", ""))
        wait_s = min(float(found[1]), WAIT_S_MAX) if found else None
        headers = {"traceparent": trace.following(request.headers)}
        if operation.name == "assignment.next" and wait_s:
            return await self._until_due(operation, body, headers, wait_s, gone)
        patience_s = PATIENCE_S if wait_s is None or operation.name == "assignment.next" else wait_s
        return await self._ask(operation, body, headers, max(patience_s, PATIENCE_S_MIN))

    async def _ask(
        self, operation: Operation, body: bytes, headers: dict[str, str], patience_s: float
    ) -> Answer:
        """Ask, at most three times under the same command id."""
        subject = f"{self._root}.{subjects.agent_command(self.agent, operation.verb)}"
        for _ in range(TRIES):
            try:
                reply = await self._bus.request(subject, body, timeout_s=patience_s / TRIES, headers=headers)
            except BusTimeout:
                continue  # whether it was done is unknown: the command id makes asking again safe
            except BusError as error:
                return Answer.of(_failure(operation, error))
            return answer_of(reply)
        return Answer.of(_silent(operation, body, patience_s))

    async def _until_due(
        self, operation: Operation, body: bytes, headers: dict[str, str], wait_s: float, gone: asyncio.Event
    ) -> Answer:
        """Ask, and again at each ping, until something is due or the time is over."""
        rung = asyncio.Event()
        clock = asyncio.get_running_loop().time
        ends = clock() + wait_s
        pings = f"{self._root}.{subjects.ping(self.agent, 0).removesuffix('0')}*"
        try:
            bell = await self._bus.subscribe(pings, lambda _ping: rung.set())
        except BusError as error:
            return Answer.of(_failure(operation, error))
        try:
            found = await self._ask(operation, body, headers, PATIENCE_S)
            while waits(found) and not gone.is_set() and (left := ends - clock()) > 0:
                await first_of(rung, gone, timeout_s=min(left, ASK_AGAIN_S))
                rung.clear()
                again = await self._ask(operation, body, headers, PATIENCE_S)
                found = found if again.status == UnavailableError.status else again  # services restart
            return found
        finally:
            await _quietly(bell)


def identified(operation: Operation, body: bytes) -> bytes:
    """Return the body; a command without an id gets one, so that asking again is safe."""
    try:
        fields: Any = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedError(f"not readable as JSON: {type(error).__name__}") from error
    if operation.query or not is_object(fields) or object_of(fields).get("command_id") is not None:
        return body or b"{}"
    return msgspec.json.encode(object_of(fields) | {"command_id": str(uuid.uuid4())})


def answer_of(reply: Incoming) -> Answer:
    """Return what a service said, as it is."""
    status = reply.headers.get("Nats-Service-Error-Code")
    if status is None:
        return Answer(status=200, body=reply.data)
    try:
        problem = msgspec.json.decode(reply.data, type=Problem)
    except (msgspec.MsgspecError, ValueError):  # one that cannot be read is still a refusal
        problem = Problem(
            code="internal", status=int(status) if _STATUS.fullmatch(status) else 500, title="Refused"
        )
    return Answer.of(problem)


def waits(answer: Answer) -> bool:
    """Return whether nothing is due yet."""
    return answer.status == 200 and msgspec.json.decode(answer.body).get("status") == "none"  # noqa: PLR2004 - HTTP's


async def first_of(*events: asyncio.Event, timeout_s: float) -> None:
    """Wait until one of them is set, or the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


def _failure(operation: Operation, error: BusError) -> Problem:
    match error:
        case NoResponders():
            return NobodyAnswersError(f"nobody answers for {operation.owner}").problem()
        case NotPermitted():
            return ForbiddenError(str(error)).problem()
        case Unsendable():
            return TooLargeError(str(error)).problem()
        case _:
            return UnavailableError(str(error)).problem()


def _silent(operation: Operation, body: bytes, patience_s: float) -> Problem:
    detail = f"no answer in {TRIES} tries of {patience_s / TRIES:g} s"
    if not operation.query:
        identity = object_of(msgspec.json.decode(body)).get("command_id")
        detail += f"; to try again safely add --command-id {identity}" if identity else ""
    return UnavailableError(detail).problem()


async def _quietly(bell: Any) -> None:
    """End a subscription; that of a connection which is gone has ended."""
    try:
        await bell.unsubscribe()
    except BusError:
        return
