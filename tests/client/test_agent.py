"""The agent client on a real server: what it yields, what it sends, and what it makes of refusals."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from rollcall import Agent
from rollcall.client import Closed, Held, Notice, Refused, agent, desk, line
from tests.client.house import AT, BUSY, NOT_FOUND, STALE, House, furnished, lease, ping, withdrawn
from tests.support.nats import Server, until

Furnished = tuple[House, Server]


@pytest.fixture
async def house_and_server(tmp_path: Path) -> AsyncIterator[Furnished]:
    async with furnished(tmp_path / "bus") as both:
        yield both


@pytest.fixture
def house(house_and_server: Furnished) -> House:
    return house_and_server[0]


@pytest.fixture
def url(house_and_server: Furnished) -> str:
    return house_and_server[1].url


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost here: whoever is answered late must not ask twice."""
    monkeypatch.setattr(line, "TRY_S", 30.0)


async def heard(me: Agent, assignment: int, attempt: int = 1) -> None:
    """Wait until a ping is known to the agent: what was said before it is known, too."""
    await until(lambda: me._desk._known.get(("i1", assignment), 0) >= attempt)


def builder(url: str, **more: object) -> Agent:
    return Agent("builder", url=url, patience_s=10, **more)  # type: ignore[arg-type]


async def test_it_joins_beats_and_leaves(house: House, url: str) -> None:
    async with builder(url, interval_s=7, capabilities=["backend"]) as me:
        await house.until(lambda: house.beats)
        assert house.beats[0] == {"session": me.session, "interval_s": 7, "seq": 1}
    (_, hello), (_, goodbye) = house.commands
    assert house.verbs() == ["join", "leave"]
    assert (hello["session"], hello["interval_s"], hello["capabilities"]) == (me.session, 7, ["backend"])
    assert goodbye["session"] == me.session
    assert [found async for found in me.pings()] == []


async def test_an_unknown_agent_is_told_so(house: House, url: str) -> None:
    house.problems["join"] = [NOT_FOUND]
    with pytest.raises(Refused, match="not_found"):
        async with builder(url):
            pass


async def test_every_answer_goes_to_the_stream(house: House, url: str) -> None:
    async with builder(url) as me:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        await house.say("ping.builder.7", ping(7, 3), traceparent=trace)
        found = await anext(aiter(me.pings()))
        assert (found.assignment, found.task, found.attempt, found.title) == (7, 107, 3, "T")
        receipts = [
            await found.ack(),
            await found.progress("half"),
            await found.wait("peer", "ann"),
            await found.resume(),
            await found.snooze(5),
            await found.unsnooze(),
            await found.decline("no"),
            await found.fail("broken", final=True),
            await found.release(),
            await found.complete("done"),
        ]
    assert {subject for subject, _, _ in house.acks} == {"rollcall.v1.ack.builder.7"}
    kinds = [
        "ack",
        "progress",
        "wait",
        "resume",
        "snooze",
        "unsnooze",
        "decline",
        "fail",
        "release",
        "complete",
    ]
    assert [body["kind"] for _, body, _ in house.acks] == kinds
    assert [body["command_id"] for _, body, _ in house.acks] == [each.command_id for each in receipts]
    for _, body, headers in house.acks:
        assert (body["incarnation"], body["attempt"], body["session"]) == ("i1", 3, me.session)
        assert headers["Nats-Msg-Id"] == f"{body['command_id']}:1"
        assert headers["traceparent"].startswith(f"00-{'a' * 32}-")
    assert house.acks[2][1]["on"] == "peer"
    assert "reason" not in house.acks[2][1]
    stored = json.loads((await house.client.request("$JS.API.STREAM.INFO.ROLLCALL_ACKS", b"", 5)).data)
    assert stored["state"]["messages"] == len(kinds)


async def test_each_attempt_is_yielded_once(house: House, url: str) -> None:
    async with builder(url) as me:
        pings = aiter(me.pings())
        for attempt in (1, 1, 2, 1, 2, 3):
            await house.ping(1, attempt)
        await house.ping(2)
        await heard(me, 2)
        found = [await anext(pings), await anext(pings)]
        assert [(each.assignment, each.attempt) for each in found] == [(1, 3), (2, 1)]  # the newest is enough
        await house.ping(1, 3)
        await house.ping(1, 4)
        assert (await anext(pings)).attempt == 4


async def test_a_withdrawn_ping_is_flagged_or_never_seen(house: House, url: str) -> None:
    async with builder(url) as me:
        pings = aiter(me.pings())
        await house.ping(1)
        kept = await anext(pings)
        await house.say("ping.builder.1", withdrawn(1, "acknowledged"))
        await house.ping(2)
        await house.say("ping.builder.2", withdrawn(2, "failed", end_reason="superseded", holder="ann"))
        await house.ping(3)
        await heard(me, 3)
        assert (await anext(pings)).assignment == 3
        assert (kept.withdrawn is not None, kept.ended) == (True, False)
        await house.say("ping.builder.1", withdrawn(1, "failed", end_reason="superseded", holder="ann"))
        await house.ping(4)
        await anext(pings)
        assert kept.ended
        assert kept.withdrawn
        assert kept.withdrawn.holder == "ann"


async def test_what_it_cannot_read_does_not_stop_it(house: House, url: str) -> None:
    async with builder(url) as me:
        await house.client.publish("rollcall.v1.ping.builder.1", b"\xff{")
        await house.say("ping.builder.1", {"kind": "a later kind"})
        await house.ping(2, brand_new=1)
        assert (await anext(aiter(me.pings()))).assignment == 2


async def test_an_outcome_is_waited_for_when_asked(house: House, url: str) -> None:
    async with builder(url) as me:
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        receipt = await found.ack(outcome=True)
        assert receipt.outcome is not None
        assert receipt.outcome.status == "acknowledged"
        assert not house.acks
        body = house.commands[-1][1]
        assert (body["kind"], body["assignment"], body["incarnation"]) == ("ack", 1, "i1")
        house.problems["complete"] = [{**STALE, "code": "superseded", "state": {"holder": "ann"}}]
        with pytest.raises(Refused) as refused:
            await found.complete(outcome=True)
        assert (refused.value.code, refused.value.state) == ("superseded", {"holder": "ann"})


async def test_a_busy_service_is_asked_again_with_the_same_id(house: House, url: str) -> None:
    async with builder(url) as me:
        house.problems["sync"] = [BUSY, BUSY]
        assert (await me.sync()).incarnation == "i1"
    tries = [body["command_id"] for verb, body in house.commands if verb == "sync"]
    assert len(tries) == 3
    assert len(set(tries)) == 1


async def test_the_refusal_of_a_stored_answer_is_heard(house: House, url: str) -> None:
    async with builder(url) as me:
        pings = aiter(me.pings())
        await house.ping(1)
        found = await anext(pings)
        await found.ack()
        problem = {**STALE, "code": "superseded"}
        refusal = {"assignment": 1, "kind": "ack", "accepted": False, "problem": problem}
        await house.say("answer.builder.1", {"assignment": 1, "kind": "ack", "accepted": True})
        await house.say("answer.builder.1", refusal)
        await house.ping(2)
        await anext(pings)
        await until(lambda: found.refused is not None)
        assert found.refused is not None
        assert found.refused.code == "superseded"
        assert found.ended


async def test_notices_come_once(house: House, url: str) -> None:
    notice = {"kind": "due_missed", "assignment": 1, "text": "late", "at": AT}
    house.notices = [notice]
    async with builder(url) as me:
        notices = aiter(me.notices())
        assert (await anext(notices)).text == "late"
        await house.say("notice.builder.1", notice)
        await house.say("notice.builder.1", notice | {"kind": "waited_for"})
        assert (await anext(notices)).kind == "waited_for"


async def test_what_it_missed_is_owed_at_join(house: House, url: str) -> None:
    house.leases = [lease(1, 2), lease(2, None)]
    async with builder(url) as me:
        pings = aiter(me.pings())
        assert (await anext(pings)).attempt == 2
        held = (await me.sync()).leases
        await held[1].complete()  # a lease without a ping can be answered, too
        await house.until(lambda: house.acks)
        assert house.acks[0][1]["incarnation"] == "i1"
        await house.ping(1, 2)
        await house.ping(3)
        assert (await anext(pings)).assignment == 3


async def test_next_hands_over_what_is_most_urgent(house: House, url: str) -> None:
    async with builder(url) as me:
        house.results["next"] = {"status": "none", "retry": True}
        assert await me.next() is None
        house.results["next"] = {"status": "due", "lease": lease(1, 1)}
        found = await me.next()
        assert found is not None
        await found.ack()
        await house.ping(1, 1)
        await house.ping(2, 1)
        assert (await anext(aiter(me.pings()))).assignment == 2


async def test_handoff_says_who_has_it(house: House, url: str) -> None:
    async with builder(url) as me:
        await house.ping(1)
        found = await anext(aiter(me.pings()))
        house.results["handoff"] = {"assignment": 5, "agent": "ann"}
        assert (await found.handoff("ann", "ill")).agent == "ann"
    body = next(body for verb, body in house.commands if verb == "handoff")
    assert (body["to"], body["reason"], body["assignment"]) == ("ann", "ill", 1)
    assert body["session"] == me.session


async def test_it_joins_again_when_its_beat_was_wrong(house: House, url: str) -> None:
    async with builder(url) as me:
        await house.until(lambda: house.beats)
        house.commands.clear()
        await house.complain("something_else")
        await house.complain()
        await house.until(lambda: house.verbs() == ["join"])
        assert house.commands[0][1]["session"] == me.session


async def test_a_refused_return_ends_it(house: House, url: str) -> None:
    async with builder(url) as me:
        await house.until(lambda: house.beats)
        house.problems["join"] = [STALE]
        await house.complain()
        with pytest.raises(Refused, match="stale_session"):
            await anext(aiter(me.pings()))


async def test_two_processes_of_one_name_do_not_fight_for_ever(
    house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "CONTESTED", 2)
    house.keeps_session = True
    async with builder(url, interval_s=1) as older, builder(url, interval_s=1) as newer:
        async with asyncio.timeout(30):
            with pytest.raises(Refused, match="another process"):
                await anext(aiter(older.pings()))
        house.beats.clear()
        await house.until(lambda: len(house.beats) == 3)
        assert {beat["session"] for beat in house.beats} == {newer.session}


async def test_a_name_is_checked_before_it_stands_in_a_subject() -> None:
    for name in ("", "a.b", "*", ">", "a b", "-a", "a" * 64):
        with pytest.raises(ValueError, match="not a name"):
            Agent(name)


async def test_a_promise_without_a_connection_says_so() -> None:
    held = msgspec.convert({"assignment": 1, "task": 1}, Held)
    assert held.withdrawn is None
    with pytest.raises(Closed):
        await held.ack()


async def test_leaving_ends_all_iterations(house: House, url: str) -> None:
    house.problems["leave"] = [NOT_FOUND]  # and a goodbye that is refused is no reason to stay
    async with builder(url) as me:
        waiting = asyncio.create_task(collected(me.notices()))
        await asyncio.sleep(0)
    assert await waiting == []
    assert house.verbs() == ["join", "leave"]


async def collected(notices: AsyncIterator[Notice]) -> list[Notice]:
    return [notice async for notice in notices]


async def test_it_remembers_only_so_much(house: House, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MEMORY_MAX", 2)
    async with builder(url) as me:
        for assignment in (1, 2, 3, 1):
            await house.ping(assignment)
        pings = aiter(me.pings())
        assert sorted([(await anext(pings)).assignment for _ in range(3)]) == [1, 2, 3]


def test_the_client_needs_nothing_of_ours() -> None:
    check = (
        "import sys; from rollcall import Agent; "
        "print({'bus', 'contracts', 'domain', 'services', 'store', 'structlog', 'anyio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_the_front_door_has_no_other_names() -> None:
    import rollcall

    with pytest.raises(AttributeError, match="Nobody"):
        rollcall.Nobody  # noqa: B018


async def test_who_goes_because_of_an_error_does_not_say_goodbye(house: House, url: str) -> None:
    with pytest.raises(RuntimeError, match="it crashed"):
        async with Agent("ann", url=url):
            raise RuntimeError("it crashed")
    assert house.verbs() == ["join"]


def test_its_session_is_the_one_that_its_daemon_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLCALL_SESSION", "boot-1")
    monkeypatch.setenv("ROLLCALL_AGENT", "ann")
    assert Agent("ann").session == "boot-1"
    assert Agent("bob").session != "boot-1"  # another agent in the same process
