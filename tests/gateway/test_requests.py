"""What is said over HTTP: where, in which form, under which id; and how it is refused."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.gateway.web import Web


async def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"], found["type"]) == (status, code, f"/problems/{code}")
    assert "Traceback" not in answer.text
    return found


async def test_a_task_is_made_shown_changed_and_ended(web: Web) -> None:
    admin = await web.client()
    made = await admin.post("/tasks", json={"title": "ship it", "priority": "P0"})
    assert made.status_code == 201
    where = made.headers["location"]
    assert where == f"/api/v1/tasks/{made.json()['task']}"
    place = where.removeprefix("/api/v1")
    shown = await admin.get(place)
    assert shown.json()["task"]["title"] == "ship it"
    assert (await admin.patch(place, json={"title": "ship it now"})).status_code == 200
    assert (await admin.post(f"{place}/comments", json={"text": "soon"})).status_code == 200
    await web.world.settle()
    again = (await admin.get(place)).json()
    assert again["task"]["title"] == "ship it now"
    assert again["comments"][-1]["author"] == "api"
    assert (await admin.post(f"{place}/cancel")).json()["status"] == "cancelled"
    assert (await admin.post(f"{place}/reopen")).json()["status"] == "todo"
    await problem(await admin.post("/tasks/99/cancel"), 404, "not_found")


async def test_the_head_of_what_can_be_read_is_told_alone(web: Web) -> None:
    admin = await web.client()
    shown, head = await admin.get("/tasks"), await admin.head("/tasks")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == shown.headers["content-length"]
    assert (await admin.head("/tokens/x")).status_code == 405


async def test_body_and_query_say_the_same(web: Web) -> None:
    admin = await web.client()
    by_body = await admin.post("/agents/", json={"name": "ann", "capabilities": ["a", "b"], "capacity": 3})
    by_query = await admin.post("/agents/?name=bob&capabilities=a&capabilities=b&capacity=3")
    both = await admin.post("/agents?capacity=3", json={"name": "cid", "capabilities": ["a", "b"]})
    assert [one.status_code for one in (by_body, by_query, both)] == [201, 201, 201]
    told = (await admin.get("/agents")).json()["items"]
    assert {(one["name"], one["capacity"], tuple(one["capabilities"])) for one in told} >= {
        (name, 3, ("a", "b")) for name in ("ann", "bob", "cid")
    }
    found = await problem(await admin.post("/agents?name=x", json={"name": "y"}), 422, "invalid")
    assert found["fields"] == {"name": "is said twice, and differently"}
    await problem(await admin.get("/agents?all=true&all=false"), 422, "invalid")


async def test_all_that_is_wrong_is_said_at_once(web: Web) -> None:
    admin = await web.client()
    answer = await admin.post(
        "/tasks",
        json={"titel": "x", "priority": "P9", "due_at": "soon", "capabilities": ["ok", "not ok"], "zzz": 1},
    )
    found = await problem(answer, 422, "invalid")
    assert set(found["fields"]) == {"title", "titel", "priority", "due_at", "capabilities", "zzz"}
    assert found["fields"]["title"] == "is required"
    assert found["fields"]["titel"] == "is not known; did you mean title?"
    assert found["fields"]["zzz"] == "is not known"
    assert found["fields"]["capabilities"].endswith("at `[1]`")


async def test_a_number_in_a_body_is_a_number(web: Web) -> None:
    admin = await web.client()
    answer = await admin.post("/tasks", json={"title": "x", "accept_minutes": "5"})
    assert (await problem(answer, 422, "invalid"))["fields"] == {
        "accept_minutes": "must be a whole number, not text"
    }
    assert (await admin.post("/tasks?accept_minutes=5", json={"title": "x"})).status_code == 201
    assert (await admin.post("/tasks", json={"title": "x", "accept_minutes": 5.0})).status_code == 201
    for page in ("limit=0", "limit=501", "limit=x", "limit=1e3", "after=-1", f"after={2**63}", "limit="):
        await problem(await admin.get(f"/tasks?{page}"), 422, "invalid")


async def test_a_number_in_an_address_has_one_form(web: Web) -> None:
    admin = await web.client()
    task = (await admin.post("/tasks", json={"title": "x"})).json()["task"]
    for form in (f"{task}.0", f"{task}e0", f"0{task}", f"+{task}", f"{task}.", f"%20{task}"):
        told = await admin.get(f"/tasks/{form}")
        assert set((await problem(told, 422, "invalid"))["fields"]) == {"task"}
        told = await admin.post(f"/policies/default/preview?tasks={form}", json={"steps": []})
        assert set((await problem(told, 422, "invalid"))["fields"]) == {"tasks"}
    assert (await admin.get(f"/tasks/{task}")).status_code == 200
    await web.world.agent("ann")
    ann = await web.caller("agent", agent="ann")
    told = await ann.post(f"/agents/ann/acknowledge?task_id={task}.0")
    assert set((await problem(told, 422, "invalid"))["fields"]) == {"task_id"}
    told = await admin.post(f"/policies/default/preview?tasks={task}&tasks=2", json={"steps": []})
    assert told.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b"7",
        b'{"title": NaN}',
        b'{"title":"x"} {}',
        b"\xef\xbb\xbf{}",
        b'{"title":"\xff"}',
        b'{"title":"\\ud800"}',
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"title":' + b"[" * 900 + b"]" * 900 + b"}",
        b"{" + b",".join(b'"titl%d":1' % n for n in range(4_000)) + b"}",
    ],
)
async def test_what_is_no_json_object_is_malformed(web: Web, body: bytes) -> None:
    admin = await web.client()
    answer = await admin.post("/tasks", content=body, headers={"content-type": "application/json"})
    await problem(answer, 400, "malformed")


async def test_what_is_too_large_is_not_read(web: Web) -> None:
    admin = await web.client()
    json = {"content-type": "application/json"}
    answer = await admin.post("/tasks", content=b" " * 65_537, headers=json)
    await problem(answer, 413, "too_large")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 1_000

    await problem(await admin.post("/tasks", content=pieces(), headers=json), 413, "too_large")
    tasks = [{"title": "x" * 200, "description": "y" * 1_000} for _ in range(100)]
    assert (await admin.post("/tasks/import", json={"tasks": tasks})).status_code == 200


async def test_what_is_not_spoken_here_is_said(web: Web) -> None:
    admin = await web.client()
    await problem(await admin.get("/tasks", headers={"accept": "text/html"}), 406, "not_acceptable")
    for accept in (
        "*/*",
        "application/*;q=0.5",
        "text/html, application/json;q=0.9",
        "application/problem+json",
    ):
        assert (await admin.get("/tasks", headers={"accept": accept})).status_code == 200
    form = await admin.post("/tasks", data={"title": "x"})
    await problem(form, 415, "unsupported_media")
    wrong = await admin.delete("/tasks")
    await problem(wrong, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(wrong.headers["allow"].split(", "))
    await problem(await admin.get("/nothing"), 404, "not_found")
    await problem(await admin.get("/tasks/%2e%2e"), 422, "invalid")
    await problem(await admin.get(f"/agents/{'x' * 10_000}"), 422, "invalid")
    await problem(await admin.get("/agents/a.b"), 422, "invalid")
    await problem(await admin.get("/agents/nobody"), 404, "not_found")
    await problem(await admin.get("/tasks?" + "a=1&" * 300), 400, "malformed")
    await problem(await admin.get("/tasks?status=%ff"), 400, "malformed")


async def test_what_a_path_allows_is_said_in_full(web: Web) -> None:
    admin = await web.client()
    for path, methods in (
        ("/tasks", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/tasks/7", {"GET", "HEAD", "PATCH", "OPTIONS"}),
        ("/session", {"GET", "DELETE", "OPTIONS"}),
    ):
        told = await admin.options(path)
        assert (told.status_code, set(told.headers["allow"].split(", "))) == (204, methods), path
        refused = await admin.request("TRACE", path)
        assert set(refused.headers["allow"].split(", ")) == methods


async def test_every_refusal_has_the_same_headers(web: Web) -> None:
    """Litestar refuses a path and a method, the door the rest, the guard who is nobody."""
    admin, nobody = await web.client(), await web.client("")
    for answer, status in (
        (await admin.get("/nothing"), 404),
        (await admin.delete("/tasks"), 405),
        (await admin.get("/tasks/99"), 404),
        (await admin.get("/events?aggregate=x"), 422),
        (await nobody.get("/tasks"), 401),
    ):
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 201),
        ({"content-type": 'application/json;charset="UTF-8"'}, 201),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "identity"}, 201),
        ({"accept": "application/json;q=0"}, 406),
        ({"accept": "application/json;q=0.000, */*"}, 406),
        ({"accept": "*/*;q=0"}, 406),
        ({"accept": "text/html;q=0, */*;q=0.1"}, 201),
        ({"accept": "application/json; q=0.01"}, 201),
    ],
)
async def test_packed_other_letters_and_no_json_are_refused(
    web: Web, headers: dict[str, str], status: int
) -> None:
    admin = await web.client()
    answer = await admin.post(
        "/tasks", content=b'{"title": "x"}', headers={"content-type": "application/json", **headers}
    )
    assert answer.status_code == status, answer.text


async def test_the_type_of_a_problem_leads_to_its_meaning(web: Web) -> None:
    admin = await web.client()
    found = (await admin.get("/tasks/99")).json()
    async with httpx.AsyncClient(base_url=web.url) as anybody:
        page = await anybody.get(found["type"])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert page.text.startswith("not_found (status 404)")
        assert "will be refused again" in page.text
        assert "may be sent again" in (await anybody.get("/problems/unavailable")).text
        assert (await anybody.get("/problems/nothing")).status_code == 404


async def test_a_command_is_carried_out_once_under_its_key(web: Web) -> None:
    admin = await web.client()
    first = await admin.post("/tasks", json={"title": "once"}, headers={"idempotency-key": '"k-1"'})
    second = await admin.post("/tasks", json={"title": "once"}, headers={"idempotency-key": "k-1"})
    by_body = await admin.post("/tasks", json={"title": "once", "command_id": "k-1"})
    assert first.json() == second.json() == by_body.json()
    assert first.headers["idempotency-key"] == "k-1"
    other = await admin.post("/tasks", json={"title": "other"}, headers={"idempotency-key": "k-1"})
    await problem(other, 409, "idempotency_mismatch")
    two = await admin.post("/tasks", json={"title": "x", "command_id": "a"}, headers={"idempotency-key": "b"})
    assert (await problem(two, 422, "invalid"))["fields"] == {
        "command_id": "the Idempotency-Key names another"
    }
    bad = await admin.post("/tasks", json={"title": "x"}, headers={"idempotency-key": "no spaces"})
    assert set((await problem(bad, 422, "invalid"))["fields"]) == {"command_id"}
    for nothing in ("", '""'):
        bad = await admin.post("/tasks", json={"title": "x"}, headers={"idempotency-key": nothing})
        assert (await problem(bad, 422, "invalid"))["fields"] == {"Idempotency-Key": "is empty"}
    place = f"/tasks/{first.json()['task']}"
    key = {"idempotency-key": "k-2"}
    assert (await admin.post(f"{place}/cancel", headers=key)).json()["status"] == "cancelled"
    await problem(await admin.post(f"{place}/reopen", headers=key), 409, "idempotency_mismatch")
    drawn = await admin.post("/tasks", json={"title": "mine"})
    again = await admin.post(
        "/tasks", json={"title": "mine"}, headers={"idempotency-key": drawn.headers["idempotency-key"]}
    )
    assert again.json() == drawn.json()
    assert (await admin.get("/tasks", headers={"idempotency-key": "k-1"})).status_code == 200


async def test_pages_lead_on_to_their_end(web: Web) -> None:
    admin = await web.client()
    tasks = [{"title": f"task {number}"} for number in range(5)]
    made = (await admin.post("/tasks/import", json={"tasks": tasks})).json()["created"]
    seen: list[int] = []
    where: str | None = "/tasks?limit=2&status=todo"
    await web.world.settle()
    where = "/tasks?limit=2"
    while where is not None:
        page = await admin.get(where)
        seen += [task["id"] for task in page.json()["items"]]
        following = page.links.get("next")
        where = following["url"].removeprefix("/api/v1") if following else None
        if where:
            assert "limit=2" in where
    assert seen == made


async def test_tokens_are_paged_by_name_whatever_the_case(web: Web) -> None:
    admin = await web.client()
    for name in ("bob", "Ann", "carl", "dora", "Eve"):
        await web.token("read_only", name=name)
    await admin.delete("/tokens/carl")
    pages: list[list[str]] = []
    where: str | None = "/tokens?limit=2"
    while where is not None:
        page = await admin.get(where)
        pages.append([one["name"] for one in page.json()["items"]])
        following = page.links.get("next")
        where = following["url"].removeprefix("/api/v1") if following else None
    assert pages == [["Ann", "bob"], ["dora", "Eve"], []]
    every = await admin.get("/tokens?all=true&after=BOB&limit=1")
    assert ([one["name"] for one in every.json()["items"]], every.json()["next"]) == (["carl"], "carl")
    for after in ("a b", "\u00e4", "x" * 200):
        await problem(await admin.get("/tokens", params={"after": after}), 422, "invalid")
    await problem(await admin.get("/credentials?after=ann"), 422, "invalid")
    assert (await admin.get("/credentials")).json() == {"items": [], "next": None}


async def test_the_history_of_a_task_is_paged_newest_first(web: Web) -> None:
    await web.world.agent("ann")
    await web.world.agent("bob")
    task = await web.world.task("ship it")
    for agent in ("ann", "bob", "ann"):
        await web.world.operator("task.assign", task=task, agent=agent)
    reader = await web.caller("read_only")
    whole = (await reader.get(f"/tasks/{task}/assignments")).json()
    ids = [row["id"] for row in whole["items"]]
    assert ids == sorted(ids, reverse=True)
    assert whole["next"] is None
    first = (await reader.get(f"/tasks/{task}/assignments?limit=1")).json()
    rest = (await reader.get(f"/tasks/{task}/assignments?limit=9&after={first['next']}")).json()
    assert [row["id"] for row in (*first["items"], *rest["items"])] == ids
    await problem(await reader.get("/tasks/99/assignments"), 404, "not_found")


async def test_the_audit_says_who_did_what(web: Web) -> None:
    admin = await web.client()
    await admin.post("/agents", json={"name": "ann"}, headers={"idempotency-key": "k-9"})
    found = (await admin.get("/audit?aggregate=agent&id=ann")).json()["items"]
    assert [(one["event"], one["actor"], one["cause"]) for one in found] == [
        ("registered", "operator:api", "k-9")
    ]
    everything = (await admin.get("/audit")).json()["items"]
    assert len(everything) > len((await admin.get("/audit?aggregate=agent")).json()["items"]) > 1
    alone = await problem(await admin.get("/audit?id=ann"), 422, "invalid")
    assert alone["fields"] == {"aggregate": "is needed with an id"}
    assert (await admin.get("/audit?limit=1")).json()["next"] == everything[0]["seq"]


async def test_an_agent_lives_over_http_alone(web: Web) -> None:
    await web.world.agent("ann", beats="required")
    ann = await web.caller("agent", agent="ann")
    joined = (await ann.post("/agent/join", json={"session": "s1"})).json()
    assert (joined["agent"], joined["leases"]) == ("ann", [])
    task = await web.world.task("ship it")
    await web.world.settle()
    for asked in (await ann.get("/agent/next"), await ann.post("/agent/next")):
        assert (asked.json()["status"], asked.json()["lease"]["task"]) == ("due", task)
    number = asked.json()["lease"]["assignment"]
    assert (await ann.post("/agent/ack", json={"assignment": number})).json()["status"] == "acknowledged"
    assert (await ann.post("/agent/ack", json={"kind": "ack", "assignment": number})).json()["already"]
    wrong = await ann.post("/agent/ack", json={"kind": "nak", "assignment": number})
    assert set((await problem(wrong, 422, "invalid"))["fields"]) == {"kind"}
    done = await ann.post("/agent/complete", json={"assignment": number, "result": "shipped"})
    assert done.json()["status"] == "completed"
    over = await problem(await ann.post("/agent/ack", json={"assignment": number}), 409, "already_final")
    assert over["state"]
    assert (await ann.get("/agent/sync")).json()["leases"] == []
    assert (await ann.post("/agent/leave")).json() == {"leases": 0}
