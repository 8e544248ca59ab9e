"""The doors: micro protocol, overload, and everything hostile that a bus can bring."""

import json

import anyio
import msgspec
import pytest

from bus.api import Incoming, Unsendable
from contracts.operations import ALL, owned_by
from tests.support.world import Refused, World

SERVICES = {"assigner", "pinger", "escalator", "monitor", "relay"}


async def gathered(world: World, subject: str, count: int) -> list[dict[str, object]]:
    """Ask without knowing who will answer, as `nats micro ls` does."""
    answers: list[Incoming] = []
    enough = anyio.Event()

    def on_answer(message: Incoming) -> None:
        answers.append(message)
        if len(answers) >= count:
            enough.set()

    inbox = world.bus.client.new_inbox()
    subscription = await world.bus.subscribe(inbox, on_answer)
    await world.bus.publish(subject, b"", reply=inbox)
    with anyio.fail_after(10):
        await enough.wait()
    await world.hear()
    await subscription.unsubscribe()
    return [msgspec.json.decode(answer.data) for answer in answers]


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_every_service_tells_of_itself(world: World, verb: str) -> None:
    told = await gathered(world, f"$SRV.{verb}", len(SERVICES))
    assert {str(one["name"]) for one in told} == {f"rollcall-{name}" for name in SERVICES}
    for one in told:
        assert one["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
        assert one["version"] == "0.0.0"
        assert one["id"]
        assert one["metadata"] == {}
        assert ("endpoints" in one) == (verb != "PING")


async def test_info_lists_every_operation_and_how_to_ask(world: World) -> None:
    (info,) = await gathered(world, "$SRV.INFO.rollcall-pinger", 1)
    listed = {end["name"]: end for end in msgspec.convert(info["endpoints"], list[dict[str, object]])}
    assert set(listed) == {operation.name.replace(".", "-") for operation in owned_by("pinger")}
    assert listed["assignment-ack"]["subject"] == "rollcall.v1.cmd.agent.*.ack"
    assert listed["assignment-ack"]["queue_group"] == "rollcall-pinger"
    assert info["description"]


async def test_every_operation_has_an_owner_that_answers(world: World) -> None:
    told = await gathered(world, "$SRV.INFO", len(SERVICES))
    names = [
        str(end["name"]) for one in told for end in msgspec.convert(one["endpoints"], list[dict[str, object]])
    ]
    assert sorted(names) == sorted(operation.name.replace(".", "-") for operation in ALL)


async def test_stats_count_requests_and_errors(world: World) -> None:
    _, lease = await world.given("a1")
    await world.says("a1", "ack", lease)
    await world.refused("a1", "ack", 999)
    (told,) = await gathered(world, "$SRV.STATS.rollcall-pinger", 1)
    ends = {end["name"]: end for end in msgspec.convert(told["endpoints"], list[dict[str, object]])}
    ack = ends["assignment-ack"]
    assert (ack["num_requests"], ack["num_errors"], ack["last_error"]) == (2, 1, "404:not_found")
    assert msgspec.convert(ack["processing_time"], int) > 0


async def test_too_much_at_once_is_refused_to_operators_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.commands.WAITING_MAX", 10)
    held = [(await world.given(f"a{number}"))[1] for number in range(30)]
    open_again = anyio.Event()
    sound = world.house.store.run

    async def slow(units: object, now: int) -> object:
        await open_again.wait()
        return await sound(units, now)  # type: ignore[arg-type]

    monkeypatch.setattr(world.house.store, "run", slow)
    refused: list[str] = []
    taken: list[str] = []

    async def command(number: int) -> None:
        body = msgspec.json.encode({"task": 1, "text": f"remark {number}"})
        reply = await world.raw("cmd.assigner.task-comment.tester", body)
        code = reply.headers.get("Nats-Service-Error-Code")
        (refused if code else taken).append(code or "")
        if len(refused) == 10:
            open_again.set()

    async def answer(agent: str, lease: int) -> None:
        reply = await world.raw(f"cmd.agent.{agent}.ack", b'{"assignment":%d}' % lease)
        assert "Nats-Service-Error-Code" not in reply.headers

    async with anyio.create_task_group() as group:
        for number, lease in enumerate(held):
            group.start_soon(answer, f"a{number}", lease.id)
            group.start_soon(command, number)
    assert set(refused) == {"429"}
    assert len(refused) >= 10
    assert len(taken) >= 10
    assert world.rows("SELECT count(*) FROM assignments WHERE status = 'acknowledged'") == [(30,)]


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


@pytest.mark.parametrize("text", ["\u0000", "a\u0007b", "\u001b[31mred", "line\r\nbreak"])
async def test_control_characters_stay_data(world: World, text: str) -> None:
    """They come back as they went in, and reach no subject and no header."""
    try:
        task = await world.task(f"t{text}", description=text)
    except Refused as refused:
        assert refused.problem.status == 422  # noqa: PT017
        return
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
