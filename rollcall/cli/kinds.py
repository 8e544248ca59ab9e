"""Turns the fields of an operation's parameters into options and arguments."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import click
import msgspec
from msgspec import NODEFAULT, UNSET, Struct
from msgspec.inspect import (
    BoolType,
    DateTimeType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from contracts.limits import INT_MAX
from rollcall.cli.spans import SPAN_FORM, TIME_FORM, parse_minutes, parse_time
from rollcall.cli.tree import array_of, object_of
from rollcall.cli.words import HELP, HELP_OF

FILE_BYTES_MAX: Final = 256 * 1024
CLEAR: Final = "none"
_CLEARED: Final = datetime.min.replace(tzinfo=UTC)  # a time that nobody can mean, where `none` was said
_HIDDEN: Final = ("command_id", "incarnation")


class Text(click.ParamType[str]):
    """Text within its limits."""

    name = "text"

    def __init__(self, kind: StrType, form: str) -> None:
        pattern = rf"(?:{kind.pattern})\Z" if kind.pattern else None  # $ alone lets a last newline pass
        self.meta = msgspec.Meta(min_length=kind.min_length, max_length=kind.max_length, pattern=pattern)
        self.type: Any = Annotated[str, self.meta]
        self.form = form or _limits(kind)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or fail with what is allowed."""
        try:
            value.encode()  # an argument that is not UTF-8 arrives with lone surrogates
            return str(msgspec.convert(value, self.type))
        except (msgspec.ValidationError, UnicodeEncodeError):
            self.fail(f"{value[:80]!r} is not allowed: {self.form}", param, ctx)


class Time(click.ParamType[datetime]):
    """An instant, as RFC 3339 has it."""

    name = "time"

    def __init__(self, *, clearable: bool = False) -> None:
        self.clearable = clearable

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant; `none` clears where that is possible."""
        if isinstance(value, datetime):
            return value
        if self.clearable and value == CLEAR:
            return _CLEARED
        found = parse_time(value)
        if found is None:
            more = ", or none" if self.clearable else ""
            self.fail(f"{value[:80]!r} is not {TIME_FORM}{more}", param, ctx)
        return found


class Span(click.IntRange):
    """Minutes, or a length of time."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the minutes."""
        found = parse_minutes(str(value))
        if found is None:
            self.fail(f"{str(value)[:80]!r} is not {SPAN_FORM}", param, ctx)
        minutes: int = super().convert(found, param, ctx)
        return minutes


class Word(click.Choice[str]):
    """One of several words, written with - or _."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word as it goes over the wire."""
        known = "-" if any("-" in word for word in self.choices) else "_"
        word: str = super().convert(str(value).replace("-", known).replace("_", known), param, ctx)
        return word.replace("-", "_")


class Part(click.ParamType[list[Any]]):
    """A small object: `kind`, `kind:name=value`, or JSON; `@FILE` holds many as TOML or JSON."""

    name = "part"

    def __init__(self, kind: type[Struct], key: str) -> None:
        self.kind = kind
        self.key = key

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the objects that one value stands for."""
        try:
            found = msgspec.to_builtins(msgspec.convert(self._read(value), list[self.kind]))  # type: ignore[name-defined]
        except msgspec.ValidationError as error:
            from contracts.wording import wrong

            place, why = wrong(error, list[self.kind])  # type: ignore[name-defined]
            self.fail(f"{value[:80]!r} is not allowed: {f'{place}: ' if place else ''}{why}", param, ctx)
        except (msgspec.MsgspecError, ValueError, OSError, RecursionError) as error:
            self.fail(f"{value[:80]!r} is not allowed: {error}", param, ctx)
        return list(found)

    def _read(self, value: str) -> list[Any]:
        if value.startswith("@"):
            return read_file(Path(value[1:]), self.key)
        if value.startswith(("{", "[")):
            found = msgspec.json.decode(value)
            return array_of(found)
        word, _, rest = value.partition(":")
        first, *others = msgspec.structs.fields(self.kind)
        known = [field.encode_name for field in others]
        more: dict[str, str] = {}
        for pair in filter(None, rest.split(",")):
            name, _, more[name] = pair.partition("=")
        if wrong := [name for name in more if name not in known]:
            raise ValueError(f"{wrong[0]!r} is not one of {', '.join(known)}")
        return [{first.encode_name: word} | more]


class Words(click.ParamType[list[Any]]):
    """Words, or numbers, with commas between them."""

    name = "words"

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the words."""
        return [self.inner.convert(word.strip(), param, ctx) for word in value.split(",") if word.strip()]


def read_file(path: Path, key: str) -> list[Any]:
    """Return the objects in a TOML or JSON file: a list, or a list under `key`."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"{path} has more than {FILE_BYTES_MAX} bytes")
    data = path.read_bytes()
    found: Any = msgspec.json.decode(data) if path.suffix == ".json" else _toml(data.decode())
    return array_of(object_of(found).get(key, found))


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def parameters(params: type[Struct], arguments: tuple[str, ...], operation: str) -> Iterator[click.Parameter]:
    """Yield the arguments in their order, then the options."""
    info = type_info(params)
    assert isinstance(info, StructType)  # noqa: S101 - for the type checkers
    fields = {field.name: field for field in info.fields}
    for name in arguments:
        yield _argument(fields[name], operation)
    for name, field in fields.items():
        if name not in arguments:
            yield _option(field, operation)


def _help(field: Field, operation: str) -> str | None:
    return HELP_OF.get(f"{operation}.{field.name}") or HELP.get(field.name)


def _argument(field: Field, operation: str) -> click.Argument:
    kind, _ = _plain(field)
    return click.Argument(
        [field.name], type=_kind(kind, field), required=field.required, help=_help(field, operation)
    )


def _option(field: Field, operation: str) -> click.Option:
    kind, _ = _plain(field)
    flag = field.name.replace("_", "-")
    settings: dict[str, Any] = {
        "help": _help(field, operation),
        "hidden": field.name in _HIDDEN,
        "required": field.required,
    }
    if isinstance(kind, BoolType):
        pair = f"--{flag}" if field.default is False else f"--{flag}/--no-{flag}"
        return click.Option([pair], default=None, is_flag=True, **settings)
    if isinstance(kind, VarTupleType):
        return click.Option([f"--{flag}"], type=_kind(kind, field), multiple=True, **settings)
    if field.default not in (NODEFAULT, None, UNSET, ""):
        settings["help"] = f"{settings['help']}  [default: {field.default}]"
    return click.Option([f"--{flag}"], type=_kind(kind, field), **settings)


def _kind(kind: Type, field: Field) -> click.ParamType[Any]:
    """Return how click reads a value of this type."""
    match kind:
        case Metadata(type=inner) if not isinstance(inner, StrType):
            return _kind(inner, field)
        case IntType(ge=low, le=high):
            return click.IntRange(low, None if high == INT_MAX else high)  # the rest is checked with the body
        case FloatType(ge=low, le=high):
            return click.FloatRange(low, high)
        case LiteralType(values=values):
            return Word(sorted(map(str, values)))
        case DateTimeType():
            return Time(clearable=_plain(field)[1])
        case VarTupleType(item_type=StructType(cls=cls)):
            return Part(cls, field.name)
        case VarTupleType(item_type=inner):
            return Words(_kind(inner, field))
        case _:
            return _text(kind)


def _text(kind: Type) -> Text:
    form = ""
    while isinstance(kind, Metadata):
        schema = object_of(getattr(kind, "extra_json_schema", None))  # msgspec leaves its dicts untyped
        form = form or str(schema.get("description", ""))
        kind = kind.type
    assert isinstance(kind, StrType), kind  # noqa: S101 - a new type of field needs its own reader
    return Text(kind, form)


def _plain(field: Field) -> tuple[Type, bool]:
    """Return the type without None and UNSET, and whether None says something of its own."""
    kind = field.type
    if not isinstance(kind, UnionType):
        return kind, False
    none = any(isinstance(part, NoneType) for part in kind.types)
    inner = [part for part in kind.types if not isinstance(part, NoneType)]
    return inner[0], none and not field.required and field.default is NODEFAULT


def _limits(kind: StrType) -> str:
    known = f"{kind.min_length or 0} to {kind.max_length or 'any number of'} characters"
    return f"{known}, no control characters" if kind.pattern else known


def is_repeated(value: Any) -> bool:
    """Return whether the value is that of an option that may be repeated."""
    return isinstance(value, tuple)


def body(params: type[Struct], values: dict[str, Any]) -> Struct:
    """Return the parameters that were given, checked; what was not given stays absent."""
    given: dict[str, Any] = {}
    for name, value in values.items():
        if is_repeated(value):
            if value:
                given[name] = list(chain.from_iterable(value))  # each use may carry several
        elif value is not None:
            given[name] = None if value is _CLEARED else value
    return msgspec.convert(given, params)
