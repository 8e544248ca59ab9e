"""Records to rows and back; lists are JSON text, everything else is the driver's own."""

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec
from msgspec import Struct

_PLACE = re.compile(r"\$\[(\d+)\]")
R = TypeVar("R", bound=Struct)


class CommandRow(Struct, frozen=True, kw_only=True, gc=False):
    """The answer given under a command id."""

    actor: str
    command_id: str
    digest: bytes
    answer: bytes
    problem: bytes | None
    created_at: int


def columns(kind: type[Struct]) -> tuple[str, ...]:
    """Return the columns of a record, which are its fields in their order."""
    return kind.__struct_fields__


def _json_columns(kind: type[Struct], names: Sequence[str]) -> tuple[int, ...]:
    hints = get_type_hints(kind)
    return tuple(place for place, name in enumerate(names) if get_origin(hints[name]) is tuple)


def reader(kind: type[R]) -> Callable[[Sequence[Any]], R]:
    """Return what makes a record of a row; a row that is not one raises msgspec.ValidationError."""
    names = columns(kind)
    lists = _json_columns(kind, names)
    decode = msgspec.json.decode
    convert = msgspec.convert
    if kind.__struct_config__.array_like:
        return _array_reader(kind, lists)

    def read(row: Sequence[Any]) -> R:
        found = dict(zip(names, row, strict=True))
        for place in lists:
            found[names[place]] = decode(row[place])
        return convert(found, kind, strict=False)  # not strict: SQLite has no booleans, only 0 and 1

    return read


def _array_reader(kind: type[R], lists: tuple[int, ...]) -> Callable[[Sequence[Any]], R]:
    """Return what makes a record of a row without naming its fields: five times as fast."""
    decode = msgspec.json.decode
    convert = msgspec.convert
    names = columns(kind)

    def named(place: re.Match[str]) -> str:
        return f"$.{names[int(place[1])]}"

    def read(row: Sequence[Any]) -> R:
        if len(row) != len(names):
            raise msgspec.ValidationError(f"{len(row)} values for the {len(names)} fields of {kind.__name__}")
        values: Sequence[Any] = row
        if lists:
            values = list(row)
            for place in lists:
                values[place] = decode(row[place])
        try:
            return convert(values, kind, strict=False)  # not strict: as above
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(_PLACE.sub(named, str(error))) from error

    return read


def binder(kind: type[Struct], names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the named parameters out of a record."""
    take = attrgetter(*names)
    lists = _json_columns(kind, names)
    if not lists:
        return take

    def bind(record: Any) -> tuple[Any, ...]:
        values = list(take(record))
        for place in lists:
            values[place] = msgspec.json.encode(values[place]).decode()
        return tuple(values)

    return bind
