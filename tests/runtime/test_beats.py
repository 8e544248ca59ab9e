"""A beat that the store could not take is not lost."""

from typing import Any

import pytest

from contracts.work import StoreFaultError
from tests.support.nats import until
from tests.support.world import World


async def test_a_beat_outlives_an_ill_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.operator("agent.add", name="a1")
    await world.asks("a1", "agent.join", session="s1")
    world.clock.move(world.clock.at + 20_000_000)
    sound, ill = world.house.store.run, 1

    async def once_ill(units: Any, now: int) -> Any:
        nonlocal ill
        if ill:
            ill -= 1
            raise StoreFaultError("locked")
        return await sound(units, now)

    monkeypatch.setattr(world.house.store, "run", once_ill)
    await world.bus.publish("rollcall.v1.hb.a1", b'{"session":"s1"}')
    await until(lambda: world.rows("SELECT beat_at FROM agents WHERE name = 'a1'") == [(world.clock.at,)])
    assert not ill
