"""What is asked at an agent's door is asked in its name, and the answer is the service's own."""

import asyncio
import json
import resource
import stat
from pathlib import Path

import pytest

from bus.client import connect
from bus.nats import NatsBus
from contracts import errors
from contracts.errors import RollcallError
from contracts.operations import ALL
from rollcall.door import DoorError, bridge, doors, hall, http
from tests.cli.conftest import Bus
from tests.client.house import guarded, may_hear, may_publish
from tests.door.conftest import ROOT, Place
from tests.support.nats import connected, until

OUTCOME = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}
NONE = {"status": "none", "lease": None, "retry": True}
DUE = {"status": "due", "lease": {"assignment": 5}, "retry": True}


async def test_the_socket_says_who_speaks(place: Place, bus: Bus) -> None:
    bus.answer("ack", OUTCOME)
    ann, bob = await place.call("ann"), await place.call("bob")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"assignment": 5, "command_id": "c-1", "agent": "bob"}
    reply = await ann.asks("ack", body, traceparent=trace, **{"X-Agent": "bob"})
    assert (reply.status, reply.json, reply.headers["content-type"]) == (200, OUTCOME, "application/json")
    assert (await bob.asks("ack", {"assignment": 6})).status == 200
    (first, said, headers), (second, more, _) = bus.asked
    assert (first, second) == (f"{ROOT}.cmd.agent.ann.ack", f"{ROOT}.cmd.agent.bob.ack")
    assert said == body
    assert headers["traceparent"][:36] == trace[:36]
    assert len(more["command_id"]) == 36  # so that the door may ask again


async def test_every_verb_of_agents_has_a_path_and_no_other_has(place: Place, bus: Bus) -> None:
    caller = await place.call()
    for operation in ALL:
        if operation.scope == "machine":
            continue  # some of its verbs are those of agents
        bus.answer(operation.verb, {"status": "due"})
        reply = await caller.asks(operation.verb, {})
        assert reply.status == (200 if operation.scope == "agent" else 404), operation.name
    for path in ("", "ack/5", "..%2fack", "ack?x=1"):
        assert (await caller.asks(path)).json["code"] == "not_found"
    assert {subject.split(".")[3:5] == ["agent", "ann"] for subject, _, _ in bus.asked} == {True}


@pytest.mark.parametrize(
    "error",
    [kind() for kind in (*errors.all_errors().values(),) if kind is not RollcallError],
    ids=lambda error: error.code,
)
async def test_a_refusal_keeps_its_status(place: Place, bus: Bus, error: RollcallError) -> None:
    bus.answer("ack", error)
    reply = await (await place.call()).asks("ack", {"assignment": 5})
    assert (reply.status, reply.json["code"]) == (error.status, error.code)
    assert reply.headers["content-type"] == "application/problem+json"
    later = str(error.retry_after_s or 1) if error.status in {429, 503} else None
    assert reply.headers.get("retry-after") == later


async def test_silence_is_asked_again_under_the_same_id_and_then_told(place: Place, bus: Bus) -> None:
    bus.answer("ack", None)
    reply = await (await place.call()).asks("ack", {"assignment": 5}, Prefer="respond-async, wait=0.3")
    assert (reply.status, reply.json["code"]) == (503, "unavailable")
    (identity,) = {body["command_id"] for _, body, _ in bus.asked}
    assert f"--command-id {identity}" in reply.json["detail"]
    await until(lambda: len(bus.asked) == 3)
    bus.answer("ack", None)
    assert (await (await place.call()).asks("ack", [5], Prefer="wait=0.3")).status == 503
    bus.answer("sync", None)
    assert "command-id" not in (await (await place.call()).asks("sync", Prefer="wait=0.3")).json["detail"]


async def test_a_fault_of_ours_is_told_and_the_connection_goes_on(
    place: Place, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.answer("ack", OUTCOME)
    caller = await place.call()
    with monkeypatch.context() as patch:
        patch.setattr(bridge, "answer_of", None)
        assert (await caller.asks("ack", {"assignment": 5})).json["code"] == "internal"
    assert (await caller.asks("ack", {"assignment": 5})).status == 200


async def test_a_body_too_large_for_the_bus_is_refused(
    place: Place, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(place.hall._bus, NatsBus)
    monkeypatch.setattr(place.hall._bus.client, "_max_payload", 100_000)
    reply = await (await place.call()).asks("progress", {"assignment": 5, "note": "x" * 200_000})
    assert (reply.status, reply.json["code"]) == (413, "too_large")


async def test_who_leaves_in_the_middle_is_no_fault(place: Place, bus: Bus) -> None:
    bus.answer("ack", OUTCOME)
    caller = await place.call()
    assert (await caller.asks("ack")).status == 200
    caller.write(b"POST /api/v1/agent/ack HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
    caller.leave()
    await place.hall.close("ann")


async def test_nobody_answers_and_no_bus(place: Place, bus: Bus) -> None:
    await bus.client.drain()
    caller = await place.call()
    reply = await caller.asks("ack", {"assignment": 5})
    assert (reply.status, reply.json["code"]) == (503, "nobody_answers")
    assert "pinger" in reply.json["detail"]
    await bus.server.kill()
    while (reply := await caller.asks("ack", {"assignment": 5}, Prefer="wait=0.3")).json[
        "code"
    ] != "unavailable":
        pass  # the connection has not noticed yet
    assert reply.status == 503
    assert (await caller.asks("next", Prefer="wait=5")).status == 503


async def test_a_long_poll_ends_with_what_is_due(
    place: Place, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "ASK_AGAIN_S", 1_000)
    bus.answer("next", NONE, DUE)
    caller = await place.call()
    caller.post("next", headers={"Prefer": "wait=50"})
    await until(lambda: len(bus.asked) == 1)
    await bus.client.publish(f"{ROOT}.ping.bob.5", b"{}")  # somebody else's
    await bus.client.publish(f"{ROOT}.ping.ann.5", b"{}")
    assert (await caller.reply()).json == DUE
    assert len(bus.asked) == 2


async def test_a_long_poll_ends_with_nothing_when_its_time_is_over(place: Place, bus: Bus) -> None:
    bus.answer("next", NONE)
    caller = await place.call()
    assert (await caller.asks("next")).json == NONE
    assert len(bus.asked) == 1
    assert (await caller.asks("next", Prefer="wait=0.05")).json == NONE
    assert bridge.WAIT_S_MAX == 50.0


async def test_a_service_that_restarts_does_not_end_the_wait(
    place: Place, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "ASK_AGAIN_S", 0.02)
    bus.answer("next", NONE, errors.UnavailableError(), DUE)
    assert (await (await place.call()).asks("next", Prefer="wait=50")).json == DUE
    bus.answer("next", NONE, errors.NotFoundError())
    assert (await (await place.call()).asks("next", Prefer="wait=50")).status == 404


async def test_who_leaves_is_not_waited_for(place: Place, bus: Bus) -> None:
    bus.answer("next", NONE)
    caller = await place.call()
    caller.post("next", headers={"Prefer": "wait=50"})
    await until(lambda: len(bus.asked) == 1)
    caller.leave()
    async with asyncio.timeout(10):
        await place.hall.close("ann")  # it waits for those who still stand there


async def test_a_door_that_closes_answers_what_was_asked(place: Place, bus: Bus) -> None:
    bus.answer("next", NONE)
    waiting, idle = await place.call(), await place.call()
    waiting.post("next", headers={"Prefer": "wait=50"})
    await until(lambda: len(bus.asked) == 1)
    await place.hall.close("ann")
    reply = await waiting.reply()
    assert (reply.json, reply.headers["connection"]) == (NONE, "close")
    assert await idle.ended()
    assert list(place.folder.iterdir()) == []
    await place.hall.close("ann")  # once more is no fault


async def test_one_request_after_the_other_on_one_connection(place: Place, bus: Bus) -> None:
    bus.answer("ack", OUTCOME)
    caller = await place.call()
    for _ in range(3):  # sent before the first answer has come
        caller.post("ack", {"assignment": 5})
    for _ in range(3):
        assert (await caller.reply()).json == OUTCOME
    caller.post("ack", {"assignment": 5}, {"Connection": "close"})
    assert (await caller.reply()).headers["connection"] == "close"
    assert await caller.ended()


BAD = {
    "no HTTP": (b"ack 5\r\n\r\n", 400),
    "another version": (b"POST / HTTP/2.0\r\n\r\n", 400),
    "a header without a colon": (b"POST / HTTP/1.1\r\nHost\r\n\r\n", 400),
    "a folded header": (b"POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
    "a space before the colon": (b"POST / HTTP/1.1\r\nA : b\r\n\r\n", 400),
    "a bare newline": (b"POST / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "no length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "pieces": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    "a large head": (b"POST / HTTP/1.1\r\nA: " + b"x" * 9_000 + b"\r\n\r\n", 431),
    "an endless head": (b"x" * 20_000, 431),
    "a large body": (b"POST / HTTP/1.1\r\nContent-Length: 262145\r\n\r\n", 413),
}


@pytest.mark.parametrize(("data", "status"), BAD.values(), ids=BAD)
async def test_what_is_no_request_ends_the_connection(place: Place, data: bytes, status: int) -> None:
    caller = await place.call()
    caller.write(data)
    reply = await caller.reply()
    assert (reply.status, reply.json["status"], reply.headers["connection"]) == (status, status, "close")
    assert await caller.ended()


async def test_what_is_no_parameter_is_refused(place: Place, bus: Bus) -> None:
    caller = await place.call()
    for body in (b"{", b"\xff", b"[" * 200_000):
        assert (await caller.asks("ack", body)).json["code"] == "malformed"
    bus.answer("ack", errors.InvalidError())
    assert (await caller.asks("ack", b"[5]")).status == 422  # the service's to judge
    caller.write(b"GET /api/v1/agent/ack HTTP/1.1\r\n\r\n")
    reply = await caller.reply()
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    caller.write(b"POST /api/v1/agent/ack HTTP/1.0\r\n\r\n")
    assert (await caller.reply()).headers["connection"] == "close"
    assert await caller.ended()


async def test_a_refusal_that_cannot_be_read_is_still_one(place: Place, bus: Bus) -> None:
    async def garble(message: object) -> None:
        reply = getattr(message, "reply", "")
        await bus.client.publish(reply, b"\xff", headers={"Nats-Service-Error-Code": "x"})

    await bus.client.subscribe(f"{ROOT}.other.cmd.agent.*.*", cb=garble)
    await bus.client.flush()
    async with (
        connected(bus.url) as connection,
        doors(place.folder.parent / "o", connection, root=f"{ROOT}.other") as other,
    ):
        caller = await Place(other, place.folder).call()
        reply = await caller.asks("ack")
        caller.leave()
    assert (reply.status, reply.json["code"]) == (500, "internal")


async def test_too_many_at_one_door_are_told_so(
    place: Place, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall, "CALLERS_MAX", 2)
    bus.answer("ack", OUTCOME)
    first, second = await place.call(), await place.call()
    for caller in (first, second):
        assert (await caller.asks("ack")).status == 200
    third = await place.call()
    reply = await third.reply()
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (429, "overloaded", "5")
    first.leave()
    while True:  # when the door has noticed is not to be seen
        again = await place.call()
        again.post("ack")
        if (await again.reply()).status == 200:
            break


async def test_who_says_nothing_is_sent_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hall, "IDLE_S", 0.05)
    silent, slow = await place.call(), await place.call()
    slow.write(b"POST /api/v1/agent/ack HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
    assert await silent.ended()
    assert await slow.ended()


async def test_nobody_else_can_open_the_door(place: Place) -> None:
    path = await place.hall.open("ann")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    with pytest.raises(errors.InvalidError):
        await place.hall.open("../ann")


async def test_a_path_may_be_long_and_what_was_left_is_cleared_away(bus: Bus, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    (folder / "old.sock").touch()
    bus.answer("ack", OUTCOME)
    async with connected(bus.url) as connection, doors(folder, connection, root=ROOT) as found:
        assert list(folder.iterdir()) == []
        await found.open("ann")
        short = tmp_path / "s"
        short.symlink_to(folder)
        reader, writer = await asyncio.open_unix_connection(str(short / "ann.sock"))
        writer.write(b"POST /api/v1/agent/ack HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        assert found.agents == {"ann"}
    assert list(folder.iterdir()) == []


async def test_a_folder_that_cannot_be_ours_is_named(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with connected(bus.url) as connection:
        with pytest.raises(DoorError, match="file"):
            async with doors(tmp_path / "file", connection, root=ROOT):
                pass
        async with doors(tmp_path / "gone", connection, root=ROOT) as found:
            (tmp_path / "gone").rmdir()
            with pytest.raises(DoorError, match="gone"):
                await found.open("ann")
            assert found.agents == set()


async def test_half_of_the_files_are_left_to_the_others(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (8, 8))
    async with connected(bus.url) as connection, doors(tmp_path / "d", connection, root=ROOT) as found:
        place = Place(found, tmp_path / "d")
        for name in ("ann", "bob", "cid", "dan"):
            await found.open(name)
        assert (await (await place.call("ann")).reply()).status == 429
        with pytest.raises(DoorError, match="ulimit"):
            await found.open("eve")
        await found.close("bob")
        await found.open("eve")
        place.leave()


def test_a_system_without_limit_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (unlimited, unlimited))
    assert hall.Seats().take()


async def test_what_is_said_goes_out_under_the_agents_own_credential(tmp_path: Path) -> None:
    rules = {"publish": may_publish("ann"), "subscribe": may_hear("ann")}
    async with guarded(tmp_path / "bus", agent="ann", **rules) as (house, server):
        own = NatsBus(await connect(server.url_of("ann"), name="ann", inbox_prefix="_INBOX_ann"))
        await own.start()
        try:
            async with doors(tmp_path / "doors", own, root=ROOT) as found:
                place = Place(found, tmp_path / "doors")
                assert (await (await place.call("ann")).asks("ack", {"assignment": 5})).status == 200
                refused = await (await place.call("bob")).asks("ack", {"assignment": 5}, Prefer="wait=0.3")
                assert (refused.status, refused.json["code"]) == (403, "forbidden")
                poll = await (await place.call("bob")).asks("next", Prefer="wait=50")
                assert poll.status == 403
                await found.close("bob")
                theirs = NatsBus(house.client)
                await found.open("bob", theirs)
                assert (await (await place.call("bob")).asks("ack", {"assignment": 6})).status == 200
                place.leave()
        finally:
            await own.drain()
        assert [body["assignment"] for _, body in house.commands] == [5, 6]


def test_a_status_that_only_we_know_has_a_word() -> None:
    answer = http.Answer(status=599, body=b"")
    assert http.written(answer, keeps=True).startswith(b"HTTP/1.1 599 Refused\r\n")


def test_the_wait_that_is_preferred_is_understood() -> None:
    for text, wait in {"wait=5": "5", "a; wait=0.5, b": "0.5", "Wait=7": "7"}.items():
        found = bridge._WAIT.search(text)
        assert found is not None
        assert found[1] == wait
    for text in ("waiting=5", "wait=x", "wait=-1", "await=5", json.dumps({"wait": 5})):
        assert bridge._WAIT.search(text) is None
