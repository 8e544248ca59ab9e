"""The Litestar app: a handler for each route of each operation, and nothing written per route.

Litestar finds the route and speaks ASGI. What it would do differently from the bus is not left to it: it
leaves out constraints on query parameters, its problems swap title and detail, its OpenAPI page describes
other errors than are sent.
"""

import re
from typing import Any, Final, cast

import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler, get
from litestar.response import Stream
from litestar.types import ASGIApp, Method

from contracts.codec import encode
from contracts.errors import (
    InternalError,
    MalformedError,
    MethodNotAllowedError,
    NotFoundError,
    RollcallError,
)
from contracts.operations import ALL, Operation
from contracts.operations.registry import API, Route
from services.gateway import exchange, problems, session
from services.gateway.door import Door
from services.gateway.exchange import JSON, Scope
from services.gateway.guard import CALLER, PROOF
from services.gateway.openapi import document
from services.gateway.session import Sessions

AnyRequest = Request[Any, Any, Any]

log = structlog.get_logger(__name__)

_NAMED: Final = re.compile(r"\{[^}]*\}")
_KINDS: dict[int, type[RollcallError]] = {
    400: MalformedError,
    404: NotFoundError,
    405: MethodNotAllowedError,
}


def app(door: Door, sessions: Sessions) -> Litestar:
    """Return the app of all operations."""
    handlers = [_handler(door, operation, route) for operation in ALL for route in operation.routes]
    handlers += [_description(), *_streams(door), *_session(sessions)]
    return Litestar(
        route_handlers=[*_options(handlers), *handlers],
        openapi_config=None,
        exception_handlers={Exception: _refused},
        request_max_body_size=None,  # each operation has its own
        logging_config=None,  # it would take the logging of the whole process over
        debug=False,
    )


def _handler(door: Door, operation: Operation, route: Route) -> HTTPRouteHandler:
    """Return a route that Litestar finds, and on which none of its layers has anything to do."""
    answer = cast("ASGIApp", door.at(operation, route))  # Litestar names its types otherwise

    def before(**_layers: object) -> ASGIApp:
        return answer

    async def unreached() -> None: ...

    path = (API + route.path).replace("}", ":str}")
    methods: tuple[Method, ...] = ("GET", "HEAD") if route.method == "GET" else (route.method,)
    return HTTPRouteHandler(path, http_method=methods, status_code=route.status, middleware=[before])(
        unreached
    )


def _streams(door: Door) -> list[HTTPRouteHandler]:
    """Return what never ends by itself: changes, and what passes over the bus."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}

    async def listen(request: AnyRequest) -> Stream:
        return Stream(
            door.changes(cast("Scope", request.scope)), media_type="text/event-stream", headers=headers
        )

    async def tap(request: AnyRequest) -> Stream:
        return Stream(
            door.traffic(cast("Scope", request.scope)), media_type="text/event-stream", headers=headers
        )

    return [
        HTTPRouteHandler(f"{API}/events", http_method="GET", status_code=200)(listen),
        HTTPRouteHandler(f"{API}/bus", http_method="GET", status_code=200)(tap),
    ]


def _session(sessions: Sessions) -> list[HTTPRouteHandler]:
    """Return who asks, and the end of a session; how one begins is the guard's."""
    headers = {"cache-control": "no-store"}

    async def who(request: AnyRequest) -> Response[bytes]:
        found = await sessions.shown(request.scope["state"][CALLER])
        return Response(found, media_type=JSON, headers=headers)

    async def leave(request: AnyRequest) -> Response[bytes]:
        if not request.scope["state"][PROOF][0]:  # a token that is no session ends by its own verb
            await sessions.leave(request.scope["state"][CALLER])
        cookie = session.baked("", request.headers, request.scope["scheme"], ends=True)
        return Response(b"{}", media_type=JSON, headers=headers | {"set-cookie": cookie})

    return [
        HTTPRouteHandler(session.PATH, http_method="GET", status_code=200)(who),
        HTTPRouteHandler(session.PATH, http_method="DELETE", status_code=200)(leave),
    ]


def _options(handlers: list[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Return what says which methods a path has: first, or Litestar names those of one handler only."""
    paths: dict[str, str] = {}
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            shape = _NAMED.sub("{}", path)
            paths.setdefault(shape, path)
            methods.setdefault(shape, {"OPTIONS"}).update(map(str, handler.http_methods))
    return [_allowing(paths[shape], ", ".join(sorted(found))) for shape, found in methods.items()]


def _allowing(path: str, allow: str) -> HTTPRouteHandler:
    async def options() -> Response[None]:
        headers = {**exchange.EACH, "allow": allow, "cache-control": "no-store"}
        return Response(None, status_code=204, headers=headers)

    return HTTPRouteHandler(path, http_method="OPTIONS", status_code=204)(options)


def _description() -> HTTPRouteHandler:
    body = encode(document())

    @get(f"{API}/openapi.json", sync_to_thread=False)
    def describe() -> Response[bytes]:
        return Response(body, media_type=JSON)

    return describe


def _refused(_request: AnyRequest, error: Exception) -> Response[Any]:
    """Return the problem for whatever went wrong; of what is nobody's mistake but ours, no more than that."""
    allow = ""
    if isinstance(error, RollcallError):
        said = error
    elif isinstance(error, HTTPException) and error.status_code in _KINDS:
        said = _KINDS[error.status_code]()
        allow = (error.headers or {}).get("allow", "")
    else:
        log.error("request.failed", exc_info=error)
        said = InternalError()
    body, headers = exchange.refusal(said.problem(), {"allow": allow} if allow else {})
    return Response(body, status_code=said.status, media_type=problems.MEDIA_TYPE, headers=headers)
