"""The little of HTTP/1.1 that a command needs: one request after the other, each body of a known length."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from contracts.codec import encode
from contracts.errors import MalformedError, Problem, TooLargeError

HEAD_BYTES_MAX: Final = 8 * 1024
BODY_BYTES_MAX: Final = 256 * 1024
AGAIN_S: Final = 1  # where a refusal that may be repeated does not say when
_PASSING: Final = frozenset({429, 503})
_END: Final = b"\r\n\r\n"
_LINE: Final = re.compile(r"([A-Z]{1,16}) (/[!-~]{0,2000}) HTTP/1\.([01])")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Request(Struct, frozen=True, kw_only=True):
    """One request, whole."""

    method: str
    path: str
    headers: Mapping[str, str]  # by name in lower case
    body: bytes
    keeps: bool  # whether the connection goes on after the answer


class Answer(Struct, frozen=True, kw_only=True):
    """What goes back."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: Mapping[str, str] = _NONE

    @classmethod
    def of(cls, problem: Problem, headers: Mapping[str, str] = _NONE) -> "Answer":
        """Return a refusal, with what a client of HTTP looks for in its headers."""
        more = dict(headers)
        if problem.status in _PASSING:
            more["Retry-After"] = str(problem.retry_after_s or AGAIN_S)
        return cls(status=problem.status, body=encode(problem), kind="application/problem+json", headers=more)


class BadRequestError(Exception):
    """What came is no request that is answered here; nothing that follows it can be understood."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        kind = TooLargeError if status in {413, 431} else MalformedError
        known = kind(detail).problem()
        self.problem = Problem(code=known.code, status=status, title=known.title, detail=detail)


async def read(reader: asyncio.StreamReader, begun: bytes = b"") -> Request | None:
    """Return the next request, None when the other side has gone, or raise BadRequestError.

    `begun` is what was read of it already; the reader's own limit is that of the head.
    """
    try:
        head = begun + await reader.readuntil(_END)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequestError(f"the head has more than {HEAD_BYTES_MAX} bytes", 431) from error
    line, *rest = head[: -len(_END)].decode("latin-1").split("\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        raise BadRequestError("the first line is not METHOD /path HTTP/1.1")
    headers = _headers(rest)
    length = _length(headers)
    try:
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    wanted = headers.get("connection", "").lower()
    keeps = wanted != "close" if found[3] == "1" else wanted == "keep-alive"
    return Request(method=found[1], path=found[2], headers=headers, body=body, keeps=keeps)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequestError("a header is not NAME: VALUE")
        name, value = found[1].lower(), found[2].strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise BadRequestError("two lengths")
        headers[name] = value
    return headers


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequestError("a body is sent whole, with its Content-Length", 501)
    text = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(text):
        raise BadRequestError("Content-Length is not a number of bytes")
    if int(text) > BODY_BYTES_MAX:
        raise BadRequestError(f"the body has more than {BODY_BYTES_MAX} bytes", 413)
    return int(text)


def written(answer: Answer, *, keeps: bool) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {answer.status} {_reason(answer.status)}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'keep-alive' if keeps else 'close'}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + _END + answer.body


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a status that only we know
        return "Refused"
