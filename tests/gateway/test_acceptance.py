"""The acceptance list of the first system, by its paths and verbs: its nine tests, and what it left out.

1 create an agent, 2 list agents, 3 assign, 4 acknowledge, 5 a history of two after reassigning, 6 who is not
the main agent is chosen first, 7 silence escalates, 8 a ping is sent, 9 a ping that cannot be sent.
"""

from pathlib import Path
from typing import Any

import httpx

from domain.addresses import Reach
from tests.courier.post import Post
from tests.courier.receiver import Receiver, receiver, status
from tests.gateway.web import Web, open_web

BUILDER = {
    "name": "builder",
    "agent_type": "sub_agent",
    "capabilities": ["python"],
    "endpoint_url": "https://agents.example/builder",
    "timeout_minutes": 30,
}


async def test_1_an_agent_is_created(web: Web) -> None:
    admin = await web.client()
    made = await admin.post("/agents/", json=BUILDER)
    assert (made.status_code, made.json()["name"]) == (201, "builder")
    shown = (await admin.get(f"/agents/{made.json()['name']}")).json()["agent"]
    assert (shown["name"], shown["status"], shown["status4"]) == ("builder", "ready", "idle")
    assert (await admin.post("/agents/", json=BUILDER)).json()["code"] == "exists"


async def test_2_agents_are_listed(web: Web) -> None:
    admin = await web.client()
    await admin.post("/agents/", json=BUILDER)
    items = (await admin.get("/agents/")).json()["items"]
    assert [one["name"] for one in items] == ["builder", "Ruto"]
    listed = items[0]
    assert listed["kind"] == "sub_agent"
    assert listed["timeout_us"] == 30 * 60_000_000
    assert listed["capabilities"] == ["python"]


async def test_an_agent_is_not_told_where_it_may_not_be(web: Web) -> None:
    admin = await web.client()
    refused = await admin.post(
        "/agents", json={"name": "spy", "endpoint_url": "https://169.254.169.254/latest"}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert list(refused.json()["fields"]) == ["endpoint_url"]
    assert (await admin.get("/agents/spy")).status_code == 404


async def test_3_a_task_is_assigned_to_whom_it_is_to_be(web: Web) -> None:
    admin = await web.client()
    await web.world.agent("builder")
    task = (await admin.post("/tasks/", json={"title": "ship it"})).json()["task"]
    given = await admin.post(f"/tasks/{task}/assign?agent_name=builder")
    assert given.json()["agent"] == "builder"
    rows = (await admin.get(f"/tasks/{task}/assignments")).json()["items"]
    assert (rows[0]["agent"], rows[0]["status"]) == ("builder", "pending")
    assert (await admin.post(f"/tasks/{task}/assign?agent_name=nobody")).status_code == 404


async def test_4_a_task_is_snoozed_and_acknowledged(web: Web) -> None:
    admin = await web.client()
    await web.world.agent("builder")
    await web.world.agent("other")
    builder = await web.caller("agent", agent="builder")
    other = await web.caller("agent", agent="other")
    number = web.world.rows("SELECT id FROM agents WHERE name = 'builder'")[0][0]
    task = (await admin.post("/tasks/", json={"title": "ship it"})).json()["task"]
    await admin.post(f"/tasks/{task}/assign?agent_name=builder")
    snoozed = await builder.post(f"/agents/{number}/snooze?task_id={task}&minutes=30")
    assert snoozed.json()["status"] == "snoozed"
    told = await builder.post(f"/agents/{number}/acknowledge?task_id={task}")
    assert (told.status_code, told.json()["status"]) == (200, "acknowledged")
    by_body = await builder.post("/agents/builder/acknowledge", json={"task_id": task})
    assert by_body.json()["already"] is True
    assert (await other.post(f"/agents/other/acknowledge?task_id={task}")).status_code == 404
    assert (await builder.post("/agents/builder/acknowledge?task_id=99")).status_code == 404
    wrong = await builder.post("/agents/builder/acknowledge?task_id=x")
    assert wrong.json()["fields"] == {"task_id": "is no number"}
    shown = (await admin.get("/agents/builder")).json()
    assert shown["agent"]["status"] == "working"
    assert [one["task_id"] for one in shown["assignments"]] == [task]


async def test_5_reassigning_makes_a_history_of_two(web: Web) -> None:
    admin = await web.client()
    await web.world.agent("one")
    await web.world.agent("two")
    task = (await admin.post("/tasks", json={"title": "ship it"})).json()["task"]
    await web.world.settle()
    for agent in ("one", "two"):
        await admin.post(f"/tasks/{task}/assign?agent_name={agent}")
    rows = (await admin.get(f"/tasks/{task}/assignments")).json()["items"]
    assert [row["agent"] for row in rows][:2] == ["two", "one"]
    assert rows[0]["status"] == "pending"
    assert rows[1]["end_reason"] == "superseded"


async def test_6_who_is_not_the_main_agent_is_chosen_first(web: Web) -> None:
    admin = await web.client()
    await web.world.agent("builder")
    task = (await admin.post("/tasks", json={"title": "ship it"})).json()["task"]
    await web.world.settle()
    shown = (await admin.get(f"/tasks/{task}")).json()
    assert shown["task"]["agent"] == "builder"
    held = (await admin.get("/agents/builder")).json()
    assert (held["agent"]["status"], held["assignments"][0]["task_id"]) == ("busy", task)


async def test_7_silence_escalates_to_the_main_agent(web: Web) -> None:
    admin = await web.client()
    await web.world.agent("builder")
    task = (await admin.post("/tasks", json={"title": "ship it"})).json()["task"]
    await web.world.settle()
    await web.world.forward(minutes=31)
    rows = (await admin.get(f"/tasks/{task}/assignments")).json()["items"]
    assert [row["agent"] for row in rows] == ["Ruto", "builder"]
    assert (rows[1]["status"], rows[1]["end_reason"]) == ("failed", "timed_out")
    assert rows[0]["level"] == 1
    assert (await admin.get("/agents/Ruto")).json()["agent"]["status"] == "busy"


def reaching(ear: Receiver) -> Reach:
    """Return what an operator allows whose agents listen on his own machine."""
    return Reach(allow=("127.0.0.0/8",), http=True, ports=(ear.port,))


async def told(web: Web, admin: httpx.AsyncClient, ear: Receiver) -> dict[str, Any]:
    """Give a task to an agent that is told at its address, and return what is listed of the delivery."""
    made = await admin.post(
        "/agents/",
        json={
            "name": "builder",
            "agent_type": "sub_agent",
            "endpoint_url": ear.url,
            "timeout_minutes": 30,
        },
    )
    assert made.status_code == 201
    task = (await admin.post("/tasks/", json={"title": "ship it"})).json()["task"]
    await web.world.settle()  # it is given, and there is something to deliver
    await Post(web.world).until_over()
    (seen,) = (await admin.get("/deliveries", params={"agent": "builder"})).json()["items"]
    assert ear.got[0].line == "POST /ping HTTP/1.1"
    assert ear.got[0].body["task_id"] == task
    found: dict[str, Any] = seen
    return found


async def test_8_a_ping_is_sent_to_a_bare_receiver(tmp_path: Path) -> None:
    async with receiver() as ear, open_web(tmp_path, reach=reaching(ear)) as web:
        seen = await told(web, await web.client(), ear)
        assert (seen["state"], seen["status"], seen["tries"]) == ("delivered", 200, 1)
        (got,) = ear.got
        assert list(got.body) == ["task_id", "task_name", "ping_time", "timeout_minutes"]
        assert (got.body["task_name"], got.body["timeout_minutes"]) == ("ship it", 30)


async def test_9_a_ping_that_cannot_be_sent_is_seen_and_escalated(tmp_path: Path) -> None:
    async with receiver() as ear, open_web(tmp_path, reach=reaching(ear)) as web:
        ear.answer = status(500)
        admin = await web.client()
        seen = await told(web, admin, ear)
        assert (seen["state"], seen["status"], seen["why"]) == ("failed", 500, "answered 500")
        await web.world.settle()
        rows = (await admin.get(f"/tasks/{ear.got[0].body['task_id']}/assignments")).json()["items"]
        assert [(row["agent"], row["end_reason"]) for row in rows] == [
            ("Ruto", None),
            ("builder", "unreachable"),
        ]
