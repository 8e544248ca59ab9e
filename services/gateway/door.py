"""One operation over HTTP: may this caller, what does it say, what is the answer."""

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import anyio
import msgspec
from msgspec import Struct

from contracts.errors import (
    ForbiddenError,
    InvalidError,
    MalformedError,
    NotAcceptableError,
    RollcallError,
    UnsupportedMediaError,
)
from contracts.events import AGGREGATES
from contracts.operations import Operation
from contracts.operations.access import STREAM, TRAFFIC, reach
from contracts.operations.registry import API, Route
from contracts.wording import nearest
from contracts.work import Committed
from services.gateway import events, problems, reading, versions, waiting
from services.gateway.asking import Desk
from services.gateway.exchange import JSON, App, Headers, Receive, Scope, Send, read_body, refuse, send_body
from services.gateway.guard import CALLER, HEADERS, PROOF
from services.gateway.identity import Caller, Doorkeeper
from services.gateway.traffic import Tap

NEXT: Final = "assignment.next"
TASK: Final = "task_id"  # how the first system named an assignment: by its task
AGENT: Final = "agent"  # in the path of an agent's own verbs: who speaks
_SPOKEN: Final = ("application/json", "application/problem+json", "application/*", "*/*")
_NONE: Final = re.compile(r"q=0(?:\.0{0,3})?")  # of a kind of answer: this one not

Query = list[tuple[str, str]]
Leads = Callable[[str, Query, bytes], dict[str, str]]
"""Returns the headers that lead on, from the path, the query and the answer."""


class Way(Struct, frozen=True):
    """One way to an operation, and what is known of its answers beforehand."""

    operation: Operation
    route: Route
    tag: Callable[[bytes], dict[str, str]]  # the header that names the version of what is shown
    leads: Leads


class Door:
    """Answers the operations."""

    def __init__(self, desk: Desk, keeper: Doorkeeper, hub: events.Hub, tap: Tap, stop: anyio.Event) -> None:
        """Keep who asks the others, knows the tokens, hears of changes, hears the bus, and when it ends."""
        self._desk = desk
        self._keeper = keeper
        self._hub = hub
        self._tap = tap
        self._stop = stop

    def at(self, operation: Operation, route: Route) -> App:
        """Return what answers at a route."""
        way = Way(operation, route, versions.tagger(operation), _leads(operation, route))

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self._answer(way, scope, receive, send)
            except RollcallError as error:
                await refuse(send, error.problem())

        return answer

    async def _answer(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises RollcallError to refuse it."""
        operation, route = way.operation, way.route
        headers: Headers = scope["state"][HEADERS]
        path = dict(scope["path_params"])
        who = await self._who(operation, scope["state"][CALLER], path)
        _check_media(headers)
        body = await read_body(headers, receive, operation.bytes_max)
        query = _query(scope)
        given = reading.gather(operation, route, path=path, query=query, body=body)
        if TASK in given and route in operation.http and operation.scope == "agent":
            given["assignment"] = await self._desk.assignment_of(_number(given.pop(TASK)), who)
        said = {"cache-control": "no-store"}
        if not operation.query:
            said["idempotency-key"] = _take_key(headers, given)
        versions.expect(operation, route, headers, given)
        params = reading.built(operation, given)
        committed = await self._ask(operation, who, params, scope["state"])
        if committed.problem is not None:
            await refuse(send, committed.problem)
            return
        said |= way.tag(committed.answer)
        said |= way.leads(scope["path"], query, committed.answer)
        await send_body(send, route.status, JSON, committed.answer, said)

    async def _ask(
        self, operation: Operation, who: str, params: Struct, state: Mapping[str, Any]
    ) -> Committed:
        headers: Headers = state[HEADERS]
        ask = partial(self._desk.ask, operation, who, params, headers.get("traceparent", ""))
        if operation.name != NEXT or not (wait_s := waiting.preferred(headers.get("prefer", ""))):
            return await ask()

        async def still_ask() -> Committed:
            await self._keeper.admit(*state[PROOF])  # a wait ends with its token
            return await ask()

        return await waiting.until_due(self._desk.context, who, still_ask, wait_s, self._stop)

    def changes(self, scope: Scope) -> AsyncIterator[bytes]:
        """Return a stream of changes; raises RollcallError to refuse it."""
        still = self._still(STREAM, scope)
        asked = reading.asked_of_stream(_query(scope), events.ASKED)
        aggregate = asked.get("aggregate")
        if aggregate is not None and aggregate not in AGGREGATES:
            why = f"is not known{nearest(aggregate, list(AGGREGATES))}"
            raise InvalidError(f"aggregate: {why}", fields={"aggregate": why})
        after = scope["state"][HEADERS].get("last-event-id", "")
        place = events.Place(after, aggregate, asked.get("id"))
        return self._hub.open(scope["state"][CALLER].name, place, still)

    def traffic(self, scope: Scope) -> AsyncIterator[bytes]:
        """Return a stream of what passes over the bus; raises RollcallError to refuse it."""
        reading.asked_of_stream(_query(scope), ())
        return self._tap.open(scope["state"][CALLER].name, self._still(TRAFFIC, scope))

    def _still(self, stream: str, scope: Scope) -> Callable[[], Awaitable[bool]]:
        """Return who knows how long a caller may listen; raises ForbiddenError if it may not."""
        caller: Caller = scope["state"][CALLER]
        if reach(stream, caller.role) is None:
            raise ForbiddenError(f"a token of scope {caller.role} may not do {stream}")
        proof = scope["state"][PROOF]

        async def still() -> bool:
            """Look whether the token counts: a stream ends with it."""
            try:
                return await self._keeper.admit(*proof) == caller
            except RollcallError:
                return False

        return still

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


def _check_media(headers: Headers) -> None:
    if not _accepts(headers.get("accept", "*/*")):
        raise NotAcceptableError(f"{JSON} and {problems.MEDIA_TYPE} are spoken here")
    kind, _, more = headers.get("content-type", JSON).partition(";")
    charset = re.sub(r"\s|\"", "", more).lower()
    if kind.strip().lower() != JSON or charset not in {"", "charset=utf-8", "charset=utf8"}:
        raise UnsupportedMediaError(f"{JSON} in UTF-8 is spoken here")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaError("bodies are not packed here")


def _accepts(said: str) -> bool:
    """Return whether JSON is an answer: what is named most closely counts, and q=0 says not."""
    found: dict[str, bool] = {}
    for one in said.lower().split(","):
        kind, *more = map(str.strip, one.split(";"))
        found[kind] = not any(_NONE.fullmatch(part) for part in more)
    closest = found.get(JSON)
    if closest is not None:
        return closest
    return any(found.get(kind, False) for kind in _SPOKEN)


def _query(scope: Scope) -> Query:
    raw = scope["query_string"].decode("ascii", "replace")
    try:
        return parse_qsl(raw, keep_blank_values=True, max_num_fields=reading.FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise MalformedError("the query cannot be read") from error


def _is_number(text: str) -> bool:
    """Return whether it is written in digits: other scripts have some that no number is read from."""
    return text.isascii() and text.isdigit()


def _number(value: Any) -> int:
    try:
        return reading.number(value)
    except msgspec.ValidationError as error:
        raise InvalidError("task_id is a number", fields={TASK: "is no number"}) from error


def _take_key(headers: Headers, given: reading.Given) -> str:
    """Return under which id the command is sent; the header and the body may not name two."""
    header = headers.get("idempotency-key")
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


class _Paged(Struct):
    next: int | str | None = None


def _leads(operation: Operation, route: Route) -> Leads:
    """Return what finds the headers that lead on: to what was made, or to the next page."""

    def made(_path: str, _query: Query, answer: bytes) -> dict[str, str]:
        named = {name: str(value) for name, value in msgspec.json.decode(answer).items()}
        return {"location": API + route.location.format_map(named)}

    def paged(path: str, query: Query, answer: bytes) -> dict[str, str]:
        following = page.decode(answer).next
        if following is None:
            return {}
        again = [(name, value) for name, value in query if name != "after"]
        return {"link": f'<{path}?{urlencode([*again, ("after", str(following))])}>; rel="next"'}

    if route.location:
        return made
    page = msgspec.json.Decoder(_Paged)
    pages = route.method == "GET" and "next" in operation.result.__struct_fields__
    return paged if pages else lambda _path, _query, _answer: {}
