"""One operation over HTTP: may this caller, what does it say, what is the answer."""

import re
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import anyio
import msgspec
from litestar import Request, Response
from msgspec import Struct

from contracts.errors import (
    ForbiddenError,
    InvalidError,
    MalformedError,
    NotAcceptableError,
    RollcallError,
    TooLargeError,
    UnsupportedMediaError,
)
from contracts.operations import Operation
from contracts.operations.access import STREAM, reach
from contracts.operations.registry import API, Route
from contracts.work import Committed
from services.gateway import events, problems, reading, versions, waiting
from services.gateway.asking import Desk
from services.gateway.guard import CALLER, PROOF
from services.gateway.identity import Caller, Doorkeeper

JSON: Final = "application/json"
QUERY_FIELDS_MAX: Final = 200
NEXT: Final = "assignment.next"
TASK: Final = "task_id"  # how the first system named an assignment: by its task
AGENT: Final = "agent"  # in the path of an agent's own verbs: who speaks
_ACCEPTED: Final = re.compile(
    r"(?:^|,)\s*(?:\*/\*|application/\*|application/(?:problem\+)?json)\s*(?:[;,]|$)"
)

AnyRequest = Request[Any, Any, Any]


class _Paged(Struct):
    next: int | None = None


class Door:
    """Answers the operations."""

    def __init__(self, desk: Desk, keeper: Doorkeeper, hub: events.Hub, stop: anyio.Event) -> None:
        """Keep who asks the others, who knows the tokens, who hears of changes, and when it ends."""
        self._desk = desk
        self._keeper = keeper
        self._hub = hub
        self._stop = stop

    async def answer(self, operation: Operation, route: Route, request: AnyRequest) -> Response[bytes]:
        """Answer one request; raises RollcallError to refuse it."""
        caller: Caller = request.scope["state"][CALLER]
        path = dict(request.path_params)
        who = await self._who(operation, caller, path)
        _check_media(request)
        body = await _body(request, operation.bytes_max)
        query = _query(request)
        given = reading.gather(operation, route, path=path, query=query, body=body)
        if TASK in given and route in operation.http and operation.scope == "agent":
            given["assignment"] = await self._desk.assignment_of(_number(given.pop(TASK)), who)
        headers = {"cache-control": "no-store"}
        if not operation.query:
            headers["idempotency-key"] = _take_key(request, given)
        versions.expect(operation, route, request.headers, given)
        params = reading.built(operation, given)
        committed = await self._ask(operation, who, params, request)
        if committed.problem is not None:
            return refusal(committed)
        headers |= versions.etag(operation, committed.answer)
        headers |= _links(route, request, query, committed.answer)
        return Response(committed.answer, status_code=route.status, media_type=JSON, headers=headers)

    async def _ask(self, operation: Operation, who: str, params: Struct, request: AnyRequest) -> Committed:
        ask = partial(self._desk.ask, operation, who, params, request.headers.get("traceparent", ""))
        wait_s = waiting.preferred(request.headers.get("prefer", ""))
        if operation.name == NEXT and wait_s:
            return await waiting.until_due(self._desk.context, who, ask, wait_s, self._stop)
        return await ask()

    def changes(self, request: AnyRequest) -> AsyncIterator[bytes]:
        """Return a stream of changes; raises RollcallError to refuse it."""
        caller: Caller = request.scope["state"][CALLER]
        if reach(STREAM, caller.role) is None:
            raise ForbiddenError(f"a token of scope {caller.role} may not listen to changes")
        asked = dict(_query(request))
        after = request.headers.get("last-event-id", "")
        place = events.Place(after, asked.pop("aggregate", None), asked.pop("id", None))
        if asked:
            raise InvalidError("only of what, and which", fields=dict.fromkeys(asked, "is not known"))
        proof = request.scope["state"][PROOF]

        async def still() -> bool:
            """Look whether the token counts: a stream ends with it."""
            try:
                return await self._keeper.admit(*proof) == caller
            except RollcallError:
                return False

        return self._hub.open(place, still)

    async def _who(self, operation: Operation, caller: Caller, path: dict[str, Any]) -> str:
        """Return the name under which it is asked, or refuse: what no row allows is forbidden."""
        allowed = reach(operation.name, caller.role)
        if allowed is None:
            raise ForbiddenError(f"a token of scope {caller.role} may not do {operation.name}")
        if allowed == "any":
            return caller.name
        own = caller.agent or ""
        named = str(path.pop(AGENT, own))
        if named.lower() != own.lower() and not (
            _is_number(named) and int(named[:19]) == await self._desk.agent_id(own)
        ):
            raise ForbiddenError(f"this token speaks for {own} only")
        return own


def refusal(committed: Committed) -> Response[bytes]:
    """Return what the owner refused."""
    assert committed.problem is not None  # noqa: S101 - for the type checkers
    problem = committed.problem
    return Response(
        problems.body(problem),
        status_code=problem.status,
        media_type=problems.MEDIA_TYPE,
        headers=problems.headers(problem),
    )


def _check_media(request: AnyRequest) -> None:
    accept = request.headers.get("accept", "*/*")
    if not _ACCEPTED.search(accept):
        raise NotAcceptableError(f"{JSON} and {problems.MEDIA_TYPE} are spoken here")
    kind = request.headers.get("content-type")
    if kind is not None and kind.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaError(f"{JSON} is spoken here")


async def _body(request: AnyRequest, bytes_max: int) -> bytes:
    """Return the body; what is too large is not read to its end."""
    length = request.headers.get("content-length", "0")
    if _is_number(length) and int(length[:19]) > bytes_max:
        raise TooLargeError(f"{length[:19]} bytes, the limit is {bytes_max}")
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > bytes_max:
            raise TooLargeError(f"more than {bytes_max} bytes")
    return bytes(found)


def _query(request: AnyRequest) -> list[tuple[str, str]]:
    raw = request.scope["query_string"].decode("ascii", "replace")
    try:
        return parse_qsl(raw, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise MalformedError("the query cannot be read") from error


def _is_number(text: str) -> bool:
    """Return whether it is written in digits: other scripts have some that no number is read from."""
    return text.isascii() and text.isdigit()


def _number(value: Any) -> int:
    try:
        return msgspec.convert(value, int, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise InvalidError("task_id is a number", fields={TASK: "is no number"}) from error


def _take_key(request: AnyRequest, given: reading.Given) -> str:
    """Return under which id the command is sent; the header and the body may not name two."""
    header = request.headers.get("idempotency-key")
    key = "" if header is None else header.strip().strip('"')
    said = given.get("command_id")
    if header is not None and not key:
        raise InvalidError("no id", fields={"Idempotency-Key": "is empty"})
    if key and said is not None and str(said) != key:
        raise InvalidError("two ids", fields={"command_id": "the Idempotency-Key names another"})
    if key:
        given["command_id"] = key
    elif said is None:
        given["command_id"] = str(uuid.uuid4())
    return str(given["command_id"])


def _links(route: Route, request: AnyRequest, query: list[tuple[str, str]], answer: bytes) -> dict[str, str]:
    """Return the headers that lead on: to what was made, or to the next page."""
    if route.location:
        named = {name: str(value) for name, value in msgspec.json.decode(answer).items()}
        return {"location": API + route.location.format_map(named)}
    if route.method != "GET":
        return {}
    following = msgspec.json.decode(answer, type=_Paged).next
    if following is None:
        return {}
    again = [(name, value) for name, value in query if name != "after"]
    where = urlencode([*again, ("after", str(following))])
    return {"link": f'<{request.scope["path"]}?{where}>; rel="next"'}
