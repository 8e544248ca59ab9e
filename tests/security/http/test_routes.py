"""Every route of the description, by everybody: what one may not do is refused before it is understood."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts import tokens
from tests.gateway.web import Web

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[3] / "docs/openapi.json").read_text("utf-8"))
ROUTES = [(method.upper(), path) for path, place in DOCUMENT["paths"].items() for method in place]
RULES = {
    ("PUT", "/api/v1/policies/{name}"),
    ("PUT", "/api/v1/rules/text"),
}  # what only an admin may change, beside who is let in
DOORS = ("/tokens", "/credentials", "/logins")
ASKED = {("POST", "/api/v1/policies/{name}/preview")}  # changes nothing
LOOKS = {"GET", "HEAD"}
NAMES = {"agent": "ann", "name": "nobody", "task": "999", "seq": "999"}
DAY_US = 86_400_000_000


def filled(path: str, **names: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: (NAMES | names).get(place[1], "999"), path)


def may(role: str, method: str, path: str) -> bool:
    """Return whether a role may: said here anew, and not looked up where the gateway does."""
    below = path.removeprefix("/api/v1")
    of_agents = below.startswith("/agent/") or "{agent}" in below
    if role == "agent":
        return of_agents
    if role == "admin":
        return not of_agents
    return not (
        of_agents
        or below.startswith(DOORS)
        or "/webhook-key" in below
        or (method, path) in RULES
        or (role == "read_only" and method not in LOOKS and (method, path) not in ASKED)
    )


async def status(client: httpx.AsyncClient, method: str, path: str) -> int:
    if path.endswith(("/events", "/bus")):
        async with client.stream(method, path) as answer:
            return answer.status_code
    return (await client.request(method, path)).status_code


async def bare(web: Web, token: str) -> httpx.AsyncClient:
    """Return who asks by whole paths."""
    client = await web.client(token)
    client.base_url = httpx.URL(web.url)
    return client


async def test_every_route_by_every_role(web: Web) -> None:
    await web.world.agent("ann")
    for role in ("read_only", "operator", "admin", "agent"):
        more = {"agent": "ann"} if role == "agent" else {}
        client = await bare(web, await web.token(role, **more))
        for method, path in ROUTES:
            found = await status(client, method, filled(path))
            allowed = may(role, method, path)
            assert (found != 403) is allowed, (role, method, path, found)
            assert found not in {401, 429, 500}


async def test_no_route_takes_an_agent_for_another(web: Web) -> None:
    """Also not with the other's number, or with the name of both: all that was refused is as it was."""
    await web.world.given("ann")
    await web.world.agent("bob")
    before = web.world.rows("SELECT * FROM assignments")
    client = await bare(web, await web.token("agent", agent="bob"))
    ann = str(web.world.rows("SELECT id FROM agents WHERE name = 'ann'")[0][0])
    foreign = [(method, path) for method, path in ROUTES if "{agent}" in path]
    assert foreign
    for method, path in foreign:
        for name in ("ann", "ANN", ann, "bob%2Fann", "bob,ann", "%2e%2e%2fann", "0", "-1"):
            assert await status(client, method, filled(path, agent=name)) in {403, 404}, (path, name)
    assert web.world.rows("SELECT * FROM assignments") == before


@pytest.mark.parametrize("kind", ["nobody", "unknown", "revoked", "expired", "in the query", "as a password"])
async def test_no_route_is_open(web: Web, kind: str) -> None:
    token = await web.token("admin", name="old", days=1)
    if kind == "revoked":
        await web.world.operator("token.revoke", name="old")
    if kind == "expired":
        web.world.clock.move(web.world.clock.at + DAY_US)
    web.world.clock.move(web.world.clock.at + 1_000_000)
    said = {
        "unknown": f"Bearer {tokens.token('admin', secrets.token_bytes(32))}",
        "revoked": f"Bearer {token}",
        "expired": f"Bearer {token}",
        "as a password": f"Basic {token}",
    }.get(kind)
    query = f"?token={token}&access_token={token}&authorization=Bearer%20{token}"
    async with httpx.AsyncClient(base_url=web.url) as client:
        bodies: set[str] = set()
        for method, path in [*ROUTES, ("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/no/such")]:
            where = filled(path) + (query if kind == "in the query" else "")
            answer = await client.request(method, where, headers={"authorization": said} if said else {})
            assert answer.status_code in {401, 429}, (method, path)
            if answer.status_code == 401:
                bodies.add(answer.text)
    assert len(bodies) == 1  # it is no oracle


async def test_no_field_raises_what_one_has(web: Web) -> None:
    """What is decided elsewhere is no field of anybody: it is refused by name, and nothing is changed."""
    await web.world.given("ann")
    before = [web.world.rows(f"SELECT * FROM {table}") for table in ("agents", "tasks", "assignments")]
    extra = {
        "authority": 9,
        "status": "done",
        "is_active": True,
        "scope": "admin",
        "actor": "operator:x",
        "level": 0,
    }
    clients = [
        await bare(web, await web.token("admin")),
        await bare(web, await web.token("agent", agent="ann")),
    ]
    for client in clients:
        for method, path in ROUTES:
            if method not in {"POST", "PUT", "PATCH"} or path.endswith("/tokens"):
                continue
            answer = await client.request(method, filled(path, name="ann", task="1"), json=extra)
            assert answer.status_code in {403, 404, 422, 428}, (method, path, answer.text)
            if answer.status_code == 422:
                assert {"authority", "actor", "is_active"} <= set(answer.json()["fields"])
    after = [web.world.rows(f"SELECT * FROM {table}") for table in ("agents", "tasks", "assignments")]
    assert after == before
