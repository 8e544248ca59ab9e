"""A world with a gateway in it, for those who try to get in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.web import Web, open_web


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with open_web(tmp_path) as found:
        yield found
