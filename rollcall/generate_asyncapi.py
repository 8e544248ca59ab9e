"""docs/asyncapi.json: the AsyncAPI 3 document of the bus, from the operations and the channels."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus.streams import stream_name
from contracts import subjects
from contracts.channels import CHANNELS, Channel
from contracts.errors import Problem
from contracts.operations import ALL, Operation
from contracts.operations.access import ACCESS
from rollcall.generate_operations import subject

VERSION: Final = "1.0.0"  # of the interface
_JSON: Final = "application/json"
_SCHEMA: Final = "#/components/schemas/{name}"
_TOKEN: Final = re.compile(r"\{(\w+)\}")
_WHO: Final = re.compile(r"<(\w+)>")
_TOKENS: Final = {
    "agent": "An agent's name, as its credential proves it.",
    "machine": "A machine's name, as its credential proves it.",
    "operator": "Who asks, as the credential proves it.",
    "assignment": "The number of an assignment: a new one for each holder of a task.",
}
Json = dict[str, Any]
Names = dict[type[Struct], str]  # of the components


def document() -> Json:
    """Return the document."""
    kinds: list[type[Struct]] = [Problem]
    kinds += [kind for channel in CHANNELS for kind in _kinds(channel)]
    kinds += [kind for operation in ALL for kind in (operation.params, operation.result)]
    kinds = list(dict.fromkeys(kinds))
    refs, schemas = msgspec.json.schema_components(kinds, ref_template=_SCHEMA)
    named: Names = {kind: ref["$ref"].rpartition("/")[2] for kind, ref in zip(kinds, refs, strict=True)}
    found: Json = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollcall",
            "version": VERSION,
            "description": "All that is said on the bus: JSON over NATS. Operations are requests in the "
            "protocol of NATS micro (ADR-32); a refusal has the header Nats-Service-Error-Code.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": _JSON,
        "servers": {"local": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": _channels(named),
        "operations": _operations(),
        "components": {
            "schemas": schemas,
            "messages": {
                name: _message(kind, name) for kind, name in sorted(named.items(), key=lambda pair: pair[1])
            },
        },
    }
    plain: Json = msgspec.json.decode(msgspec.json.encode(found))  # a default may be a tuple, or a time
    return plain


def _kinds(channel: Channel) -> tuple[type[Struct], ...]:
    return (*channel.carries, *((channel.answer,) if channel.answer else ()))


def _message(kind: type[Struct], name: str) -> Json:
    found: Json = {"name": name, "contentType": _JSON, "payload": {"$ref": _SCHEMA.format(name=name)}}
    if kind is Problem:
        status: Json = {"type": "string", "pattern": "^[45][0-9]{2}$"}
        found["headers"] = {"type": "object", "properties": {"Nats-Service-Error-Code": status}}
    return found


def _channels(named: Names) -> Json:
    found = {
        channel.name: _channel(channel.subject, channel.summary, channel.carries, named)
        for channel in CHANNELS
    }
    for channel in CHANNELS:
        if channel.stream:
            found[channel.name]["x-nats-stream"] = stream_name(subjects.ROOT, channel.stream)
        if channel.answer:
            found[f"{channel.name}.reply"] = _inbox((channel.answer,), named)
    for operation in ALL:
        address = _WHO.sub(r"{\1}", subject(operation))
        found[operation.name] = _channel(address, operation.summary, (operation.params,), named)
        found[f"{operation.name}.reply"] = _inbox((operation.result, Problem), named)
    return found


def _channel(under: str, summary: str, kinds: Sequence[type[Struct]], named: Names) -> Json:
    tokens = _TOKEN.findall(under)
    found: Json = {
        "address": f"{subjects.ROOT}.{under}",
        "summary": summary,
        "messages": _messages(kinds, named),
    }
    if tokens:
        found["parameters"] = {token: {"description": _TOKENS.get(token, "One token.")} for token in tokens}
    return found


def _inbox(kinds: Sequence[type[Struct]], named: Names) -> Json:
    """Return where a reply goes: to whatever the request names."""
    return {"address": None, "messages": _messages(kinds, named)}


def _messages(kinds: Sequence[type[Struct]], named: Names) -> Json:
    return {named[kind]: {"$ref": f"#/components/messages/{named[kind]}"} for kind in kinds}


def _operations() -> Json:
    found: Json = {}
    for channel in CHANNELS:
        action = "send" if channel.says == "rollcall" else "receive"
        found[channel.name] = {"action": action, "channel": _to(channel.name), "summary": channel.summary}
        if channel.answer:
            found[channel.name]["reply"] = {"channel": _to(f"{channel.name}.reply")}
    for operation in ALL:
        found[operation.name] = _operation(operation)
    return found


def _operation(operation: Operation) -> Json:
    return {
        "action": "receive",
        "channel": _to(operation.name),
        "summary": operation.summary,
        "reply": {"channel": _to(f"{operation.name}.reply")},
        "bindings": {"nats": {"queue": f"rollcall-{operation.owner}"}},
        "x-scope": operation.scope,
        "x-query": operation.query,
        "x-errors": list(operation.errors),
        "x-roles": sorted(ACCESS.get(operation.name, {})),
        "x-bytes-max": operation.bytes_max,
    }


def _to(name: str) -> Json:
    return {"$ref": f"#/channels/{name}"}
