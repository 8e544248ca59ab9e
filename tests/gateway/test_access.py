"""Every row of the table: operation by role, own and foreign things; what has no row is allowed to nobody."""

from types import MappingProxyType
from typing import Any

import httpx
import pytest

from contracts.operations import ALL, BY_NAME, Operation, access
from contracts.operations.registry import API, Route
from contracts.tokens import ROLES, Role
from tests.gateway.web import Web

WORDS: dict[str, Any] = {"note": "half way", "on": "human", "session": "s2", "minutes": 5, "text": "said"}


OPEN = [operation for operation in ALL if operation.scope != "machine"]  # a daemon speaks on the bus alone


def path(route: Route, agent: str = "ann") -> str:
    """Return a path of the route: of things that may not be there, which matters only later."""
    names = {"agent": agent, "name": "nobody", "task": "999", "seq": "999", "todo": "999", "phase": "999"}
    names |= {"assignment": "999", "escalation": "999", "holder": "agent", "reminder": "999"}
    return route.path.format_map(names)


async def ask(client: httpx.AsyncClient, route: Route, agent: str = "ann", **body: Any) -> httpx.Response:
    return await client.request(route.method, path(route, agent), json=body or None)


def test_every_operation_has_a_row_and_a_route() -> None:
    """A new operation: declare `http=` beside it, and who may do it in contracts/operations/access.py."""
    assert {operation.name for operation in OPEN} | {access.STREAM, access.TRAFFIC} == set(access.ACCESS)
    assert not [operation.name for operation in OPEN if not operation.routes]
    assert not [operation.name for operation in ALL if operation.routes and operation not in OPEN]
    places = [(route.method, route.path) for operation in ALL for route in operation.routes]
    assert len(places) == len(set(places))


async def test_every_row_holds_for_every_role(web: Web) -> None:
    await web.world.agent("ann")
    callers: dict[Role, httpx.AsyncClient] = {
        role: await web.caller(role, **({"agent": "ann"} if role == "agent" else {})) for role in ROLES
    }
    nobody = await web.client("")
    for operation in OPEN:
        for route in operation.routes:
            assert (await ask(nobody, route)).status_code in {401, 429}, operation.name
            for role, client in callers.items():
                answer = await ask(client, route)
                allowed = access.reach(operation.name, role) is not None
                assert (answer.status_code != 403) is allowed, (operation.name, role, answer.text)
                assert answer.status_code != 401


async def test_an_agent_speaks_for_itself_alone(web: Web) -> None:
    await web.world.agent("ann")
    await web.world.agent("bob")
    ann = await web.caller("agent", agent="ann")
    numbers = {row[0]: row[1] for row in web.world.rows("SELECT name, id FROM agents")}
    named = [(o, r) for o in ALL for r in o.routes if "{agent}" in r.path]
    assert named
    for _, route in named:
        for own in ("ann", "ANN", str(numbers["ann"])):
            assert (await ask(ann, route, own)).status_code == 422
        for foreign in ("bob", str(numbers["bob"]), "nobody", "999", "*", "9" * 400, "\u00b9"):
            answer = await ask(ann, route, foreign)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), foreign


def answers() -> list[Operation]:
    return [
        operation
        for operation in ALL
        if operation.scope == "agent" and "assignment" in operation.params.__struct_fields__
    ]


@pytest.mark.parametrize("operation", answers(), ids=lambda operation: operation.name)
async def test_an_answer_about_the_assignment_of_another_is_of_nothing(
    web: Web, operation: Operation
) -> None:
    _, foreign = await web.world.given("ann")
    await web.world.agent("bob")
    bob = await web.caller("agent", agent="bob")
    fields = operation.params.__struct_fields__
    words = {name: value for name, value in WORDS.items() if name in fields}
    known = await ask(bob, operation.routes[0], assignment=foreign.id, **words)
    unknown = await ask(bob, operation.routes[0], assignment=foreign.id + 1, **words)
    assert (known.status_code, unknown.status_code) == (404, 404)
    assert known.json()["title"] == unknown.json()["title"]
    assert (await web.world.lease(foreign.task_id)).status == "pending"


async def test_what_has_no_row_is_allowed_to_nobody(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = dict(access.ACCESS)
    del rows["task.ls"]
    monkeypatch.setattr(access, "ACCESS", MappingProxyType(rows))
    admin = await web.client()
    assert (await admin.get("/tasks")).status_code == 403
    assert (await admin.get("/agents")).status_code == 200


async def test_no_field_raises_what_one_may(web: Web) -> None:
    """Neither is `active` of an agent's own, nor can a role be said beside the token."""
    await web.world.agent("ann")
    ann = await web.caller("agent", agent="ann")
    for more in ({"scope": "admin"}, {"agent": "bob"}, {"capacity": 9}, {"actor": "operator:x"}):
        answer = await ann.post("/agent/join", json={"session": "s1", **more})
        assert answer.status_code == 422
        assert set(answer.json()["fields"]) == set(more)
    assert (await ann.patch("/agents/ann", json={"capacity": 9})).status_code == 403


def test_the_paths_of_agents_verbs_are_those_of_their_sockets() -> None:
    assert BY_NAME["assignment.ack"].routes[0] == Route("POST", "/agent/ack")
    assert API == "/api/v1"
