"""What is wrong with a value, in words: msgspec speaks of types and patterns, which no caller has to know."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.inspect import (
    DictType,
    LiteralType,
    Metadata,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from contracts.limits import TEXT_PATTERN

_PLACE: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")
_TYPE: Final = re.compile(r"Expected `([^`]+)`(?:, got `([^`]*)`)?")
_RANGE: Final = re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)")
_LENGTH: Final = re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)")
_NAMED: Final = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_ENUM: Final = re.compile(r"Invalid enum value '?(.*?)'?", re.DOTALL)
_TYPES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}
_GOT: Final = _TYPES | {"float": "a number with a fraction"}
_BOUNDS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_ALIKE: Final = 0.6


def wrong(error: msgspec.ValidationError, kind: object) -> tuple[str, str]:
    """Return where a value of this kind is wrong ("" for the whole), and why."""
    text = str(error)
    found = _PLACE.search(text)
    place = found[1] if found else ""
    at = list(_at(type_info(kind), place))
    return place.removeprefix("."), _why(text[: found.start()] if found else text, at)


def nearest(name: str, known: list[str]) -> str:
    """Return a hint at the nearest of the known names; "" when none is near."""
    close = difflib.get_close_matches(name[:80], known, n=1, cutoff=_ALIKE)
    return f"; did you mean {close[0]}?" if close else ""


def _why(text: str, at: list[Type]) -> str:
    if text.startswith("Expected `str` matching regex "):
        return _form(at)
    if found := _LENGTH.fullmatch(text):
        unit = "characters" if found[1] == "str" else "items"
        empty = found[2] == ">=" and found[3] == "1"
        return "must not be empty" if empty else f"must have {_BOUNDS[found[2]]} {found[3]} {unit}"
    if found := _RANGE.fullmatch(text):
        return f"must be {_BOUNDS[found[1]]} {found[2]}"
    if found := _NAMED.fullmatch(text):
        return f"{found[2]} is {'required' if found[1].startswith('missing') else 'not known'}"
    if found := _ENUM.fullmatch(text):
        known = sorted(str(value) for one in at if isinstance(one, LiteralType) for value in one.values)
        return f"must be one of {', '.join(known)}{nearest(found[1], known)}" if known else "is not known"
    return f"must be {_TYPES['datetime']}" if text.startswith("Invalid RFC3339") else _typed(text)


def _typed(text: str) -> str:
    if found := _TYPE.fullmatch(text):
        kinds = [_TYPES.get(one, one) for one in found[1].split(" | ") if one != "null"]
        got = _GOT.get(found[2] or "")
        return f"must be {' or '.join(kinds)}{f', not {got}' if got else ''}"
    return text


def _form(at: list[Type]) -> str:
    """Return what a text must look like, as its type describes it."""
    plain = [one for one in at if isinstance(one, StrType) and one.pattern == TEXT_PATTERN]
    if plain:
        return "must have no control characters but tab and line feed"
    schemas: list[Mapping[str, Any] | None] = [getattr(one, "extra_json_schema", None) for one in at]
    forms = (str(schema["description"]) for schema in schemas if schema and "description" in schema)
    form = next(forms, "of another form")
    return f"must be {form}"


def _at(kind: Type, place: str) -> Iterator[Type]:
    """Yield each type that may stand at a place."""
    kinds = list(_opened(kind))
    for step in _STEP.finditer(place):
        inner = [found for one in kinds for found in _below(one, step[1])]
        kinds = [found for one in inner for found in _opened(one)]
    yield from kinds


def _opened(kind: Type) -> Iterator[Type]:
    """Yield a type, and what it is made of where nothing is named."""
    yield kind
    if isinstance(kind, Metadata):
        yield from _opened(kind.type)
    elif isinstance(kind, UnionType):
        for one in kind.types:
            yield from _opened(one)


def _below(kind: Type, name: str | None) -> Iterator[Type]:
    """Yield what stands under a name, or in a list."""
    if isinstance(kind, StructType):
        yield from (field.type for field in kind.fields if field.encode_name == name)
    elif isinstance(kind, DictType):
        yield kind.value_type
    elif name is None:
        item: Any = getattr(kind, "item_type", None)
        if isinstance(kind, VarTupleType) or item is not None:
            yield item
