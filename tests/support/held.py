"""A store that does nothing until it is let."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tests.support.world import World


class Held:
    """A store whose commits wait behind a gate, and what was asked of it."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self._run = world.house.store.run
        self._open = anyio.Event()
        self.asked: list[list[str]] = []
        patch.setattr(world.house.store, "run", self._later)

    def open(self) -> None:
        self._open.set()

    async def _later(self, units: Sequence[Any], now: int) -> Any:
        self.asked.append([unit.key for unit in units])
        await self._open.wait()
        return await self._run(units, now)
