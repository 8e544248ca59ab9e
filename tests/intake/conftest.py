"""A world in which things are said."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.api import Outgoing
from contracts import subjects
from tests.support.house import ROOT
from tests.support.world import World, open_world


class Talk:
    """Who says something on the bus, and what became of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._count = 0

    async def says(
        self, who: str, text: str | bytes, channel: str = "general", **more: Any
    ) -> dict[str, Any]:
        """Say it on the stream, and return what its sender is told."""
        self._count += 1
        data = text if isinstance(text, bytes) else msgspec.json.encode({"text": text, **more})
        item = Outgoing(f"{ROOT}.{subjects.message(who, channel)}", data, f"said:{self._count}")
        assert await self.world.bus.publish_batch([item], stream="ROLLCALL_INTAKE") == []
        await self.world.settle()
        return self.told(who)

    def told(self, who: str) -> dict[str, Any]:
        """Return the last thing that a sender was told."""
        return self.world.on(f"answer.{who}.intake")[-1].body

    def kept(self) -> list[tuple[Any, ...]]:
        return self.world.rows("SELECT sort, name, outcome, rule, task_id FROM intake ORDER BY id")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as found:
        yield found


@pytest.fixture
async def talk(world: World) -> Talk:
    return Talk(world)
