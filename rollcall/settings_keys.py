"""Every key that can be set: its type, default, help and allowed form, read off the tree of settings."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    Field,
    IntType,
    LiteralType,
    Metadata,
    StructType,
    Type,
    UnionType,
    type_info,
)

from rollcall.settings import Settings
from rollcall.settings_values import format_duration

_PASSWORD: Final = re.compile(r"(://)[^@/\s]*@")
_WEB_PATH: Final = re.compile(
    r"(https?://[^/\s]+/)\S+"
)  # where it says which watch is meant: whoever knows it, calls it


class Key(Struct, frozen=True, kw_only=True):
    """One thing that can be set."""

    name: str
    attribute: str  # its name in the tree: with the unit
    type: Any
    default: Any
    help: str
    form: str  # what is allowed, in words
    kind: str  # duration, durations, names, secret, or nothing special


def text(key: Key, value: Any) -> str:
    """Return a value the way it is written in a file, with secrets masked."""
    match key.kind:
        case "duration":
            return format_duration(value)
        case "durations":
            return ", ".join(map(format_duration, value))
        case "names":
            return ", ".join(map(str, value))
        case "secret":
            return hidden(value)
        case _:
            return "" if value is None else str(value)


def masked(value: str) -> str:
    """Return an address without the name and password in it, and a web address without its path."""
    return _WEB_PATH.sub(r"\1***", _PASSWORD.sub(r"\1***@", value))


def hidden(value: str) -> str:
    """Return what may be shown of a secret: of an address all but the password, of anything else nothing."""
    return masked(value) if "://" in value or not value else "***"


def _keys(struct: StructType, prefix: str = "", attribute: str = "") -> Iterator[Key]:
    for field in struct.fields:
        if isinstance(field.type, StructType):
            yield from _keys(field.type, f"{prefix}{field.encode_name}.", f"{attribute}{field.name}.")
        else:
            yield _key(struct, field, prefix, attribute)


def _key(struct: StructType, field: Field, prefix: str, attribute: str) -> Key:
    found = {known.name: known for known in msgspec.structs.fields(struct.cls)}[field.name]
    inner, extra, schema = _unwrapped(field.type)
    return Key(
        name=f"{prefix}{field.encode_name}",
        attribute=f"{attribute}{field.name}",
        type=found.type,
        default=found.default,
        help=schema["description"],
        form=extra.get("form") or _form(inner),
        kind=extra.get("kind", ""),
    )


def _unwrapped(kind: Type) -> tuple[Type, dict[str, Any], dict[str, Any]]:
    """Return a type without its annotations and without None, and what the annotations say."""
    extra: dict[str, Any] = {}
    schema: dict[str, Any] = {}
    while isinstance(kind, Metadata | UnionType):
        if isinstance(kind, Metadata):
            annotated: Any = kind  # msgspec leaves its dicts untyped
            extra |= annotated.extra or {}
            schema |= annotated.extra_json_schema or {}
            kind = kind.type
        else:
            kind = kind.types[0]
    return kind, extra, schema


def _form(kind: Type) -> str:
    match kind:
        case LiteralType(values=values):
            return "one of " + ", ".join(map(str, sorted(values, key=str)))
        case BoolType():
            return "true or false"
        case IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case _:
            return "the path of a file or folder"


_TREE = type_info(Settings)
assert isinstance(_TREE, StructType)  # noqa: S101 - for the type checkers
KEYS: Final = {key.name: key for key in _keys(_TREE)}
SECTIONS: Final = {name.partition(".")[0] for name in KEYS if "." in name}
