"""Outages: nobody is robbed of an answer on its way, nor of time to give it, and no storm follows."""

import base64
from pathlib import Path

import msgspec
import pytest

from bus.service import Service
from contracts.operations.tasks import CancelParams
from contracts.work import Committed, Needs, Unit
from domain import tasks
from domain.timers import Timers
from services.escalator import Escalator
from services.pinger import Pinger
from tests.support.house import all_services
from tests.support.world import MINUTE, World, open_world

TTL_US = 90_000_000


def without_pinger(timers: Timers) -> list[Service]:
    return [service for service in all_services(timers) if service.name != "pinger"]


def capped(timers: Timers) -> list[Service]:
    """Every service, of which two may do five things a second."""
    slow: list[Service] = [
        Pinger(timers=timers, pings_per_second=5),
        Escalator(timers=timers, steps_per_second=5),
    ]
    return slow + [service for service in all_services(timers) if service.name not in {"pinger", "escalator"}]


def acceptance(world: World) -> list[tuple[str, int | None]]:
    """Return who accepted at which minute."""
    rows = world.rows("SELECT agent, accepted_at FROM assignments ORDER BY id")
    return [(agent, None if at is None else (at - world.began) // MINUTE) for agent, at in rows]


async def test_an_answer_stored_in_time_counts_though_nobody_ran(world: World) -> None:
    task, lease = await world.given("a1")
    await world.forward(minutes=29)
    await world.stop()
    await world.leaves("a1", "ack", lease)
    await world.forward(minutes=3)
    await world.start()
    await world.settle()
    assert (await world.lease(task)).status == "acknowledged"
    assert acceptance(world) == [("a1", 29)]
    await world.forward(minutes=26)
    assert (await world.lease(task)).agent == "a1"
    await world.forward(minutes=2)  # 30 minutes after the answer, not after its handling
    assert (await world.lease(task)).agent == "Ruto"


async def test_an_escalator_without_a_pinger_takes_nothing_from_anybody(world: World) -> None:
    task, lease = await world.given("a1")
    await world.stop()
    await world.leaves("a1", "ack", lease)
    world.services = without_pinger
    await world.start()
    await world.forward_blindly(minutes=45)
    assert (await world.lease(task)).agent == "a1"
    world.services = all_services
    await world.start()
    await world.settle()
    assert acceptance(world)[0] == ("a1", 0)
    assert (await world.lease(task)).agent == "Ruto"  # it was taken, and then went quiet for 45 minutes


async def test_services_that_were_away_are_no_outage_of_the_bus(tmp_path: Path) -> None:
    """Agents could answer all the time: who did has kept its promise, who did not is asked to account."""
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        silent, lost = await world.given("a1")
        heard, kept = await world.given("a2")
        await world.forward(minutes=20)
        await world.stop()
        await world.leaves("a2", "progress", kept, note="on my way")
        await world.forward(hours=3)
        await world.leaves("a2", "progress", kept, note="nearly there")
        await world.start()
        await world.settle()
        assert world.rows("SELECT count(*) FROM holds") == [(0,)]
        assert (await world.lease(silent)).agent == "Ruto"
        assert len(world.events("escalated", lost.id)) == 1
        assert len([minute for minute in world.pinged("a1") if minute > 20]) <= 1
        assert world.pinged("Ruto") == [200]
        assert (await world.lease(heard)).agent == "a2"
        await world.forward(minutes=1)
        assert len(world.events("escalated")) == 1
        world.expect_each_ping_once()


async def test_services_and_bus_away_together_count_against_nobody(tmp_path: Path) -> None:
    """The bus that comes back is another run of it: how long it was away nobody can tell."""
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        task, _ = await world.given("a1")
        await world.forward(minutes=20)
        await world.stop()
        await world.start_bus_anew()
        await world.forward(hours=3)
        await world.start()
        await world.settle()
        assert world.rows("SELECT (end_at - start_at) / 60000000 FROM holds") == [(180,)]
        await world.forward(minutes=9, seconds=58)
        assert (await world.lease(task)).agent == "a1"
        await world.forward(seconds=4)
        assert (await world.lease(task)).agent == "Ruto"


async def test_services_that_were_away_suspect_nobody_whom_they_could_not_hear(tmp_path: Path) -> None:
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        for name in ("a1", "a2"):
            await world.agent(name, beats="required")
            await world.asks(name, "agent.join", session="s1")
        await world.stop()
        await world.forward(hours=3)
        await world.start()
        await world.forward(seconds=88)
        assert {(await world.who(name)).status for name in ("a1", "a2")} == {"ready"}
        await world.asks("a1", "agent.join", session="s1")
        await world.forward(seconds=4)
        assert [(await world.who(name)).status for name in ("a1", "a2")] == ["ready", "suspect"]


@pytest.mark.parametrize("houses", [1, 3])
async def test_an_outage_longer_than_a_ttl_counts_against_nobody(tmp_path: Path, houses: int) -> None:
    async with open_world(tmp_path, houses=houses, gap_us=TTL_US) as world:
        task, _ = await world.given("a1")
        await world.forward(minutes=20)
        await world.cut_off()
        await world.forward(minutes=30)
        await world.join_again()
        assert world.rows("SELECT (end_at - start_at) / 60000000 FROM holds") == [(30,)]
        await world.forward(minutes=9, seconds=58)
        assert (await world.lease(task)).agent == "a1"
        await world.forward(seconds=4)
        assert (await world.lease(task)).agent == "Ruto"


async def test_a_shorter_one_is_no_hold(tmp_path: Path) -> None:
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        task, _ = await world.given("a1")
        await world.forward(minutes=29)
        await world.cut_off()
        await world.forward(seconds=80)
        assert world.rows("SELECT agent FROM assignments") == [("a1",)]  # an answer may be on its way
        await world.join_again()
        assert world.rows("SELECT count(*) FROM holds") == [(0,)]
        assert (await world.lease(task)).agent == "Ruto"


async def test_an_outage_makes_nobody_suspect(tmp_path: Path) -> None:
    """Whoever could not be heard was not silent; once the bus is back, everybody gets one TTL to be heard."""
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        names = [f"a{number}" for number in range(10)]
        for name in names:
            await world.agent(name, beats="required")
            await world.asks(name, "agent.join", session="s1")
        await world.forward(seconds=80)
        await world.cut_off()
        await world.forward(minutes=5)
        await world.join_again()
        assert {(await world.who(name)).status for name in names} == {"ready"}
        await world.forward(seconds=88)
        for name in names[1:]:
            await world.asks(name, "agent.join", session="s1")
        await world.forward(seconds=4)
        assert {(await world.who(name)).status for name in names[1:]} == {"ready"}
        assert (await world.who(names[0])).status == "suspect"


async def test_pings_missed_in_an_outage_are_not_repaid(world: World) -> None:
    _, lease = await world.given("a1", accept_minutes=600)
    await world.forward(minutes=20)
    await world.cut_off()
    await world.forward(hours=3)
    await world.join_again()
    assert world.pinged("a1", lease) == [0, 5, 200]
    assert world.pings("a1", lease)[-1].body["attempt"] == 8  # the newest of those that were due
    assert world.rows("SELECT count(*) FROM outbox WHERE slot IS NOT NULL") == [(0,)]


async def test_a_ping_answered_in_the_outage_is_not_sent_after_it(world: World) -> None:
    """What waits in memory is read again: the answer may have come by another way."""
    task, lease = await world.given("a1", ping_interval_minutes=5)
    await world.forward(minutes=3)
    await world.cut_off()
    await world.forward(minutes=4)
    assert world.rows("SELECT attempt FROM outbox WHERE slot IS NOT NULL") == [(2,)]
    await cancel_without_the_bus(world, task)
    await world.forward(minutes=4)
    await world.join_again()
    assert world.pinged("a1", lease) == [0]
    assert world.on(f"ping.a1.{lease.id}")[-1].body["kind"] == "withdrawn"


async def cancel_without_the_bus(world: World, task: int) -> None:
    params = CancelParams(task=task)
    unit = Unit(
        key="cancel",
        needs=Needs(tasks=(task,), dependents=True),
        decide=lambda view, now: tasks.cancel(view, now, params, actor="operator:x", timers=world.timers),
    )
    (done,) = await world.house.runtime.worker.run([unit], [""])
    assert isinstance(done, Committed)


async def test_after_hours_without_anybody_each_gets_one_ping_and_one_step_at_a_capped_rate(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path, services=capped) as world:
        leases = [(await world.given(f"a{number}"))[1] for number in range(12)]
        for _ in range(3):  # at this rate; who was not asked yet would not be judged
            await world.forward(seconds=1)
        await world.forward(minutes=10)
        await world.stop()
        await world.forward(hours=3)
        await world.start()
        await world.settle()
        steps = []
        for _ in range(4):
            steps.append(len(world.events("escalated")))
            await world.forward(seconds=1)
        assert steps == [5, 10, 12, 12]
        for number, lease in enumerate(leases):
            late = [minute for minute in world.pinged(f"a{number}", lease) if minute > 10]
            assert len(late) <= 1
            assert len(world.events("escalated", lease.id)) == 1
        assert len(world.pings("Ruto")) == 12
        world.expect_each_ping_once()


async def test_the_most_overdue_come_first(tmp_path: Path) -> None:
    async with open_world(tmp_path, services=capped) as world:
        leases = []
        for number in range(7):
            leases.append((await world.given(f"a{number}"))[1])
            await world.forward(minutes=1)
        await world.stop()
        await world.forward(hours=3)
        await world.start()
        await world.settle()
        first = {int(event["id"]) for event in world.events("escalated")}
        assert first == {lease.id for lease in leases[:5]}


async def test_the_mailbox_holds_the_newest_word_only(world: World) -> None:
    _, lease = await world.given("a1")
    await world.forward(minutes=6)
    assert await mailbox(world, lease.id) == ("ping", 2)
    await world.says("a1", "ack", lease, attempt=2)
    assert await mailbox(world, lease.id) == ("withdrawn", None)
    await world.forward(minutes=10)
    assert await mailbox(world, lease.id) == ("ping", 3)


async def mailbox(world: World, lease: int) -> tuple[str, int | None]:
    """Return what waits for an agent that was away."""
    query = msgspec.json.encode({"last_by_subj": f"rollcall.v1.ping.a1.{lease}"})
    reply = await world.bus.request("$JS.API.STREAM.MSG.GET.ROLLCALL_PINGS", query, timeout_s=5)
    stored = msgspec.json.decode(reply.data)["message"]["data"]
    body = msgspec.json.decode(base64.b64decode(stored))
    return body["kind"], body.get("attempt")


async def test_an_agent_that_comes_back_learns_all_from_sync(world: World) -> None:
    _, lease = await world.given("a1")
    await world.forward(minutes=6)
    (held,) = (await world.sync("a1")).leases
    assert held.ping is not None
    assert (held.assignment, held.ping.attempt, held.ping.incarnation) == (lease.id, 2, world.incarnation)
