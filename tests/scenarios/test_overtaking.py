"""Two processes and one mailbox: whose word arrives last is not always who spoke last."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from bus.api import BusUnavailable, Outgoing, Refused
from bus.service import Duty, Endpoint, Inbox, Service
from contracts.work import Post, StoreFaultError
from domain.timers import Timers
from services.pinger import Pinger
from tests.scenarios.test_outages import mailbox
from tests.support.house import House, all_services
from tests.support.nats import until
from tests.support.world import World, open_world


class Speaking(Pinger, frozen=True, kw_only=True):
    """A pinger that sends, and hears nothing."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return ()

    @property
    def inboxes(self) -> tuple[Inbox, ...]:
        return ()


class Hearing(Pinger, frozen=True, kw_only=True):
    """A pinger that takes answers, and sends nothing that is due."""

    @property
    def duties(self) -> tuple[Duty, ...]:
        return ()


def speaking(timers: Timers) -> list[Service]:
    return [Speaking(timers=timers)]


def hearing(timers: Timers) -> list[Service]:
    others = [service for service in all_services(timers) if service.name not in {"pinger", "relay"}]
    return [Hearing(timers=timers), *others]


class Gate:
    """Holds up what one process publishes to the mailbox."""

    def __init__(self, house: House, patch: pytest.MonkeyPatch) -> None:
        self._publish = house.bus.publish_batch
        self._open = anyio.Event()
        self._open.set()
        self.waiting = 0  # how many items
        self.losing = 0  # that many PubAcks of the mailbox
        patch.setattr(house.bus, "publish_batch", self._publish_batch)

    def close(self) -> None:
        self._open = anyio.Event()

    def open(self) -> None:
        self._open.set()

    async def _publish_batch(
        self, items: Sequence[Outgoing], *, stream: str, timeout_s: float = 1.0
    ) -> list[Refused]:
        if stream == "ROLLCALL_PINGS":
            self.waiting += len(items)
            await self._open.wait()
            self.waiting -= len(items)
        refused = await self._publish(items, stream=stream, timeout_s=timeout_s)
        if stream == "ROLLCALL_PINGS" and self.losing:
            self.losing -= 1
            raise BusUnavailable
        return refused


async def overtaken(world: World, patch: pytest.MonkeyPatch) -> tuple[int, Gate]:
    """Let one process hold the second ping in its hands while another handles its answer."""
    await world.start()
    world.services = speaking
    await world.start()
    gate = Gate(world.houses[1], patch)
    task, lease = await world.given("a1")
    await world.forward(minutes=4)
    gate.close()
    world.live_until(world.clock.at + 60_000_000)
    await world.houses[1].do_what_is_due()
    await until(lambda: gate.waiting == 1)
    await answers(world, lease.id)
    assert (await world.lease(task)).status == "acknowledged"
    return lease.id, gate


async def answers(world: World, lease: int, attempt: int = 2) -> None:
    """Answer a ping, and wait for nothing but the reply."""
    reply = await world.raw("cmd.agent.a1.ack", b'{"assignment":%d,"attempt":%d}' % (lease, attempt))
    assert b'"accepted":true' in reply.data


@pytest.mark.parametrize("faults", [0, 1])
async def test_a_ping_that_was_answered_on_its_way_is_not_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: int
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        lease, gate = await overtaken(world, monkeypatch)
        store = world.houses[1].store
        restate, calls = store.restate, []

        async def at_last(posts: Sequence[Post], now: int) -> None:
            calls.append(now)
            if len(calls) <= faults:
                raise StoreFaultError
            await restate(posts, now)

        monkeypatch.setattr(store, "restate", at_last)
        withdrawn = await until_mailbox(world, lease)
        gate.open()
        await world.settle()
        await until(lambda: len(world.on(f"ping.a1.{lease}")) == 4)
        heard = [(said.body["kind"], said.body.get("attempt")) for said in world.on(f"ping.a1.{lease}")]
        assert heard == [("ping", 1), ("withdrawn", None), ("ping", 2), ("withdrawn", None)]
        assert await mailbox(world, lease) == withdrawn == ("withdrawn", None)
        await until(lambda: world.rows("SELECT count(*) FROM outbox WHERE slot IS NOT NULL") == [(0,)])
        assert world.rows("SELECT count(*) FROM assignments WHERE restate_at IS NOT NULL") == [(0,)]
        world.expect_each_ping_once()


async def until_mailbox(world: World, lease: int) -> tuple[str, int | None]:
    """Wait until the withdrawal has arrived."""

    async def arrived() -> bool:
        return (await mailbox(world, lease))[0] == "withdrawn"

    await until(arrived)
    return await mailbox(world, lease)


async def test_what_one_process_says_in_order_is_said_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation that comes after the answer finds the newer word in the same queue, behind the ping."""
    _, lease = await world.given("a1")
    await world.forward(minutes=4)
    answered = anyio.Event()
    confirm = world.house.store.confirm

    async def late(posts: Sequence[Post], now: int) -> list[Post]:
        await answered.wait()
        return await confirm(posts, now)

    monkeypatch.setattr(world.house.store, "confirm", late)
    world.live_until(world.clock.at + 60_000_000)
    await until(lambda: len(world.pings("a1")) == 2)
    await answers(world, lease.id)
    answered.set()
    await world.settle()
    assert [said.body["kind"] for said in world.on(f"ping.a1.{lease.id}")] == ["ping", "ping", "withdrawn"]
    assert len(world.house.runtime.outbox) == 0
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_what_is_tried_again_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that was torn the newer word alone may have arrived; the older one must not follow it."""
    task, lease = await world.given("a1")
    await world.forward(minutes=4)
    publish, torn = world.house.bus.publish_batch, anyio.Event()

    async def tears(items: Sequence[Outgoing], *, stream: str, timeout_s: float = 1.0) -> list[Refused]:
        if stream == "ROLLCALL_PINGS" and not torn.is_set():
            torn.set()
            await answers(world, lease.id)
            raise BusUnavailable
        return await publish(items, stream=stream, timeout_s=timeout_s)

    monkeypatch.setattr(world.house.bus, "publish_batch", tears)
    world.live_until(world.clock.at + 60_000_000)
    await torn.wait()
    await world.settle()
    assert (await world.lease(task)).status == "acknowledged"
    assert world.pinged("a1") == [0]
    assert await mailbox(world, lease.id) == ("withdrawn", None)


@pytest.mark.parametrize("seen", [True, False])
async def test_a_ping_that_came_before_its_answer_is_followed_by_one_withdrawal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, seen: bool
) -> None:
    """A sibling was quick: the mailbox tells who came last; while it cannot be asked, once more is safe."""
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        await world.start()
        world.services = speaking
        await world.start()
        _, lease = await world.given("a1")
        await world.forward(minutes=4)
        answered, speaker = anyio.Event(), world.houses[1]
        confirm = speaker.store.confirm

        async def late(posts: Sequence[Post], now: int) -> list[Post]:
            await answered.wait()
            return await confirm(posts, now)

        async def nowhere(stream: str, subject: str) -> str:
            raise BusUnavailable

        monkeypatch.setattr(speaker.store, "confirm", late)
        if not seen:
            monkeypatch.setattr(speaker.bus, "newest_id", nowhere)
        world.live_until(world.clock.at + 60_000_000)
        await until(lambda: len(world.pings("a1")) == 2)
        await answers(world, lease.id)
        assert await until_mailbox(world, lease.id) == ("withdrawn", None)
        answered.set()
        await until(lambda: not len(speaker.runtime.outbox))
        await world.settle()
        heard = [said.body["kind"] for said in world.on(f"ping.a1.{lease.id}")]
        assert heard == ["ping", "ping", "withdrawn"] + ["withdrawn"] * (not seen)
