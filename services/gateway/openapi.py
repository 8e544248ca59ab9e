"""The OpenAPI 3.1 document, from the operations: what is sent, what is answered, how it is refused."""

import re
from functools import cache
from typing import Any, Final

import msgspec

from contracts.errors import all_errors
from contracts.operations import ALL, Operation
from contracts.operations.access import ACCESS, STREAM, TRAFFIC
from contracts.operations.registry import API, Route
from services.gateway.problems import MEDIA_TYPE, HttpProblem
from services.gateway.versions import is_edit, version_in

VERSION: Final = "1.0.0"  # of the interface
_ANY: Final = (
    "malformed",
    "unauthorized",
    "forbidden",
    "not_found",
    "not_acceptable",
    "too_large",
    "unsupported_media",
    "misdirected",
    "invalid",
    "overloaded",
    "internal",
    "unavailable",
)
_REF: Final = "#/components/schemas/{name}"
_EVENTS: Final[dict[str, Any]] = {"text/event-stream": {"schema": {"type": "string"}}}
_IN_PATH: Final = re.compile(r"\{(\w+)\}")
Schema = dict[str, Any]


@cache
def document() -> Schema:
    """Return the document."""
    kinds = [kind for operation in ALL for kind in (operation.params, operation.result)]
    kinds = list(dict.fromkeys([*kinds, HttpProblem]))
    refs, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas: dict[type, Schema] = {
        kind: components[ref["$ref"].rpartition("/")[2]] for kind, ref in zip(kinds, refs, strict=True)
    }
    named: dict[type, Schema] = dict(zip(kinds, refs, strict=True))
    paths: dict[str, Schema] = {}
    for operation in ALL:
        for place, route in enumerate(operation.routes):
            entry = _operation(operation, route, place, schemas, named)
            paths.setdefault(API + route.path, {})[route.method.lower()] = entry
    paths[f"{API}/events"] = {"get": _stream()}
    paths[f"{API}/bus"] = {"get": _traffic()}
    found: Schema = {
        "openapi": "3.1.1",
        "info": {
            "title": "Rollcall",
            "version": VERSION,
            "summary": "Tasks, agents, and who owes an answer.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"token": []}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.name.split(".")[0] for operation in ALL)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    plain: Schema = msgspec.json.decode(msgspec.json.encode(found))  # a default may be a tuple, or a time
    return plain


def _traffic() -> Schema:
    """Return the entry of what is no operation: messages as they pass over the bus."""
    return {
        "operationId": TRAFFIC,
        "summary": "Listen to what is said to agents and by them.",
        "description": "Server-sent events: `message` has `subject`, `at` and `data` of a ping, an answer to "
        "one, what became of it, or a notice; `missed` tells how many were too many. Nothing is repeated: "
        "what counts stands in the changes, and in the history of pings.",
        "tags": ["audit"],
        "parameters": [],
        "responses": {"200": {"description": "Until it is closed.", "content": _EVENTS}, **_refusals(())},
    }


def _stream() -> Schema:
    """Return the entry of what is no operation: changes as they happen."""
    text: Schema = {"type": "string", "minLength": 1}
    return {
        "operationId": STREAM,
        "summary": "Listen to changes as they happen.",
        "description": "Server-sent events: `id` is the change's, `event` is `aggregate.event`, `data` is an "
        "Event. Who names the last id it has heard is told all since; `resync`: that cannot be done.",
        "tags": ["audit"],
        "parameters": [
            _parameter("aggregate", "query", text, required=False),
            _parameter("id", "query", text, required=False),
            _parameter("Last-Event-ID", "header", text, required=False),
        ],
        "responses": {"200": {"description": "Until it is closed.", "content": _EVENTS}, **_refusals(())},
    }


def _operation(
    operation: Operation,
    route: Route,
    place: int,
    schemas: dict[type, Schema],
    named: dict[type, Schema],
) -> Schema:
    params = schemas[operation.params]
    in_path = _IN_PATH.findall(route.path)
    hidden = {"command_id", *(("kind",) if _tag(operation) else ())}  # the first is a header
    properties = {name: kind for name, kind in params.get("properties", {}).items() if name not in hidden}
    required = [name for name in params.get("required", []) if name in properties and name not in in_path]
    rest = {name: kind for name, kind in properties.items() if name not in in_path}
    by_query = route.method in {"GET", "DELETE"}
    entry: Schema = {
        "operationId": _identity(operation, route, place),
        "summary": operation.summary,
        "description": _description(operation),
        "tags": [operation.name.split(".")[0]],
        "parameters": [
            *(_parameter(name, "path", properties.get(name, {"type": "string"})) for name in in_path),
            *(
                _parameter(name, "query", kind, required=name in required)
                for name, kind in (rest.items() if by_query else ())
            ),
            *(() if operation.query else (_key(params["properties"]),)),
            *(_conditions(route) if is_edit(operation) else ()),
        ],
        "responses": _responses(operation, route, named),
    }
    if not by_query and rest:
        body: Schema = {"type": "object", "properties": rest, "additionalProperties": False}
        if required and not _by_task(operation, route):
            body["required"] = required
        if _by_task(operation, route):
            body["properties"] = {"task_id": {"type": "integer", "minimum": 1}, **rest}
        entry["requestBody"] = {"required": bool(required), "content": {"application/json": {"schema": body}}}
    return entry


def _identity(operation: Operation, route: Route, place: int) -> str:
    return operation.name if not place else f"{operation.name}.{route.method.lower()}.{place}"


def _tag(operation: Operation) -> bool:
    return operation.params.__struct_config__.tag_field == "kind"


def _by_task(operation: Operation, route: Route) -> bool:
    return operation.scope == "agent" and route in operation.http


def _description(operation: Operation) -> str:
    roles = ", ".join(
        f"{role} ({'its own' if whose == 'own' else 'all'})"
        for role, whose in sorted(ACCESS.get(operation.name, {}).items())
    )
    what = "Query" if operation.query else "Command"
    return f"{what}, answered by {operation.owner}. Scopes: {roles or 'none'}."


def _parameter(name: str, place: str, kind: Schema, *, required: bool = True) -> Schema:
    return {"name": name, "in": place, "required": required, "schema": kind}


def _key(properties: Schema) -> Schema:
    kind = properties.get("command_id", {"type": "string"})
    text = next((one for one in kind.get("anyOf", [kind]) if one.get("type") == "string"), {"type": "string"})
    return _parameter("Idempotency-Key", "header", text, required=False)


def _conditions(route: Route) -> tuple[Schema, ...]:
    """Return the headers that name the version which is changed."""
    kind: Schema = {"type": "string", "pattern": r'^("[0-9]{1,18}"|\*)$'}
    match = _parameter("If-Match", "header", kind, required=False)
    none: Schema = {"type": "string", "enum": ["*"]}
    return (
        match,
        *((_parameter("If-None-Match", "header", none, required=False),) if route.method == "PUT" else ()),
    )


def _responses(operation: Operation, route: Route, named: dict[type, Schema]) -> Schema:
    done: Schema = {
        "description": "Done." if not operation.query else "The answer.",
        "content": {"application/json": {"schema": named[operation.result]}},
    }
    if route.location:
        done["links"] = _links(route)
    if version_in(operation.result):
        told: Schema = {"description": "The version of what is shown.", "schema": {"type": "string"}}
        done["headers"] = {"ETag": told}
    repeated = () if operation.query else ("idempotency_mismatch",)
    required = ("version_required",) if route.method == "PUT" and is_edit(operation) else ()
    return {str(route.status): done, **_refusals((*operation.errors, *repeated, *required))}


def _links(route: Route) -> Schema:
    """Return what can be asked next of what was made: all routes at and below its place."""
    named = {f"path.{name}": f"$response.body#/{name}" for name in _IN_PATH.findall(route.location)}
    found: Schema = {}
    for operation in ALL:
        for place, other in enumerate(operation.routes):
            below = other.path == route.location or other.path.startswith(f"{route.location}/")
            if below and len(_IN_PATH.findall(other.path)) == len(named):
                name = _identity(operation, other, place)
                found[name] = {"operationId": name, "parameters": named}
    return found


def _refusals(own: tuple[str, ...]) -> Schema:
    kinds = all_errors()
    codes: dict[int, list[str]] = {}
    for code in dict.fromkeys((*own, *_ANY)):
        codes.setdefault(kinds[code].status, []).append(code)
    found: Schema = {}
    for status, names in sorted(codes.items()):
        found[str(status)] = {
            "description": " ".join(f"`{name}`: {kinds[name].title()}." for name in names),
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name=HttpProblem.__name__)}}},
        }
    return found
