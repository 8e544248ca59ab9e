"""Changes as they happen: to many, in order, from where each was; and how a stream ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import anyio
import httpx
import pytest

from contracts import tokens
from contracts.events import AGGREGATES
from contracts.reminders import Reminder
from contracts.work import Changes, Fact, Needs, Unit
from domain.draft import Record
from services.gateway import Listening, events
from tests.gateway.test_listening import SETTINGS, TOKEN, address
from tests.gateway.web import FIXED, Web, open_web
from tests.support.nats import until
from tests.support.processes import up

STREAMS = 500


class Listener:
    """One stream, read in pieces."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def frame(self) -> dict[str, str]:
        """Return the next frame."""
        found: dict[str, str] = {}
        with anyio.fail_after(10):
            async for line in self._lines:
                if not line and found:
                    return found
                name, _, value = line.partition(": ")
                if line:
                    found[name or "comment"] = value
        return found

    async def change(self) -> dict[str, Any]:
        """Return the next change."""
        frame = await self.frame()
        while "data" not in frame:
            frame = await self.frame()
        return {"id": frame["id"], "event": frame["event"], "data": json.loads(frame["data"])}


@asynccontextmanager
async def listening(client: httpx.AsyncClient, path: str = "", last: str = "") -> AsyncIterator[Listener]:
    headers = {"last-event-id": last} if last else {}
    async with client.stream("GET", f"/events{path}", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = Listener(answer)
        assert "retry" in await found.frame()
        yield found


async def test_a_change_is_heard_as_it_stands_in_the_audit(web: Web) -> None:
    admin = await web.client()
    reader = await web.caller("read_only")
    async with listening(reader) as stream:
        await admin.post("/agents", json={"name": "ann"})
        heard = await stream.change()
    (stands,) = (await admin.get("/audit?aggregate=agent&id=ann")).json()["items"]
    assert heard["data"] == stands
    assert heard["id"] == f"{stands['incarnation']}:{stands['seq']}"
    assert heard["event"] == "agent.registered"


async def test_only_what_was_asked_for_is_heard(web: Web) -> None:
    admin = await web.client()
    async with (
        listening(admin, "?aggregate=agent") as agents,
        listening(admin, "?aggregate=agent&id=bob") as bobs,
    ):
        for name in ("ann", "bob"):
            await admin.post("/agents", json={"name": name})
            await admin.post("/tasks", json={"title": "x"})
        heard = [(await agents.change())["data"] for _ in range(3)]
        assert {one["aggregate"] for one in heard} == {"agent"}
        assert {"ann", "bob"} <= {one["id"] for one in heard}
        assert (await bobs.change())["data"]["id"] == "bob"


async def test_who_comes_back_hears_what_it_missed(web: Web) -> None:
    admin = await web.client()
    async with listening(admin, "?aggregate=task") as stream:
        await admin.post("/tasks", json={"title": "first"})
        last = (await stream.change())["id"]
    made = [(await admin.post("/tasks", json={"title": "missed"})).json()["task"] for _ in range(5)]
    async with listening(admin, "?aggregate=task", last) as again:
        heard = [await again.change() for _ in range(5)]
    created = [int(one["data"]["id"]) for one in heard if one["data"]["event"] == "created"]
    assert made[: len(created)] == created
    numbers = [one["data"]["seq"] for one in heard]
    assert numbers == sorted(numbers)


async def test_who_is_further_back_than_memory_reads_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RING_MAX", 3)
    monkeypatch.setattr(events, "PAGE", 2)
    async with open_web(tmp_path) as web:
        admin = await web.client()
        first = (await admin.get("/audit?limit=1")).json()["items"][0]
        async with listening(admin) as live:
            for number in range(9):
                await admin.post("/agents", json={"name": f"a{number}"})
            near = [(await live.change())["data"]["seq"] for _ in range(9)]
        async with listening(admin, last=f"{first['incarnation']}:{first['seq']}") as stream:
            far = [(await stream.change())["data"]["seq"] for _ in range(near[-1] - first["seq"])]
    stored = web.world.rows("SELECT seq FROM audit WHERE seq > ? ORDER BY seq", first["seq"])
    assert far == [row[0] for row in stored][: len(far)]
    assert far[-9:] == near


async def test_what_cannot_be_told_is_said(web: Web) -> None:
    admin = await web.client()
    for unknown in ("0123456789abcdef:1", "0123456789abcdef:999999999"):
        async with listening(admin, last=unknown) as stream:
            assert (await stream.frame())["event"] == "resync"
            await admin.post("/tasks", json={"title": "x"})
            assert (await stream.change())["data"]
    for wrong in ("x", "a:b", "a b:1", f"a:{10**30}"):
        answer = await admin.get("/events", headers={"last-event-id": wrong})
        assert (answer.status_code, set(answer.json()["fields"])) == (422, {"Last-Event-ID"})
    for asked, fields in (
        ("aggregate=tsk", {"aggregate": "is not known; did you mean task?"}),
        ("aggregate=task&aggregate=agent", {"aggregate": "is said twice"}),
        ("aggregat=task", {"aggregat": "is not known; did you mean aggregate?"}),
        ("id=", {"id": "is empty"}),
    ):
        answer = await admin.get(f"/events?{asked}")
        assert (answer.status_code, answer.json()["fields"]) == (422, fields)
    assert (await admin.get("/bus?x=1")).status_code == 422


def test_every_aggregate_that_is_written_can_be_asked_for() -> None:
    roots = [Path(events.__file__).parents[2] / name for name in ("domain", "store", "services")]
    written = {
        found
        for root in roots
        for file in root.rglob("*.py")
        for found in re.findall(r'aggregate="(\w+)"', file.read_text("utf-8"))
    }
    recorded = {kind.__name__.lower() for kind in (*get_args(Record), Reminder)}
    assert written
    assert written | recorded == set(AGGREGATES)


async def test_who_may_not_listen_is_refused(web: Web) -> None:
    await web.world.agent("ann")
    ann = await web.caller("agent", agent="ann")
    assert (await ann.get("/events")).status_code == 403


async def test_a_stream_ends_with_its_token(web: Web) -> None:
    admin = await web.client()
    reader = await web.caller("read_only", name="eye")
    async with listening(reader) as stream:
        await admin.delete("/tokens/eye")
        web.world.clock.move(web.world.clock.at + 1_000_000)
        with anyio.fail_after(5):
            assert [line async for line in stream._lines if line.startswith("data: {}")] == []


async def test_changes_are_heard_while_the_bus_is_away(web: Web) -> None:
    admin = await web.client()
    async with listening(admin) as stream:
        await web.world.cut_off()
        await web.world.house.store.run([noted()], web.world.clock.at)
        while (await stream.change())["event"] != "agent.noted":
            pass  # the house may still be at its own beginning
        await web.world.join_again()


def noted() -> Unit:
    fact = Fact(aggregate="agent", id="x", event="noted", version=1, actor="rollcall:test")
    return Unit(key="x", needs=Needs(), decide=lambda _view, _now: Changes(facts=(fact,)))


async def test_a_quiet_stream_says_that_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.0)
    async with open_web(tmp_path) as web, listening(await web.client()) as stream:
        assert (await stream.frame())["comment"] == "still here"


async def test_there_are_only_so_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STREAMS_MAX", 1)
    async with open_web(tmp_path) as web:
        admin = await web.client()
        async with listening(admin):
            refused = await admin.get("/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        await until(lambda: _opens(admin))


@pytest.mark.parametrize("role", ["read_only", "operator"])
async def test_one_token_cannot_take_the_places_of_others(tmp_path: Path, role: Any) -> None:
    async with open_web(tmp_path, Listening(fixed=tokens.digest(FIXED), streams=2)) as web:
        admin, caller = await web.client(), await web.caller(role)
        async with listening(caller), listening(caller):
            refused = await caller.get("/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
            async with listening(admin):
                assert (await caller.get("/tasks")).status_code == 200
        await until(lambda: _opens(caller))


async def _opens(client: httpx.AsyncClient) -> bool:
    async with client.stream("GET", "/events") as answer:
        return answer.status_code == 200


async def test_sigterm_with_five_hundred_streams_ends_at_once_and_in_silence(tmp_path: Path) -> None:
    async with up(tmp_path, SETTINGS | {"http.streams": STREAMS}) as program:
        url = await address(program)
        host, port = re.sub(r"^http://", "", url).split(":")
        request = (
            f"GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        ).encode()
        streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(STREAMS):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            streams.append((reader, writer))
        for reader, _ in streams:
            assert b"200 OK" in await reader.readuntil(b"retry: 1000")
        program.process.send_signal(signal.SIGTERM)
        with anyio.fail_after(10):  # stock uvicorn waits for each stream's own end: for ever
            for reader, _ in streams:
                await reader.read()
        assert await program.ended() == 0
        for _, writer in streams:
            writer.close()
    said = "".join(program.said)
    assert "Traceback" not in said
    assert "uvicorn" not in said
