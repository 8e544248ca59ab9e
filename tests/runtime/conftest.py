"""What the tests of the runtime share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All services in one process, with the usual clocks."""
    async with open_world(tmp_path) as found:
        yield found
