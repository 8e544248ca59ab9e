"""Parameters from path, query and body: every field that is wrong is named, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct

from contracts import wording
from contracts.codec import decode
from contracts.errors import InvalidError, MalformedError
from contracts.operations import Operation
from contracts.operations.registry import Route

Given = dict[str, Any]

FIELDS_MAX: Final = 200  # to name each that is unknown, with the nearest known, takes time


class Text(str):
    """A value that was said as text: in a path or a query a number has no other form."""

    __slots__ = ()


class Texts(tuple[str, ...]):
    """The values of a list that was said as text."""

    __slots__ = ()


def gather(
    operation: Operation,
    route: Route,
    *,
    path: Mapping[str, str],
    query: Sequence[tuple[str, str]],
    body: bytes,
) -> Given:
    """Return all that was said, under the names of the parameters; nothing is judged but that it agrees.

    Raises MalformedError, TooLargeError, and InvalidError where two places say different things.
    """
    words = dict(route.words)
    given: Given = {}
    wrong: dict[str, str] = {}

    def say(name: str, value: Any) -> None:
        name = words.get(name, name)
        if name in given and str(given[name]) != str(value):
            wrong[name] = "is said twice, and differently"
        given[name] = value

    for name, value in path.items():
        say(name, Text(value))
    for name, value in _asked(operation, query).items():
        say(name, value)
    for name, value in _object(body, operation.bytes_max).items():
        say(name, value)
    if wrong:
        raise InvalidError(_detail(wrong), fields=wrong)
    return given


def built(operation: Operation, given: Given) -> Struct:
    """Return the parameters, or raise InvalidError with every field that is missing, unknown or wrong."""
    readers = _readers(operation.params)
    tag = operation.params.__struct_config__.tag_field
    wrong: dict[str, str] = {}
    found: Given = {}
    for name, value in given.items():
        if name == tag:
            if value != operation.params.__struct_config__.tag:
                wrong[name] = f"this is {operation.params.__struct_config__.tag!r}"
        elif name not in readers:
            wrong[name] = _unknown(name, readers)
        else:
            try:
                found[name] = readers[name](value)
            except msgspec.ValidationError as error:
                wrong[name] = _told(error, readers[name], value)
    for name in _required(operation.params):
        if name not in given:
            wrong[name] = "is required"
    if wrong:
        raise InvalidError(_detail(wrong), fields=wrong)
    return operation.params(**found)


def asked_of_stream(query: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """Return what a query says of a stream; raises InvalidError for what is unknown, or said twice."""
    wrong: dict[str, str] = {}
    found: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            wrong[name[:80]] = _unknown(name, dict.fromkeys(known))
        elif name in found:
            wrong[name] = "is said twice"
        elif not value:
            wrong[name] = "is empty"
        found[name] = value
    if wrong:
        raise InvalidError(_detail(wrong), fields=wrong)
    return found


def _object(body: bytes, bytes_max: int) -> Given:
    if not body:
        return {}
    try:
        fields = decode(body, dict[str, Any], bytes_max=bytes_max)
        if len(fields) > FIELDS_MAX:
            raise MalformedError(f"more than {FIELDS_MAX} fields")
        return {name: _whole(value) for name, value in fields.items()}
    except InvalidError as error:
        raise MalformedError("the body is no JSON object") from error
    except RecursionError as error:  # it can be read deeper than it can be walked
        raise MalformedError("the body is nested too deeply") from error


def _whole(value: Any) -> Any:
    """Return a value with 5 for 5.0, which is the same number in JSON."""
    whole: Any = value  # the match narrows `value` to containers of unknown things
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(item) for item in whole]
        case dict():
            return {name: _whole(item) for name, item in whole.items()}
        case _:
            return value


def _asked(operation: Operation, query: Sequence[tuple[str, str]]) -> Given:
    """Return what a query says; a name that may stand several times makes a list."""
    lists = _lists(operation.params)
    found: Given = {}
    for name, value in query:
        if name in lists:
            found[name] = Texts((*found.get(name, ()), value))
        elif name in found:
            raise InvalidError(f"{name[:80]} is said twice", fields={name[:80]: "is said twice"})
        else:
            found[name] = Text(value)
    return found


def _unknown(name: str, known: Mapping[str, object]) -> str:
    return f"is not known{wording.nearest(name, list(known))}"


def _told(error: msgspec.ValidationError, reader: _Reader, value: Any) -> str:
    """Return what is wrong, without the name of the field, which is said beside it."""
    place, why = wording.wrong(error, reader.alone)
    if isinstance(value, Text | Texts):
        why = why.removesuffix(", not text")  # nothing else can be said there
    inner = place.removeprefix(reader.name)
    return f"{why} - at `{inner}`" if inner else why


def _detail(wrong: Mapping[str, str]) -> str:
    return "; ".join(f"{name[:80]}: {why}" for name, why in list(wrong.items())[:8])


@cache
def _required(params: type[Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(params) if field.required)


@cache
def _lists(params: type[Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(params) if _is_list(field.type))


def _is_list(kind: Any) -> bool:
    if hasattr(kind, "__metadata__"):
        return _is_list(kind.__origin__)
    return get_origin(kind) is tuple or any(_is_list(part) for part in get_args(kind) if part is not kind)


@cache
def _readers(params: type[Struct]) -> Mapping[str, _Reader]:
    """Return what reads each field: a struct of that field alone, so that one error does not hide another."""
    hints = get_type_hints(params, include_extras=True)
    return {
        field.encode_name: _Reader(field.name, hints[field.name], field.default)
        for field in msgspec.structs.fields(params)
    }


class _Reader:
    """Reads one field."""

    def __init__(self, name: str, kind: Any, default: Any) -> None:
        one = (name, kind) if default is NODEFAULT else (name, kind, default)
        self.name = name
        self.alone = msgspec.defstruct(name, [one])

    def __call__(self, value: Any) -> Any:
        name, alone = self.name, self.alone
        if not isinstance(value, Text | Texts):
            return getattr(msgspec.convert({name: value}, alone), name)
        plain = list(value) if isinstance(value, Texts) else str(value)
        found = getattr(msgspec.convert({name: plain}, alone, strict=False), name)
        if isinstance(value, Texts):
            for number, text in zip(found, value, strict=True):
                _refuse_other_forms(number, text)
        else:
            _refuse_other_forms(found, value)
        return found


def number(value: Any) -> int:
    """Return a whole number as it was said; raises msgspec.ValidationError."""
    found = msgspec.convert(value, int, strict=not isinstance(value, Text))
    if isinstance(value, Text):
        _refuse_other_forms(found, value)
    return found


def _refuse_other_forms(found: Any, said: str) -> None:
    """Refuse 3.0 and 3e0 for 3: a thing has one address, and not as many as a number has forms."""
    if type(found) is int and str(found) != said:
        raise msgspec.ValidationError(f"Expected `int`, got `{said[:80]}`")
