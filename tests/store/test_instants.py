"""The order of commits is the order of instants, however long somebody waited for the file."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from contracts.work import Changes, Claim, Unit, View
from store.batch import STEP_BACK_US
from store.open import open_store
from store.sqlite import SqliteStore
from tests.support.store import NOW, bump, do, fact, fill, get_lease, sql, unit

SECOND = 1_000_000
LATE = NOW + 3 * SECOND


@pytest.fixture
async def other(store: SqliteStore, path: Path) -> AsyncIterator[SqliteStore]:
    """Return a second process's store of the same file."""
    found = await open_store(path, now=NOW, rng=random.Random(2))
    yield found
    await found.close()


def seeing(into: list[int]) -> Unit:
    def decide(_view: View, now: int) -> Changes:
        into.append(now)
        return Changes(facts=(fact("seen"),))

    return unit(decide)


def instants(path: Path) -> list[int]:
    return [at for (at,) in sql(path, "SELECT at FROM audit ORDER BY seq")]


@pytest.mark.parametrize(
    ("earlier_us", "decided"),
    [
        (0, LATE),
        (SECOND, LATE),
        (STEP_BACK_US, LATE),
        (STEP_BACK_US + 1, LATE - STEP_BACK_US - 1),  # that is no wait: the clock was set back
        (-SECOND, LATE + SECOND),
    ],
)
async def test_a_clock_that_was_read_before_another_s_commit_stands_still(
    store: SqliteStore, other: SqliteStore, path: Path, earlier_us: int, decided: int
) -> None:
    seen: list[int] = []
    await do(store, unit(Changes(facts=(fact("first"),))), now=LATE)
    await do(other, seeing(seen), seeing(seen), now=LATE - earlier_us)
    assert seen == [decided, decided]
    assert instants(path)[-3:] == [LATE, decided, decided]


async def test_transactions_that_share_a_commit_are_in_order_too(store: SqliteStore, path: Path) -> None:
    seen: list[int] = []
    await asyncio.gather(do(store, seeing(seen), now=LATE), do(store, seeing(seen), now=NOW))
    assert seen == [LATE, LATE]
    assert instants(path) == sorted(instants(path))


async def test_a_claim_takes_what_is_due_at_the_instant_it_decides_at(
    store: SqliteStore, other: SqliteStore
) -> None:
    seen: list[int] = []

    def decide(view: View, row_id: int, now: int) -> Changes:
        seen.append(now)
        return Changes(assignments=(structs.replace(view.assignments[row_id], ping_at=None),))

    claim = Claim(query="claim_pings", rows="assignments", decide=decide)
    await fill(store, 1, ping_at=LATE)
    assert await other.claim(claim, LATE - 1) == []
    await do(store, unit(Changes(facts=(fact("first"),))), now=LATE)
    assert len(await other.claim(claim, LATE - 1)) == 1
    assert seen == [LATE]


async def test_what_the_store_itself_states_is_in_order_too(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await fill(store, 1)
    await do(store, bump(quarantined="why"), now=LATE)
    await other.release("assignments", 1, NOW)
    assert instants(path)[-2:] == [LATE, LATE]
    assert (await get_lease(store)).quarantined is None
