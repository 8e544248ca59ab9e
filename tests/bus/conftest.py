"""One suite for every bus."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bus.sites import AnyBus, Site, open_site


@pytest.fixture(params=["nats", "memory"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def bus(site: Site) -> AnyBus:
    """Return a connection, with the streams in place."""
    return await site.ready()
