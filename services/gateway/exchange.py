"""One request and its answer in ASGI's own words: a body that is read, an answer that is sent."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from contracts.errors import MalformedError, Problem, TooLargeError
from services.gateway import problems

JSON: Final = "application/json"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = Mapping[str, str]
"""Names in lower case; of a header that is said several times, the last."""

NOTHING: Final[Headers] = {}

EACH: Final[Headers] = {"x-content-type-options": "nosniff"}
"""What each answer of ours has."""

RawHeaders = list[tuple[bytes, bytes]]


def headers_of(scope: Scope) -> dict[str, str]:
    """Return what the headers of a request say."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(headers: Headers, receive: Receive, bytes_max: int) -> bytes:
    """Return the body; what is too large is not read to its end.

    Raises TooLargeError, and MalformedError when the caller went before it had said all.
    """
    length = headers.get("content-length", "")
    if not length and "transfer-encoding" not in headers:
        return b""  # a request that announces no body has none
    if length.isascii() and length.isdigit() and int(length[:19]) > bytes_max:
        raise TooLargeError(f"{length[:19]} bytes, the limit is {bytes_max}")
    found = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedError("the body did not come to its end")
        found += message.get("body", b"")
        more = message.get("more_body", False)
        if len(found) > bytes_max:
            raise TooLargeError(f"more than {bytes_max} bytes")
    return bytes(found)


async def send_body(send: Send, status: int, kind: str, body: bytes, more: Headers) -> None:
    """Send a whole answer, with these headers beside those that each has."""
    headers = {"content-type": kind, "content-length": str(len(body)), **EACH, **more}
    await send_raw(send, status, [(name.encode(), value.encode()) for name, value in headers.items()], body)


def refusal(problem: Problem, more: Headers = NOTHING) -> tuple[bytes, dict[str, str]]:
    """Return a refusal as it is sent, and its headers, whoever sends it."""
    return problems.body(problem), {**EACH, **problems.headers(problem), **more}


async def refuse(send: Send, problem: Problem, more: Headers = NOTHING) -> None:
    """Send a refusal."""
    body, headers = refusal(problem, more)
    await send_body(send, problem.status, problems.MEDIA_TYPE, body, headers)


async def send_raw(send: Send, status: int, raw: RawHeaders, body: bytes) -> None:
    """Send a whole answer with just these headers."""
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
