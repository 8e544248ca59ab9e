"""rollcall/shell/verbs.json: what the verbs of agents take, read off their commands."""

import json
from typing import Any

import click
from msgspec.inspect import StructType, type_info

from contracts.limits import INT_MAX
from contracts.operations import ALL, Operation
from rollcall.cli.kinds import Span, Text, Time, Word, Words
from rollcall.cli.verbs import command

_LONG_WAY = {"nats_url", "creds_path", "config_path", "timeout_s"}


def table() -> str:
    """Return the file."""
    agents = [operation for operation in ALL if operation.scope == "agent"]
    found = {
        "aliases": {alias: operation.command for operation in agents for alias in operation.aliases},
        "verbs": {operation.command: _verb(operation) for operation in agents},
    }
    return f"{json.dumps(found, indent=1, ensure_ascii=False)}\n"


def _verb(operation: Operation) -> dict[str, Any]:
    info = type_info(operation.params)
    assert isinstance(info, StructType)  # noqa: S101 - for the type checkers
    names = {field.name for field in info.fields}
    parameters = command(operation, operation.command).params
    return {
        "operation": operation.name,
        "verb": operation.verb,
        "query": operation.query,
        "tag": info.tag,
        "session": "session" in names,
        "parameters": [_parameter(one) for one in parameters if one.name not in _LONG_WAY],
    }


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": parameter.name} | _kind(parameter)
    if isinstance(parameter, click.Option):
        found["flags"] = [*parameter.opts, *parameter.secondary_opts]
    if parameter.required:
        found["required"] = True
    if parameter.multiple if isinstance(parameter, click.Option) else False:
        found["many"] = True
    return found


def _kind(parameter: click.Parameter) -> dict[str, Any]:
    """Return what is allowed; a kind of value that the short way cannot read must not be in the table."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return {"kind": "flag"}
    found: dict[str, Any]
    match parameter.type:
        case Span(min=low, max=high):
            found = {"kind": "span", "min": low, "max": high}
        case click.IntRange(min=low, max=high):
            found = {"kind": "int", "min": low, "max": INT_MAX if high is None else high}
        case click.FloatRange(min=low, max=high):
            found = {"kind": "float", "min": low, "max": high}
        case click.Choice() as choice:
            found = {"kind": "word", "words": _words(choice)}
        case Time():
            found = {"kind": "time"}
        case Words(inner=Text() as inner):
            found = {"kind": "words"} | _limits(inner)
        case Text() as text:
            found = {"kind": "text"} | _limits(text)
        case click.types.StringParamType():
            found = {"kind": "text"}
        case other:
            raise TypeError(f"{parameter.name}: {other}")
    return found


def _words(choice: click.Choice[Any]) -> dict[str, str]:
    """Return each word as it may be typed, and as it goes over the wire."""
    wire = {str(word): str(word) for word in choice.choices}
    if isinstance(choice, Word):
        wire = {word: word.replace("-", "_") for word in wire}
        wire |= {word.replace("_", "-"): value for word, value in wire.items()}
        wire |= {word.replace("-", "_"): value for word, value in wire.items()}
    return wire


def _limits(text: Text) -> dict[str, Any]:
    meta = text.meta
    limits = {"min": meta.min_length, "max": meta.max_length, "pattern": meta.pattern}
    return {name: value for name, value in limits.items() if value is not None}
