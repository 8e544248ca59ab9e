"""Every operation stands at every door, with the same fields, the same scope and the same refusals."""

from typing import Any

import msgspec
import pytest

from contracts.errors import all_errors
from contracts.operations import ALL, Operation
from contracts.operations.access import ACCESS
from contracts.operations.registry import API
from rollcall import generate_asyncapi, generate_operations
from rollcall.cli import verbs
from rollcall.settings import Settings
from rollcall.wiring import OWNERS, services
from services.gateway.openapi import document
from services.gateway.reading import _readers

DRAWN = ("prefix", "digest", "public_key", "key", "webhook_key")
OPEN = [operation for operation in ALL if operation.scope != "machine"]


def fields(operation: Operation) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(operation.params)}


def named(operation: Operation) -> str:
    return operation.name


def test_every_operation_has_an_owner_on_the_bus() -> None:
    endpoints = [one.operation for owner in services(OWNERS, Settings()) for one in owner.endpoints]
    assert sorted(map(named, endpoints)) == sorted(map(named, ALL))
    for owner in services(OWNERS, Settings()):
        assert all(one.operation.owner == owner.name for one in owner.endpoints)


@pytest.mark.parametrize("operation", OPEN, ids=named)
def test_the_fields_are_the_same_at_every_door(operation: Operation) -> None:
    at_http = set(_readers(operation.params))
    assert at_http == fields(operation)
    page = generate_operations.page().partition(f"## `{operation.name}`\n")[2].partition("\n## ")[0]
    assert {name for name in fields(operation) if f"| `{name}` |" in page} == fields(operation)
    bus = generate_asyncapi.document()
    (message,) = bus["channels"][operation.name]["messages"]
    payload = bus["components"]["messages"][message]["payload"]["$ref"].rpartition("/")[2]
    tag = {operation.params.__struct_config__.tag_field}
    assert set(bus["components"]["schemas"][payload].get("properties", {})) - tag == fields(operation)
    for name, schema in document()["components"]["schemas"].items():
        if name in bus["components"]["schemas"]:
            assert schema == bus["components"]["schemas"][name], name
    words = operation.command.split()
    found: Any = verbs.find(words[0])
    command = found.commands[words[1]] if len(words) > 1 else found
    hidden = {"tasks", *DRAWN}  # read from a file, or drawn here
    assert fields(operation) - {option.name for option in command.params} <= hidden


BODIED = {"policy.preview"}  # asks with more than an address can hold


@pytest.mark.parametrize("operation", OPEN, ids=named)
def test_scope_and_refusals_are_the_same_at_every_door(operation: Operation) -> None:
    entry = document()["paths"][API + operation.routes[0].path][operation.routes[0].method.lower()]
    for code in operation.errors:
        status = str(all_errors()[code].status)
        assert f"`{code}`" in entry["responses"][status]["description"]
    agents = "agent" in ACCESS[operation.name]
    assert agents is (operation.scope == "agent")
    subject = generate_operations.subject(operation)
    who = subject.split(".")[2 if operation.scope == "agent" else -1]
    assert who == f"<{operation.scope}>"
    bus = generate_asyncapi.document()["operations"][operation.name]
    assert (bus["x-scope"], bus["x-errors"]) == (operation.scope, list(operation.errors))
    assert bus["x-roles"] == sorted(ACCESS[operation.name])
    assert bus["bindings"]["nats"]["queue"] == f"rollcall-{operation.owner}"


def test_what_may_be_repeated_is_a_command_everywhere() -> None:
    for operation in OPEN:
        method = operation.routes[0].method
        assert ("command_id" in fields(operation)) is (not operation.query), operation.name
        asks = operation.query and operation.name not in BODIED
        assert (method == "GET") is asks or operation.scope == "agent", operation.name
