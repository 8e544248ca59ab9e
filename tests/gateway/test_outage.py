"""While the bus or the store is away: commands are 503, queries are answered, and nothing is told twice."""

import anyio
import pytest

from bus.api import BusError, BusTimeout, Incoming, Unsendable
from contracts.work import Failed, StoreFaultError
from tests.gateway.web import Web


async def test_queries_are_answered_while_the_bus_is_away(web: Web) -> None:
    admin = await web.client()
    await admin.post("/tasks", json={"title": "ship it"})
    await web.world.cut_off()
    assert [task["title"] for task in (await admin.get("/tasks")).json()["items"]] == ["ship it"]
    for path in ("/agents", "/agents/Ruto", "/tasks/1", "/policies", "/audit", "/status", "/tokens"):
        assert (await admin.get(path)).status_code == 200, path
    refused = await admin.post("/tasks", json={"title": "x"}, headers={"idempotency-key": "k-1"})
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.json()["retryable"] is True
    assert int(refused.headers["retry-after"]) >= 1
    assert (await admin.get("/dead-letters")).status_code == 503  # they lie on the bus
    await web.world.join_again()
    again = await admin.post("/tasks", json={"title": "x"}, headers={"idempotency-key": "k-1"})
    assert again.status_code == 201
    assert len((await admin.get("/tasks")).json()["items"]) == 2


async def test_dead_letters_are_asked_for_on_the_bus(web: Web) -> None:
    admin = await web.client()
    assert (await admin.get("/dead-letters")).json() == {"items": [], "next": None}
    assert (await admin.get("/dead-letters/1")).status_code == 404


async def test_a_command_that_nobody_answers_is_refused_at_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bus.api import NoResponders

    async def request(self: object, *_: object, **__: object) -> Incoming:
        raise failures.pop()

    monkeypatch.setattr(type(web.world.house.bus), "request", request)
    admin = await web.client()
    words = {
        "assigner does not run": NoResponders(),
        "no answer within": BusTimeout(),
        "the bus cannot be reached": Unsendable(),
    }
    for said, error in words.items():
        failures: list[BusError] = [error]
        answer = await admin.post("/tasks", json={"title": "x"})
        assert answer.status_code == 503
        assert said in answer.json()["detail"]


async def test_a_refusal_that_cannot_be_read_is_still_one(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def request(self: object, *_: object, **__: object) -> Incoming:
        return Incoming(subject="x", data=b"\xff", headers={"Nats-Service-Error-Code": "500"})

    monkeypatch.setattr(type(web.world.house.bus), "request", request)
    answer = await (await web.client()).post("/tasks", json={"title": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


async def test_an_ill_store_is_said_to_be_ill(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await web.client()
    told = await web.caller("operator")
    store = web.world.house.store
    healthy = store.run

    async def ill(units: object, now: int) -> list[Failed]:
        raise StoreFaultError("locked")

    with monkeypatch.context() as broken:
        broken.setattr(store, "run", ill)
        assert (await admin.get("/tasks")).status_code == 503
        assert (await told.get("/tasks")).status_code == 503

    async def failing(units: object, now: int) -> list[Failed]:
        return [Failed(key="x", error=RuntimeError("inside"))]

    with monkeypatch.context() as broken:
        broken.setattr(store, "run", failing)
        assert (await admin.get("/tasks")).status_code == 500
        assert (await told.get("/tasks")).status_code == 500
    assert healthy is not None
    assert (await told.get("/tasks")).status_code == 200


async def test_uses_wait_for_a_store_that_is_ill(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.gateway.identity import Doorkeeper

    context = web.world.house.runtime.context
    keeper = Doorkeeper(context, "")
    drawn = await web.token("operator", name="ci")
    await keeper.admit(f"Bearer {drawn}")

    async def ill(units: object, now: int) -> list[Failed]:
        raise StoreFaultError("locked")

    with monkeypatch.context() as broken:
        broken.setattr(web.world.house.store, "run", ill)
        await keeper.note_uses()
    assert web.world.rows("SELECT last_used_at FROM tokens") == [(None,)]
    await keeper.note_uses()
    await keeper.note_uses()
    assert web.world.rows("SELECT last_used_at FROM tokens") == [(web.world.clock.at,)]
    with anyio.fail_after(5):
        await keeper.admit(f"bearer  {drawn}")
