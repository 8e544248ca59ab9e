"""A ping comes after its own withdrawal, and whoever sent it is killed before it can see that."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from bus.api import BusTimeout
from bus.service import Service
from contracts.work import Post
from domain.timers import Timers
from services.relay import Relay
from store.doubts import ASK_AFTER_US
from tests.runtime.test_last_words import ASKED_AND_TOLD, heard
from tests.scenarios.test_outages import mailbox
from tests.scenarios.test_overtaking import Speaking, hearing, overtaken, until_mailbox
from tests.support.nats import until
from tests.support.world import World, open_world


def relaying(timers: Timers) -> list[Service]:
    return [Relay(), Speaking(timers=timers)]


def doubts(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM doubts")[0][0])


async def late(world: World, patch: pytest.MonkeyPatch, *, confirmed: bool) -> int:
    """Let a ping come late, and its sender die before or after it has confirmed it; return the lease."""
    lease, gate = await overtaken(world, patch)
    sender, dying = world.houses[1], anyio.Event()
    confirm = sender.store.confirm

    async def dies(posts: Sequence[Post], now: int) -> Sequence[Post]:
        if any(post.slot for post in posts):
            if confirmed:
                await confirm(posts, now)
            dying.set()
            await anyio.sleep_forever()
        return await confirm(posts, now)

    patch.setattr(sender.store, "confirm", dies)
    assert await until_mailbox(world, lease) == ("withdrawn", None)
    await until(lambda: world.rows("SELECT count(*) FROM outbox WHERE slot IS NOT NULL") == [(0,)])
    gate.open()
    await dying.wait()
    world.houses.remove(sender)
    await sender.kill()
    assert await mailbox(world, lease) == ("ping", 2)
    world.live_until(world.clock.at + ASK_AFTER_US)
    return lease


@pytest.mark.parametrize("confirmed", [True, False])
async def test_the_relays_see_what_its_sender_did_not_live_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, confirmed: bool
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        lease = await late(world, monkeypatch, confirmed=confirmed)
        world.services = relaying
        await world.start(2)
        await until(lambda: doubts(world) == 0)
        assert await heard(world, lease, *world.houses[1:]) == ASKED_AND_TOLD
        assert await mailbox(world, lease) == ("withdrawn", None)


async def test_a_mailbox_that_does_not_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        lease = await late(world, monkeypatch, confirmed=True)
        house, answers = world.house, iter((BusTimeout, None))
        newest_id = house.bus.newest_id

        async def ill(stream: str, subject: str) -> str:
            fault = next(answers)
            if fault is not None:
                raise fault
            return await newest_id(stream, subject)

        monkeypatch.setattr(house.bus, "newest_id", ill)
        (ask,) = (chore for chore in Relay().chores if chore.name == "ask")
        for left in (1, 0, 0):  # once it is settled, nothing is asked
            await ask.run(house.runtime.context, world.clock.at)
            assert doubts(world) == left
        assert world.rows("SELECT id FROM assignments WHERE restate_at IS NOT NULL") == [(lease,)]


async def test_nobody_is_asked_without_a_bus(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(world.house.store, "doubts", lambda *_: asked.append(1))
    await world.cut_off()
    (ask,) = (chore for chore in Relay().chores if chore.name == "ask")
    await ask.run(world.house.runtime.context, world.clock.at)
    assert asked == []
    await world.join_again()
