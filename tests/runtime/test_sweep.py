"""What a sibling left behind is published also by a process that is never idle."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import structs

from bus.api import BusUnavailable
from bus.outbox import Outbox
from contracts.work import Changes, Committed, Needs, Post, Unit
from services.pinger import Pinger
from services.relay import OLD_US, Relay
from tests.support.nats import until
from tests.support.world import World, open_world


async def left_behind(world: World, *numbers: int) -> tuple[Post, ...]:
    """Commit posts and hand them to nobody, as a process does that is killed then."""
    posts = tuple(
        Post(
            stream="PINGS",
            subject=f"in.ping.a1.{number}",
            message_id=f"test:{number}",
            body=b"{}",
            created_at=world.clock.at,
        )
        for number in numbers
    )
    unit = Unit(key="test", needs=Needs(), decide=lambda _view, _now: Changes(posts=posts))
    (done,) = await world.house.store.run([unit], world.clock.at)
    assert isinstance(done, Committed)
    return done.posts


async def test_the_sweep_waits_for_no_quiet_moment_and_queues_nothing_twice(tmp_path: Path) -> None:
    async with open_world(tmp_path, services=lambda timers: [Pinger(timers=timers)]) as world:
        await until(lambda: world.rows("SELECT count(*) FROM outbox") == [(0,)])
        house = world.house
        ports = house.runtime.ports
        outbox = Outbox(
            bus=ports.bus,
            ledger=ports.ledger,
            clock=ports.clock,
            root=ports.root,
            stream_name=ports.streams,
            ensure=house.runtime.ensure,
        )
        busy = structs.replace(house.runtime.context, outbox=outbox)
        sweep = next(chore for chore in Relay().chores if chore.name == "sweep")
        await left_behind(world, 1, 2)
        world.clock.move(world.clock.at + OLD_US + 1)
        outbox.put(await left_behind(world, 3))
        for _ in range(3):
            await sweep.run(busy, world.clock.at)
            assert len(outbox) == 3
        done = anyio.Event()
        done.set()
        await outbox.run(done)
        assert (len(outbox), outbox.published) == (0, 3)
        assert world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_what_could_not_be_sent_waits_in_the_queue_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus fails while a batch is on its way, and the sweep finds the same rows then."""
    outbox, sound = world.house.runtime.outbox, world.house.bus.publish_batch
    await world.settle()
    before = outbox.published
    posts = await left_behind(world, 1, 2)
    waiting: list[int] = []

    async def fails_once(*args: Any, **named: Any) -> Any:
        if not waiting:
            outbox.put(posts[:1])
            waiting.append(len(outbox))
            raise BusUnavailable
        waiting.append(len(outbox))
        return await sound(*args, **named)

    monkeypatch.setattr(world.house.bus, "publish_batch", fails_once)
    outbox.put(posts)
    await until(lambda: world.rows("SELECT count(*) FROM outbox") == [(0,)])
    assert waiting[:2] == [2, 1]  # what is being sent counts as one; nothing else waits
    assert outbox.published - before == 2
