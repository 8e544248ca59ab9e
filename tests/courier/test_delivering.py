"""Pings over HTTP: what a receiver gets, and what becomes of a ping that nobody takes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.sending import Limits
from domain.deliveries import Patience
from tests.courier.post import Post, open_post
from tests.courier.receiver import (
    Answer,
    Receiver,
    babble,
    close,
    drip,
    flood,
    flood_body,
    hang,
    receiver,
    status,
    until_set,
)
from tests.support.asking import Refused
from tests.support.nats import until
from tests.support.world import TICK

PATIENT = Limits(connect_s=60, whole_s=60)  # longer than a test


@pytest.fixture
async def ear() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.fixture
async def post(tmp_path: Path, ear: Receiver) -> AsyncIterator[Post]:
    async with open_post(tmp_path, ear.port) as found:
        yield found


async def test_a_bare_receiver_is_told_as_the_first_system_told_it(post: Post, ear: Receiver) -> None:
    await post.agent("builder", ear.url, timeout_minutes=45)
    task = await post.task("ship it", "builder")
    await post.until_over()
    (got,) = ear.got
    assert got.line == "POST /ping HTTP/1.1"
    assert got.body == {
        "task_id": task,
        "task_name": "ship it",
        "ping_time": "2027-01-15T08:00:00Z",
        "timeout_minutes": 45,
    }
    lease = post.world.rows("SELECT id FROM assignments WHERE task_id = ?", task)[0][0]
    assert got.headers["webhook-id"] == f"ping:{post.world.incarnation}:{lease}:1"
    assert got.headers["rollcall-assignment"] == str(lease)
    assert got.headers["content-type"] == "application/json"
    assert "webhook-signature" not in got.headers  # nobody has given it a key
    (seen,) = await post.deliveries(agent="builder")
    assert (seen.state, seen.status, seen.tries, seen.assignment, seen.attempt) == (
        "delivered",
        200,
        1,
        lease,
        1,
    )
    assert (seen.host, seen.next_at, seen.why) == (f"127.0.0.1:{ear.port}", None, "")


async def test_a_ping_that_fails_is_tried_again_under_its_id(post: Post, ear: Receiver) -> None:
    ear.answer = status(503)
    await post.agent("builder", ear.url)
    await post.task("ship it", "builder")
    await post.until(lambda: len(ear.got) == 2)
    (seen,) = await post.deliveries()
    assert (seen.state, seen.why) == ("queued", "answered 503")
    ear.answer = status(200)
    await post.until_over()
    assert len({got.headers["webhook-id"] for got in ear.got}) == 1
    (seen,) = await post.deliveries()
    assert (seen.state, seen.tries, seen.why) == ("delivered", 3, "")
    assert not post.world.events("undelivered")


async def test_who_cannot_be_told_loses_the_task_to_the_next_step(post: Post, ear: Receiver) -> None:
    ear.answer = status(500)
    await post.agent("builder", ear.url)
    task = await post.task("ship it", "builder")
    await post.until_over()
    await post.world.settle()
    assert len(ear.got) == 5
    assert post.world.minute < 5  # long before the offer's own clock
    rows = (await post.world.operator("task.assignments", task=task)).items
    assert [(row.agent, row.end_reason, row.level) for row in rows] == [
        ("Ruto", None, 1),
        ("builder", "unreachable", 0),
    ]
    assert len(post.world.events("undelivered")) == 1
    assert len(post.world.events("unreachable", of="assignment")) == 1
    (escalated,) = post.world.events("escalated")
    assert (escalated["data"]["agent"], escalated["data"]["to"]) == ("builder", "Ruto")
    shown = await post.world.operator("task.show", task=task)
    texts = [comment.text for comment in shown.comments]
    assert "builder cannot be told: answered 500 (5 tries)" in texts
    assert "Escalated from builder (unreachable) to Ruto (step 1)" in texts
    (seen,) = await post.deliveries(state="failed")
    assert (seen.tries, seen.status) == (5, 500)


async def test_who_cannot_be_told_is_offered_nothing_until_somebody_says_so(
    post: Post, ear: Receiver
) -> None:
    """The reason stands with whoever was passed over, and an operator's word lets it be told again."""
    ear.answer = status(500)
    await post.world.operator("agent.set", name="Ruto", capacity=1)
    await post.agent("builder", ear.url, capacity=2)
    await post.task("ship it", "builder")
    await post.until_over()
    item, moved = (await post.world.operator("attention.ls")).items
    assert (item.kind, item.agent) == ("unreachable", "builder")
    assert (moved.kind, moved.agent) == ("escalated", "Ruto")
    task = await post.task("and this", "builder")
    shown = (await post.world.operator("task.show", task=task)).task
    assert (shown.status, shown.agent) == ("todo", None)  # the main agent has no room left either
    assert shown.status_why == "nobody eligible: 1 at capacity, 1 unreachable"
    with pytest.raises(Refused) as refused:
        await post.world.operator("task.assign", task=task)
    assert refused.value.problem.state["reasons"]["builder"].startswith("unreachable: no ping")
    assert len(ear.got) == 5
    said = await post.world.operator("agent.show", name="builder")
    assert (said.agent.flags, said.agent.status) == (("unreachable",), "ready")
    assert said.agent.status_why == "no beats, and its address cannot be reached"
    ear.answer = status(200)
    assert (await post.world.operator("agent.resume", name="builder", reason="mended")).flags == ()
    await post.world.settle()
    await post.until_over()
    assert (await post.world.operator("task.show", task=task)).task.agent == "builder"
    assert len(post.world.events("unreachable", of="agent")) == 1
    assert (await post.world.operator("attention.ls")).items == (moved,)


async def test_a_ping_that_arrives_shows_that_it_can_be_told(post: Post, ear: Receiver) -> None:
    """What an operator gives it by hand is offered all the same."""
    ear.answer = status(500)
    await post.agent("builder", ear.url, capacity=2)
    task = await post.task("ship it", "builder")
    await post.until_over()
    ear.answer = status(200)
    await post.world.operator("task.assign", task=task, agent="builder")
    await post.until_over()
    said = await post.world.operator("agent.show", name="builder")
    assert (said.agent.flags, said.agent.unreachable_since) == ((), None)
    (event,) = post.world.events("reachable", of="agent")
    assert event["data"]["since_us"] >= 0
    task = await post.task("and this", "builder")
    assert (await post.world.operator("task.show", task=task)).task.agent == "builder"


async def test_another_address_may_be_reached(tmp_path: Path, ear: Receiver) -> None:
    ear.answer = status(500)
    async with receiver() as other, open_post(tmp_path, ear.port, other.port) as post:
        await post.agent("builder", ear.url)
        await post.task("ship it", "builder")
        await post.until_over()
        await post.world.operator("agent.set", name="builder", timeout_minutes=7)
        assert (await post.world.operator("agent.show", name="builder")).agent.flags == ("unreachable",)
        await post.world.operator("agent.set", name="builder", endpoint_url=other.url)
        assert (await post.world.operator("agent.show", name="builder")).agent.flags == ()


async def test_an_answer_meanwhile_ends_the_tries(post: Post, ear: Receiver) -> None:
    ear.answer = status(500)
    await post.agent("builder", ear.url)
    task = await post.task("ship it", "builder")
    await post.until(lambda: len(ear.got) == 2)
    lease = post.world.rows("SELECT id FROM assignments WHERE task_id = ?", task)[0][0]
    await post.world.asks("builder", "assignment.ack", assignment=lease)
    await post.until_over()
    (seen,) = await post.deliveries()
    assert (seen.state, seen.why, len(ear.got)) == ("given_up", "it was answered", 2)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hang, "timed out waiting for an answer"),
        (drip, "timed out waiting for an answer"),
        (flood, "no HTTP"),
        (close, "without an answer"),
        (babble, "answered no status"),
        (status(204), "answered 204"),
        (status(302, "Location: http://127.0.0.1/latest"), "answered 302: redirects are not followed"),
    ],
)
async def test_a_bad_receiver_is_seen_and_stops_nobody(
    tmp_path: Path, ear: Receiver, answer: Answer, why: str
) -> None:
    ear.answer = answer
    async with (
        receiver() as other,
        open_post(tmp_path, ear.port, other.port, patience=Patience(tries=1)) as post,
    ):
        await post.agent("bad", ear.url)
        await post.agent("good", other.url)
        await post.task("one", "bad")
        await post.task("two", "good")
        await post.until_over()
        (bad,), (good,) = await post.deliveries(agent="bad"), await post.deliveries(agent="good")
        assert (bad.state, good.state, len(ear.got)) == ("failed", "delivered", 1)
        assert why in bad.why


async def test_who_is_told_waits_for_nobody_who_hangs(tmp_path: Path, ear: Receiver) -> None:
    free = asyncio.Event()
    ear.answer = until_set(free)
    async with receiver() as other, open_post(tmp_path, ear.port, other.port, limits=PATIENT) as post:
        await post.agent("bad", ear.url)
        await post.agent("good", other.url)
        await post.task("one", "bad")
        await post.until(lambda: len(ear.got) == 1)
        await post.task("two", "good")
        await post.until(lambda: len(other.got) == 1)
        assert len(ear.got) == 1
        free.set()


async def test_a_gigabyte_behind_a_good_answer_is_not_read(post: Post, ear: Receiver) -> None:
    ear.answer = flood_body
    await post.agent("builder", ear.url)
    await post.task("ship it", "builder")
    await post.until_over()
    (seen,) = await post.deliveries()
    assert seen.state == "delivered"


async def test_a_new_address_counts_from_the_next_try(tmp_path: Path, ear: Receiver) -> None:
    ear.answer = status(500)
    async with receiver() as other, open_post(tmp_path, ear.port, other.port) as post:
        await post.agent("builder", ear.url)
        await post.task("ship it", "builder")
        await post.until(lambda: len(ear.got) == 1)
        await post.world.operator("agent.set", name="builder", endpoint_url=f"{other.url}/hooks/")
        await post.until_over()
        assert other.got[0].line == "POST /hooks/ping HTTP/1.1"
        await post.world.operator("agent.set", name="builder", endpoint_url="")
        await post.world.says("builder", "complete", 1)
        task = await post.task("and this", "builder")
        await post.world.forward(minutes=6)
        assert len(other.got) == len(await post.deliveries()) == 1
        # who has no address hears it on the bus all the same
        lease = post.world.rows("SELECT id FROM assignments WHERE task_id = ?", task)[0][0]
        assert len(post.world.pings("builder", lease)) == 2


async def test_what_a_killed_courier_had_in_hand_is_sent_again(post: Post, ear: Receiver) -> None:
    ear.answer = hang
    await post.agent("builder", ear.url)
    await post.task("ship it", "builder")
    await post.until(lambda: len(ear.got) == 1)
    await post.world.houses.pop().kill()
    ear.answer = status(200)
    await post.world.start()
    await post.world.forward(seconds=31)
    await post.until_over()
    assert [got.headers["webhook-id"] for got in ear.got[1:]] == [ear.got[0].headers["webhook-id"]]
    (seen,) = await post.deliveries()
    assert (seen.state, seen.tries) == ("delivered", 2)


async def test_who_beats_on_the_bus_is_not_lost_to_a_broken_webhook(post: Post, ear: Receiver) -> None:
    ear.answer = status(500)
    await post.agent("builder", ear.url, beats="required")
    await post.world.asks("builder", "agent.join", session="s1", interval_s=3600)
    task = await post.task("ship it", "builder")
    await post.until_over()
    await post.world.settle()
    assert (await post.world.operator("task.show", task=task)).task.agent == "builder"
    assert not post.world.events("undelivered")


async def test_what_waits_for_a_free_hand_is_named_with_its_age(
    tmp_path: Path, ear: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.courier.AT_ONCE", 1)
    free = asyncio.Event()
    ear.answer = until_set(free)
    async with open_post(tmp_path, ear.port, limits=PATIENT) as post:
        for name in ("one", "two"):
            await post.agent(name, ear.url)
            await post.task(name, name)
        await post.until(lambda: len(ear.got) == 1)
        post.world.clock.move(post.world.clock.at + 7 * TICK)
        await post.ring()
        vitals = post.world.house.runtime.vitals
        (gauge,) = [gauge for gauge in vitals._gauges["courier"] if gauge.name == "deliveries"]
        await until(lambda: gauge.rested_s == 0)
        loops = next(vital.loops for vital in await vitals.read() if vital.service == "courier")
        assert {loop.name: loop.lag_s for loop in loops}["deliveries"] == pytest.approx(7, abs=1)
        ear.answer = status(200)
        free.set()
        await post.until_over()
        assert len(ear.got) == 3  # who answered nothing is asked again
