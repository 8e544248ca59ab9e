"""Answers are handled up to now only where the stamp says so too: an outage is a hold before it is judged."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.nats import until
from tests.support.world import MINUTE, open_world

TTL_US = 90_000_000


async def test_whoever_says_that_answers_are_handled_has_written_the_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chore comes first after an outage, the stamp and everybody else a moment later."""
    async with open_world(tmp_path, gap_us=TTL_US) as world:
        task, lease = await world.given("a1")
        await world.forward(minutes=20)
        await world.cut_off()

        async def later(*args: Any, **named: Any) -> None:
            """Stand for the stamps' own loop, which is the last to run."""

        monkeypatch.setattr(world.house.store, "stamp", later)
        world.clock.move(world.clock.at + 15 * MINUTE)
        await world.cable.join()
        (house,) = world.houses
        pinger = next(service for service in house.runtime.services if service.name == "pinger")
        (chore,) = pinger.chores
        await until(lambda: house.bus.connected)
        await chore.run(house.runtime.context, world.clock.at)
        for duty in house.runtime.duties["escalator"]:
            await duty.once()
        assert (await world.lease(task)).id == lease.id
        until_at = world.rows("SELECT value FROM meta WHERE key = 'answers_until'")
        assert until_at == [(str(world.clock.at),)]
        ((start, end),) = world.rows("SELECT start_at, end_at FROM holds")
        assert end - start >= 15 * MINUTE
