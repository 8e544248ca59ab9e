"""What was not confirmed is never reported as done; what can be repaired is repaired."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.msg import Msg

from rollcall.client import Agent, Closed, NotAllowed, NotStored, RollcallError, Unavailable, line
from tests.client.house import BUSY, House, furnished, guarded, lease, may_hear, may_publish
from tests.support.nats import kept


async def test_the_template_of_permissions_is_enough(tmp_path: Path) -> None:
    publish, subscribe = may_publish("builder"), may_hear("builder")
    async with (
        guarded(tmp_path, publish=publish, subscribe=subscribe) as (house, server),
        Agent("builder", url=server.url_of("builder"), patience_s=5) as me,
    ):
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        assert (await found.ack()).command_id
        assert (await found.complete(outcome=True)).outcome


async def test_a_publish_that_is_not_permitted_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TRY_S", 0.2)
    may = [subject for subject in may_publish("builder") if ".ack." not in subject]
    async with (
        guarded(tmp_path, publish=may, subscribe=may_hear("builder")) as (house, server),
        Agent("builder", url=server.url_of("builder"), patience_s=30) as me,
    ):
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        with pytest.raises(NotAllowed, match="permissions violation"):
            await found.ack()
    assert not house.acks


async def test_an_agent_that_may_not_listen_does_not_start_deaf(tmp_path: Path) -> None:
    may = [subject for subject in may_hear("builder") if ".ping." not in subject]
    async with guarded(tmp_path, publish=may_publish("builder"), subscribe=may) as (_, server):
        with pytest.raises(NotAllowed, match=r"rollcall\.v1\.ping\.builder"):
            async with Agent("builder", url=server.url_of("builder")):
                pass


async def test_wrong_credentials_are_told_at_once(tmp_path: Path) -> None:
    async with guarded(tmp_path, publish=[">"], subscribe=[">"]) as (_, server):
        url = f"nats://builder:guess@{server.address}"
        with pytest.raises(NotAllowed) as refused:
            async with Agent("builder", url=url, patience_s=3_600):
                pass
        assert "guess" not in str(refused.value)


async def test_without_a_stream_nothing_is_stored(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server):
        await house.client.jetstream().delete_stream("ROLLCALL_ACKS")
        async with Agent("builder", url=server.url) as me:
            await house.ping(1)
            found = await anext(aiter(me.pings()))
            me._line._patience_s = 0.5
            with pytest.raises(Unavailable):
                await found.ack()
            assert house.acks


async def test_without_a_server_it_gives_up_in_time() -> None:
    with kept() as nobody, pytest.raises(Unavailable):
        async with Agent("builder", url=f"nats://127.0.0.1:{nobody.getsockname()[1]}", patience_s=0.3):
            pass


async def test_what_is_too_large_is_not_stored(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url) as me:
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        with pytest.raises(NotStored, match="payload"):
            await found.progress("x" * 2_000_000)
        await found.progress("x")


async def failing_with(reply: bytes, agent: Agent, house: House) -> RollcallError:
    """Answer the next ack with `reply`, and return what the agent raises."""

    async def answer(message: Msg) -> None:
        await message.respond(reply)

    await house.client.jetstream().delete_stream("ROLLCALL_ACKS")
    await house.client.subscribe("rollcall.v1.ack.*.*", cb=answer)
    await house.ping(1)
    found = await anext(aiter(agent.pings()))
    agent._line._patience_s = 0.4
    with pytest.raises(RollcallError) as raised:
        await found.ack()
    return raised.value


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"+OK", NotStored),
        (b"[]", NotStored),
        (b'{"accepted": true}', NotStored),
        (b'{"stream": "ROLLCALL_ACKS"}', NotStored),
        (b'{"error": {"code": 400, "err_code": 10054, "description": "too large"}}', NotStored),
        (b'{"error": {"code": 503, "err_code": 10077, "description": "full"}}', Unavailable),
    ],
)
async def test_only_a_stream_can_say_that_it_is_stored(
    tmp_path: Path, reply: bytes, kind: type[Exception]
) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url) as me:
        assert type(await failing_with(reply, me, house)) is kind


async def test_tries_share_a_command_and_have_their_own_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TRY_S", 0.1)
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url) as me:
        await house.client.jetstream().delete_stream("ROLLCALL_ACKS")
        replies = {"1": b"", "2": b'{"error": {"err_code": 10158}}'}

        async def answer(message: Msg) -> None:
            number = (message.headers or {})["Nats-Msg-Id"].rpartition(":")[2]
            if reply := replies.get(number, b'{"stream": "S", "seq": 1}'):
                await message.respond(reply)

        await house.client.subscribe("rollcall.v1.ack.*.*", cb=answer)
        await house.ping(1)
        receipt = await (await anext(aiter(me.pings()))).ack()
    tries = len(house.acks)
    assert tries >= 3
    assert [headers["Nats-Msg-Id"] for _, _, headers in house.acks] == [
        f"{receipt.command_id}:{n}" for n in range(1, tries + 1)
    ]
    assert {body["command_id"] for _, body, _ in house.acks} == {receipt.command_id}


async def test_the_user_can_repeat_what_is_uncertain(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url) as me:
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        me._line._patience_s = 0.3
        await server.kill()
        with pytest.raises(Unavailable) as uncertain:
            await found.ack()
        await server.start()
        again: Callable[[], Any] = lambda: found.ack(command_id=uncertain.value.command_id)  # noqa: E731
        receipt = await eventually(again)
        assert receipt.command_id == uncertain.value.command_id


async def eventually(act: Callable[[], Any]) -> Any:
    """Do it until the connection is back."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await act()
            except Unavailable:
                continue


async def test_it_survives_the_death_of_the_server(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url, interval_s=1) as me:
        pings = aiter(me.pings())
        await house.ping(1)
        first = await anext(pings)
        await house.until(lambda: house.beats)
        await server.kill()
        answer = asyncio.create_task(first.complete("during the outage"))
        house.leases = [lease(1, 1), lease(2, 1)]
        beats = len(house.beats)
        await server.start()
        assert (await anext(pings)).assignment == 2  # missed, and owed: told by the join that follows
        await answer
        await house.until(lambda: len(house.beats) >= beats + 2)
        await house.ping(2, 1)
        await house.ping(3, 1)
        assert (await anext(pings)).assignment == 3
        joins = [body for verb, body in house.commands if verb == "join"]
        assert len(joins) >= 2
        assert {body["session"] for body in joins} == {me.session}
        seqs = [beat["seq"] for beat in house.beats]
        assert seqs == sorted(set(seqs))


async def test_it_finds_the_server_at_its_new_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "first"
    monkeypatch.setenv("ROLLCALL_STATE_DIR", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    file = tmp_path / "here/nats.url"
    async with furnished(folder) as (house, server):
        file.write_text(server.url + "\n", "utf-8")
        agent = Agent("builder", interval_s=1)
        await agent.__aenter__()
        await house.until(lambda: house.beats)
        await server.kill()
    async with furnished(tmp_path / "second") as (house, server):
        file.write_text(server.url, "utf-8")
        await house.until(lambda: "join" in house.verbs() and house.beats)
        await agent.__aexit__(None, None, None)
        assert house.verbs()[-1] == "leave"


async def test_an_outage_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server):
        async with asyncio.timeout(10), Agent("builder", url=server.url) as me:
            await house.ping(1)
            found = await anext(aiter(me.pings()))
            await server.kill()
        with pytest.raises(Closed):
            await found.ack()
        await server.start()


async def test_where_the_bus_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="no bus is running"):
        await Agent("builder").__aenter__()
    async with furnished(tmp_path / "rollcall") as (house, server):
        async with Agent("builder"):  # the file that `rollcall up` writes
            assert house.verbs() == ["join"]
        for name in ("NATS_URL", "ROLLCALL_NATS__URL"):
            monkeypatch.setenv("ROLLCALL_STATE_DIR", str(tmp_path / "nowhere"))
            monkeypatch.setenv(name, server.url)
            async with Agent("builder"):
                assert house.verbs()[-1] == "join"
            monkeypatch.delenv(name)


def test_a_refusal_is_readable() -> None:
    from rollcall.client import Problem, Refused

    problem = Problem(code="invalid", status=422, detail="no", fields={"minutes": "at most 480"})
    assert str(Refused(problem)) == "invalid: no; minutes: at most 480"
    assert json.dumps(Refused(problem).state) == "{}"


async def test_a_bus_that_goes_while_it_subscribes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def subscribe(*_arguments: object) -> None:
        raise nats.errors.ConnectionClosedError

    monkeypatch.setattr(line.Line, "subscribe", subscribe)
    async with furnished(tmp_path) as (_, server):
        with pytest.raises(Unavailable):
            await Agent("builder", url=server.url).__aenter__()


async def test_it_joins_as_soon_as_somebody_is_there_to_join(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url, interval_s=1) as me:
        await house.until(lambda: house.beats)
        me._line._patience_s = 0.2
        house.problems["join"] = [BUSY] * 4
        await house.complain()
        await house.until(lambda: house.verbs().count("join") >= 6)
        assert not house.problems["join"]


async def test_a_connection_that_is_closed_for_good_ends_it(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url, interval_s=1) as me:
        await house.until(lambda: house.beats)
        await me._line.client.close()
        with pytest.raises(Closed, match="closed the connection"):
            await anext(aiter(me.pings()))


async def test_a_fault_of_our_own_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(line.Line, "say", say)
    async with furnished(tmp_path) as (_, server), Agent("builder", url=server.url) as me:
        with pytest.raises(Closed, match="ZeroDivisionError"):
            await anext(aiter(me.pings()))
