"""Everything hostile that a bus can bring: refused by name, or data that stays data."""

import json
from typing import Any

import msgspec
import pytest

from bus.api import Unsendable
from tests.support.world import Refused, World

BAD_BODIES = {
    "cut short": (b'{"assignment":1', 400, "malformed"),
    "trailing bytes": (b'{"assignment":1}x', 400, "malformed"),
    "byte order mark": (b'\xef\xbb\xbf{"assignment":1}', 400, "malformed"),
    "bad UTF-8": (b'{"assignment":1,"reason":"\xff"}', 400, "malformed"),
    "not a number": (b'{"assignment":NaN}', 400, "malformed"),
    "infinity": (b'{"assignment":1e999}', 422, "invalid"),
    "deep nesting": (b'{"assignment":1,"x":' + b"[" * 30_000, 400, "malformed"),
    "an array": (b"[1]", 422, "invalid"),
    "null": (b"null", 422, "invalid"),
    "no assignment": (b"{}", 422, "invalid"),
    "2 to the 63": (b'{"assignment":9223372036854775808}', 422, "invalid"),
    "400 digits": (b'{"assignment":' + b"9" * 400 + b"}", 422, "invalid"),
    "zero": (b'{"assignment":0}', 422, "invalid"),
    "negative": (b'{"assignment":-1}', 422, "invalid"),
    "true": (b'{"assignment":true}', 422, "invalid"),
    "text": (b'{"assignment":"1"}', 422, "invalid"),
    "a fraction": (b'{"assignment":1.5}', 422, "invalid"),
    "more than 64 KiB": (b'{"assignment":1,"reason":"' + b"x" * 66_000 + b'"}', 413, "too_large"),
    "an endless reason": (b'{"assignment":1,"reason":"' + b"x" * 2_001 + b'"}', 422, "invalid"),
    "a lone surrogate": (b'{"assignment":1,"reason":"\\ud800"}', 400, "malformed"),
    "an odd command id": (b'{"assignment":1,"command_id":"a b"}', 422, "invalid"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_bad_body_is_refused_by_name(world: World, body: bytes, status: int, code: str) -> None:
    task, lease = await world.given("a1")
    reply = await world.raw("cmd.agent.a1.snooze", body)
    problem = json.loads(reply.data)
    assert (problem["status"], problem["code"]) == (status, code)
    assert reply.headers["Nats-Service-Error-Code"] == str(status)
    assert reply.headers["Nats-Service-Error"] == code
    told = reply.data.decode().lower()
    assert not [word for word in ("traceback", ".py", "select ", "sqlite") if word in told]
    assert await world.lease(task) == lease


async def test_unknown_fields_are_let_pass(world: World) -> None:
    """Forward compatible: a newer client may say more."""
    _, lease = await world.given("a1")
    assert (await world.says("a1", "ack", lease, mood="fine")).accepted


NAMES = [
    "a.b",
    "a*",
    "a>",
    ">",
    "",
    "a b",
    "x" * 64,
    "-x",
    "é",
    "a\u202eb",
    "a\u0000b",
    "a\nb",
    "a/b",
    "\u0430",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_a_subject_token_or_refused(world: World, name: str) -> None:
    with pytest.raises(Refused, match="422 invalid"):
        await world.operator("agent.add", name=name)
    assert world.rows("SELECT name FROM agents") == [("Ruto",)]


@pytest.mark.parametrize("token", ["-x", "é", "a%2eb", "x" * 64, "a\u202eb"])
async def test_whoever_has_no_name_is_refused(world: World, token: str) -> None:
    """The identity stands in the subject; a wildcard there is the server's to refuse."""
    reply = await world.raw(f"cmd.agent.{token}.sync", b"{}")
    assert reply.headers["Nats-Service-Error-Code"] == "422"
    reply = await world.raw(f"cmd.assigner.task-ls.{token}", b"{}")
    assert reply.headers["Nats-Service-Error-Code"] == "422"


@pytest.mark.parametrize("text", ["\u0000", "a\u0007b", "\u001b[31mred", "line\r\nbreak", "\u007f"])
async def test_control_characters_are_refused_wherever_people_write(world: World, text: str) -> None:
    task, lease = await world.given("a1")
    written: dict[str, dict[str, Any]] = {
        "task.add": {"title": text},
        "task.set": {"task": task, "description": text},
        "task.comment": {"task": task, "text": text},
    }
    for operation, params in written.items():
        with pytest.raises(Refused, match="422 invalid"):
            await world.operator(operation, **params)
    assert (await world.refused("a1", "progress", lease, note=text)).status == 422
    assert (await world.refused("a1", "decline", lease, reason=text)).status == 422
    assert await world.lease(task) == lease


async def test_other_text_comes_back_as_it_went_in(world: World) -> None:
    text = "tab\tand\nline, <b>\u202e\u200d</b> 🙂 ' OR 1=1; -- %s {} ${HOME}"
    task = await world.task("t", description=text)
    assert (await world.show(task)).task.description == text


async def test_what_is_too_large_for_the_bus_never_leaves(world: World) -> None:
    with pytest.raises(Unsendable):
        await world.raw("cmd.agent.a1.sync", b"x" * (2 << 20))
    assert (await world.operator("task.ls")).items == ()


async def test_what_is_too_large_for_the_stream_is_refused_by_it(world: World) -> None:
    item = await refused_by_stream(world, b'{"kind":"ack","x":"' + b"x" * 70_000 + b'"}')
    assert "size" in item


async def refused_by_stream(world: World, body: bytes) -> str:
    reply = await world.bus.request("rollcall.v1.ack.a1.1", body, timeout_s=5)
    return str(msgspec.json.decode(reply.data)["error"]["description"])


async def test_a_reply_that_points_elsewhere_is_not_followed(world: World) -> None:
    """Permissions do not cover the reply field: an agent must not make us publish where it may not."""
    await world.agent("a1")
    await world.bus.publish("rollcall.v1.cmd.agent.a1.sync", b"{}", reply="rollcall.v1.ping.a2.1")
    await world.bus.publish("rollcall.v1.hb.ghost", b"{}", reply="rollcall.v1.ping.a2.1")
    await world.operator("task.ls")
    await world.hear()
    assert world.on("ping.a2") == []


@pytest.mark.parametrize(
    "page", [{"limit": -1}, {"limit": 10**9}, {"limit": 0}, {"after": -1}, {"after": 2**63}]
)
async def test_a_page_has_limits(world: World, page: dict[str, int]) -> None:
    with pytest.raises(Refused, match="422 invalid"):
        await world.operator("task.ls", **page)


@pytest.mark.parametrize(
    "due_at", ["2026-01-01T00:00:00", "tomorrow", "1960-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00", 5]
)
async def test_a_due_date_is_an_instant_with_its_zone(world: World, due_at: object) -> None:
    with pytest.raises(Refused, match="422 invalid"):
        await world.task("ship it", due_at=due_at)
