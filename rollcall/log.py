"""Sets logging up, once: to standard error, JSON for machines, colours for people, never a secret.

Events are named in the past tense (`ping.sent`), with what they are about as keys (`task_id`, `agent`).
"""

import io
import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
import structlog
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MASK: Final = "***"
_SECRET_KEY: Final = re.compile(
    r"token(?!s)|secret|passw|credential|\bcreds\b|authorization|api_?key|\bseed\b|\bjwt\b|cookie",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"(?P<address>://)[^@/\s]+@"  # a name and password in an address
    r"|\brcl_[a-z]+_[A-Za-z0-9_]{8,}"  # our own tokens
    r"|\bS[ACNOUX][A-Z2-7]{54,}"  # seeds of NATS keys
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON web tokens
    r"|(?i:\b(?P<scheme>bearer|basic) )[\w.~+/=-]{8,}"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_encoder = msgspec.json.Encoder(enc_hook=str)


def setup(level: str = "info", form: str = "auto", *, stream: BinaryIO | None = None) -> None:
    """Log events of `level` and above, as `json` or for the `console`; `auto` looks who reads."""
    console = form == "console" or (form == "auto" and stream is None and sys.stderr.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(console=console),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(stream or _StandardError()),
        cache_logger_on_first_use=stream is None,
    )
    # asyncio and nats-py speak through the standard library: one form for all that is written
    logging.basicConfig(handlers=[_Forward()], level=max(threshold, logging.WARNING), force=True)


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Mask secrets, known by their keys or by their looks."""
    for key, value in event.items():
        event[key] = MASK if _SECRET_KEY.search(key) else _cleaned(value)
    return event


def _cleaned(value: Any) -> Any:
    whole: Any = value  # the match narrows `value` to containers of unknown things
    match value:
        case str():
            return _SECRET_TEXT.sub(_masked, value)
        case Mapping():
            return {k: MASK if _SECRET_KEY.search(str(k)) else _cleaned(v) for k, v in whole.items()}
        case list() | tuple() | set() | frozenset():
            return [_cleaned(item) for item in whole]
        case None | bool() | int() | float():
            return value
        case _:
            return _SECRET_TEXT.sub(_masked, str(value))


def _masked(found: re.Match[str]) -> str:
    if found["address"]:
        return f"://{MASK}@"
    return f"{found['scheme']} {MASK}" if found["scheme"] else MASK


def _processors(*, console: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # without local variables: they may hold secrets
        redact,
    ]
    if not console:
        return [*shared, _json]
    renderer = structlog.dev.ConsoleRenderer(
        colors=not os.environ.get("NO_COLOR"), exception_formatter=structlog.dev.plain_traceback
    )
    return [*shared, _one_line, renderer, _to_bytes]


def _json(_logger: Any, _method: str, event: EventDict) -> bytes:
    return _encoder.encode(event)


def _one_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape what could forge a line or steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    return event


def _to_bytes(_logger: Any, _method: str, text: str | MutableMapping[str, Any]) -> bytes:
    return str(text).encode(errors="backslashreplace")


class _StandardError(io.BytesIO):
    """Standard error as it is when a line is written: a logger outlives who redirected it."""

    def write(self, line: "ReadableBuffer", /) -> int:
        """Write to where standard error leads now."""
        return sys.stderr.buffer.write(line)

    def flush(self) -> None:
        """Flush where standard error leads now."""
        sys.stderr.buffer.flush()


class _Forward(logging.Handler):
    """Hands records of the standard library to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record under its logger's name."""
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )
