"""docs/operations.md, from the registry of operations."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, UNSET, Struct
from msgspec.inspect import (
    DateTimeType,
    DictType,
    Field,
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

from contracts import subjects
from contracts.errors import all_errors
from contracts.limits import WAITING_MAX
from contracts.operations import ALL, Operation
from contracts.operations.access import ACCESS
from contracts.operations.registry import API, PRIORITIES

_INTRODUCTION: Final = """\
# Operations

<!-- Written by `make generate`; edit contracts/operations, not this page. -->

Each operation is a NATS request with a JSON body to its subject, under the root (`rollcall.v1`). An answer
is JSON; a refusal has the header `Nats-Service-Error-Code` and a problem as its body: `code`, `status`,
`title`, `detail`, `retryable`, `retry_after_s`, `fields`, `state`. The subject says who asks: `<agent>`,
`<machine>` and `<operator>` are proved by the connection's permission. A command carries a `command_id` of
your own (a random UUID): sent again under the same id it is carried out once. Every operation may also be
refused as `malformed`, `invalid`, `too_large`, `forbidden`, `overloaded` or `unavailable`.

When more comes than can be done, what is more urgent is done first, and what is less urgent is refused at
once with `overloaded` and `retry_after_s`. The priorities, most urgent first, and how many commands of each
one service of one process has in hand before it refuses the next: {priorities}.
Answers on the stream (`….ack.…`) are never refused: what cannot be handled yet stays on the bus.
"""


def page() -> str:
    """Return the page."""
    priorities = ", ".join(f"`{priority}` {WAITING_MAX[priority]}" for priority in PRIORITIES)
    lines = [_INTRODUCTION.format(priorities=priorities)]
    for operation in ALL:
        lines += _operation(operation)
    errors = sorted(all_errors().items(), key=lambda item: (item[1].status, item[0]))
    lines += ["## Refusals\n", "| code | status | again? | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{code}` | {kind.status} | {'yes' if kind.retryable else 'no'} | {kind.title()} |"
        for code, kind in errors
    ]
    return "\n".join(lines) + "\n"


def subject(operation: Operation) -> str:
    """Return the subject under the root, with words for who asks."""
    if operation.scope == "agent":
        return subjects.agent_command("<agent>", operation.verb)
    if operation.scope == "machine":
        return subjects.machine_command("<machine>", operation.verb)
    return subjects.command(operation.owner, operation.verb, "<operator>")


def _operation(operation: Operation) -> Iterator[str]:
    what = "query" if operation.query else "command"
    yield f"## `{operation.name}`\n\n{operation.summary}\n"
    yield f"- subject: `{subject(operation)}` ({what}, answered by {operation.owner})"
    yield f"- over HTTP: {', '.join(f'`{route.method} {API}{route.path}`' for route in operation.routes)}"
    yield f"- tokens that may: {_roles(operation)}"
    yield f"- priority: `{operation.priority}`"
    if operation.scope != "machine":
        yield f"- at the command line: `rollcall {operation.command}`"
    yield f"- refusals: {', '.join(f'`{code}`' for code in operation.errors) or 'none of its own'}"
    yield from _fields("parameter", operation.params)
    yield from _fields("result", operation.result)
    yield ""


def _roles(operation: Operation) -> str:
    whose = {"own": "its own", "any": "all"}
    row = ACCESS.get(operation.name, {})
    return ", ".join(f"{role} ({whose[reach]})" for role, reach in row.items()) or "none"


def _fields(word: str, struct: type[Struct]) -> Iterator[str]:
    info = type_info(struct)
    assert isinstance(info, StructType)  # noqa: S101 - for the type checkers
    if not info.fields:
        yield f"\nNo {word}s."
        return
    yield f"\n| {word} | type | |\n|---|---|---|"
    for field in info.fields:
        yield f"| `{field.encode_name}` | {_words(field.type)} | {_presence(field)} |"


def _presence(field: Field) -> str:
    if field.required:
        return "required"
    if field.default in (NODEFAULT, UNSET, None, "", ()):
        return "optional"
    return f"default `{msgspec.json.encode(field.default).decode()}`"


def _words(kind: Type) -> str:
    """Return a type in words."""
    match kind:
        case Metadata(type=inner):
            text = _words(inner)
        case UnionType(types=types):
            text = " or ".join(_words(one) for one in types if not isinstance(one, NoneType))
        case VarTupleType(item_type=inner):
            text = f"list of {_words(inner)}"
        case DictType(value_type=inner):
            text = f"object of {_words(inner)}"
        case StructType(cls=cls):
            text = f"{cls.__name__} ({', '.join(f'`{field}`' for field in cls.__struct_encode_fields__)})"
        case LiteralType(values=values):
            text = ", ".join(f"`{value}`" for value in sorted(values, key=str))
        case IntType(ge=low, le=high):
            text = _range("integer", low, high)
        case StrType(min_length=low, max_length=high, pattern=pattern):
            text = _range("text", low, high, " characters") + (f" `{pattern}`" if pattern else "")
        case DateTimeType():
            text = "time (RFC 3339)"
        case _:
            text = type(kind).__name__.removesuffix("Type").lower()
    return text


def _range(word: str, low: Any, high: Any, unit: str = "") -> str:
    if low is None and high is None:
        return word
    return f"{word}, {low or 0} to {high}{unit}" if high is not None else f"{word}, at least {low}{unit}"
