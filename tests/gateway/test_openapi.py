"""The description: valid, whole, and true of every door."""

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator

from contracts.operations import ALL
from contracts.operations.registry import API
from services.gateway.openapi import document
from tests.gateway.web import Web


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_it_has_every_route_and_no_other() -> None:
    described = {(method, path) for path, place in document()["paths"].items() for method in place}
    declared = {(route.method.lower(), API + route.path) for one in ALL for route in one.routes}
    assert described == declared | {("get", f"{API}/{stream}") for stream in ("events", "bus")}
    names = [entry["operationId"] for place in document()["paths"].values() for entry in place.values()]
    assert len(names) == len(set(names))
    assert {operation.name for operation in ALL if operation.routes} <= set(names)


def test_it_names_every_field_and_every_refusal_of_an_operation() -> None:
    for operation in ALL:
        for route in operation.routes:
            entry = document()["paths"][API + route.path][route.method.lower()]
            body = (
                entry.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            )
            said = {one["name"] for one in entry["parameters"]} | set(body.get("properties", {}))
            fields = {field.encode_name for field in msgspec.structs.fields(operation.params)}
            assert fields - said <= {"command_id"}
            told = " ".join(answer["description"] for answer in entry["responses"].values())
            assert all(f"`{code}`" in told for code in operation.errors)


async def test_it_is_served(web: Web) -> None:
    admin = await web.client()
    assert (await admin.get("/openapi.json")).json() == document()
