"""Two who change the same thing: whoever did not see the other's change is told, and undoes nothing."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from contracts.operations import ALL
from services.gateway.versions import is_edit, version_in
from tests.gateway.test_requests import problem
from tests.gateway.web import Web

STEPS = [{"kind": "main"}]


def test_every_change_of_what_is_shown_may_name_its_version() -> None:
    """A new PUT or PATCH of what can be read alone: its parameters are an `Edit`, which the owner checks."""
    places = {route.path: one for one in ALL for route in one.routes if route.method in {"PUT", "PATCH"}}
    reads = {route.path: one for one in ALL for route in one.routes if route.method == "GET"}
    assert set(places) & set(reads)
    for path, operation in ((path, places[path]) for path in set(places) & set(reads)):
        assert is_edit(operation), operation.name
        assert version_in(reads[path].result), operation.name


def test_who_changes_what_carries_a_version_may_name_it() -> None:
    """Also where the thing is read in a list only, as a todo is."""
    for one in ALL:
        if any(route.method in {"PUT", "PATCH"} for route in one.routes):
            assert is_edit(one), one.name


async def things(web: Web, admin: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    task = await web.world.task("ship it")
    await web.world.agent("ann")
    await admin.put("/policies/calm", json={"steps": STEPS}, headers={"if-none-match": "*"})
    await web.world.settle()
    return [
        ("PATCH", f"/tasks/{task}", {"title": "ship it now"}),
        ("PATCH", "/agents/ann", {"capacity": 3}),
        ("PUT", "/policies/calm", {"steps": [*STEPS, *STEPS]}),
    ]


async def test_a_change_of_what_was_read_is_made_once(web: Web) -> None:
    admin = await web.client()
    for method, path, change in await things(web, admin):
        read = await admin.get(path)
        tag = read.headers["etag"]
        made = await admin.request(method, path, json=change, headers={"if-match": tag})
        assert made.status_code == 200, made.text
        anew = (await admin.get(path)).headers["etag"]
        assert anew != tag
        if method == "PUT":
            assert made.headers["etag"] == anew
        late = await admin.request(method, path, json=change, headers={"if-match": tag})
        found = await problem(late, 412, "changed")
        assert found["state"] == {"version": int(anew.strip('"'))}
        assert (await admin.get(path)).headers["etag"] == anew
        by_body = {**change, "expected_version": int(anew.strip('"'))}
        assert (await admin.request(method, path, json=by_body)).status_code == 200


async def test_a_part_of_a_plan_has_versions_too(web: Web) -> None:
    admin = await web.client()
    task = await web.world.task("ship it")
    for kind, first, change in (
        ("todos", {"text": "look"}, {"done": True}),
        ("phases", {"name": "look"}, {"status": "done"}),
    ):
        made = (await admin.post(f"/tasks/{task}/{kind}", json=first)).json()
        path, old = f"/tasks/{task}/{kind}/{made['id']}", {"if-match": f'"{made["version"]}"'}
        told = await admin.patch(path, json=change, headers=old)
        assert told.status_code == 200, told.text
        assert told.headers["etag"] == f'"{made["version"] + 1}"'
        late = await admin.patch(path, json={"required": True}, headers=old)
        assert (await problem(late, 412, "changed"))["state"] == {"version": made["version"] + 1}
        shown = (await admin.get(f"/tasks/{task}/{kind}")).json()["items"]
        assert [row["version"] for row in shown] == [made["version"] + 1]
        late = await admin.patch(path, json={"required": True, "expected_version": made["version"]})
        await problem(late, 412, "changed")
        any_of_them = {"if-match": "*"}
        assert (await admin.patch(path, json={"required": True}, headers=any_of_them)).status_code == 200


async def test_any_version_will_do_where_there_is_one(web: Web) -> None:
    """`If-Match: *` makes nothing new, and `If-None-Match: *` nothing else."""
    admin = await web.client()
    there = {"if-match": "*"}
    for method, path, change in await things(web, admin):
        assert (await admin.request(method, path, json=change, headers=there)).status_code == 200
    await problem(await admin.put("/policies/new", json={"steps": STEPS}, headers=there), 412, "changed")
    assert (await admin.get("/policies/new")).status_code == 404
    by_body = {"steps": STEPS, "expected_version": "*"}
    await problem(await admin.put("/policies/new", json=by_body), 412, "changed")
    assert (await admin.put("/policies/calm", json=by_body)).status_code == 200
    await problem(await admin.patch("/tasks/999", json={"title": "x"}, headers=there), 404, "not_found")
    rules = (await admin.get("/rules/text")).json()["toml"]  # those that come with Rollcall are there
    assert (await admin.put("/rules/text", json={"toml": rules}, headers=there)).status_code == 200


async def test_of_many_at_once_one_is_the_first(web: Web) -> None:
    """Also where they are decided in one transaction."""
    admin = await web.client()
    task = await web.world.task("ship it")
    await web.world.settle()
    tag = (await admin.get(f"/tasks/{task}")).headers["etag"]
    statuses: list[int] = []

    async def change(number: int) -> None:
        title = {"title": f"ship it {number}"}
        statuses.append(
            (await admin.patch(f"/tasks/{task}", json=title, headers={"if-match": tag})).status_code
        )

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(change, number)
    assert sorted(statuses) == [200, *[412] * 19]


async def test_the_same_change_again_is_the_same_answer(web: Web) -> None:
    admin = await web.client()
    task = await web.world.task("ship it")
    await web.world.settle()
    tag = (await admin.get(f"/tasks/{task}")).headers["etag"]
    words = {"if-match": tag, "idempotency-key": "once"}
    told = [await admin.patch(f"/tasks/{task}", json={"title": "now"}, headers=words) for _ in range(2)]
    assert [one.status_code for one in told] == [200, 200]
    assert told[0].json() == told[1].json()


async def test_whoever_replaces_says_what_it_read(web: Web) -> None:
    admin = await web.client()
    whole = {"steps": STEPS}
    await problem(await admin.put("/policies/calm", json=whole), 428, "version_required")
    none = {"if-none-match": "*"}
    assert (await admin.put("/policies/calm", json=whole, headers=none)).status_code == 200
    await problem(await admin.put("/policies/calm", json=whole, headers=none), 412, "changed")
    assert (await admin.put("/policies/calm", json={**whole, "expected_version": 1})).status_code == 200
    task = await web.world.task("ship it")
    assert (await admin.patch(f"/tasks/{task}", json={"title": "now"})).status_code == 200


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ('W/"1"', 412, "changed"),
        ('"abc"', 412, "changed"),
        ('"1", "2"', 412, "changed"),
        (f'"{"9" * 30}"', 412, "changed"),
        ("1", 422, "invalid"),
        ('"1', 422, "invalid"),
    ],
)
async def test_what_is_no_version_of_ours_matches_nothing(
    web: Web, said: str, status: int, code: str
) -> None:
    admin = await web.client()
    task = await web.world.task("ship it")
    told = await admin.patch(f"/tasks/{task}", json={"title": "now"}, headers={"if-match": said})
    await problem(told, status, code)


async def test_a_condition_that_is_not_understood_is_not_passed_over(web: Web) -> None:
    admin = await web.client()
    task = await web.world.task("ship it")
    told = await admin.post(f"/tasks/{task}/cancel", headers={"if-match": '"1"'})
    assert set((await problem(told, 422, "invalid"))["fields"]) == {"If-Match"}
    told = await admin.patch(f"/tasks/{task}", json={"title": "x"}, headers={"if-none-match": '"1"'})
    assert set((await problem(told, 422, "invalid"))["fields"]) == {"If-None-Match"}
    two = await admin.patch(
        f"/tasks/{task}", json={"title": "x", "expected_version": 7}, headers={"if-match": '"8"'}
    )
    assert set((await problem(two, 422, "invalid"))["fields"]) == {"expected_version"}
    assert (await admin.get("/tasks", headers={"if-match": '"1"'})).status_code == 200
