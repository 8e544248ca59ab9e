"""A store in a file of its own."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.open import open_store
from store.sqlite import SqliteStore
from tests.support.store import NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rollcall.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    found = await open_store(path, now=NOW, rng=random.Random(1))
    yield found
    await found.close()
