"""One way to read what comes in and to write what goes out; hostile input ends as a named error."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from contracts.errors import InvalidError, MalformedError, TooLargeError
from contracts.limits import INSTANT_MAX, MESSAGE_BYTES_MAX
from contracts.wording import wrong

T = TypeVar("T")
_decoders: dict[object, msgspec.json.Decoder[Any]] = {}
_encoder = msgspec.json.Encoder(order="deterministic")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode(value: object) -> bytes:
    """Return `value` as JSON: the same bytes for the same value, dictionaries with sorted keys."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T], *, bytes_max: int = MESSAGE_BYTES_MAX) -> T:
    """Read JSON of the given kind, or raise TooLargeError, MalformedError or InvalidError."""
    found: T = decode_union(data, kind, bytes_max=bytes_max)
    return found


def decode_union(data: bytes, kind: object, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Any:
    """Read JSON of one of several kinds, given as their union; raises as `decode` does."""
    if len(data) > bytes_max:
        raise TooLargeError(f"{len(data)} bytes, the limit is {bytes_max}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        place, why = wrong(error, kind)
        raise InvalidError(f"{place}: {why}" if place else why) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # bad UTF-8 is a ValueError and deep nesting a RecursionError, neither a MsgspecError
        raise MalformedError(f"not readable as JSON: {type(error).__name__}") from error


def micros(at: datetime) -> int:
    """Return an aware datetime as microseconds since the epoch; naive ones are refused."""
    if at.tzinfo is None:
        raise InvalidError("a time needs its zone, for example 2026-01-31T12:00:00Z")
    found = (at - _EPOCH) // _MICROSECOND
    if not 0 <= found <= INSTANT_MAX:
        raise InvalidError("a time must lie between 1970 and 3000")
    return found


def instant(at: int) -> datetime:
    """Return microseconds since the epoch as an aware datetime."""
    return _EPOCH + at * _MICROSECOND


def readable(data: bytes) -> tuple[str, str]:
    """Return (text, base64): the text when the bytes are UTF-8, else their base64."""
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        return "", base64.b64encode(data).decode()
