"""A due row has nobody to refuse to: a refusal is as good as poison, and the row is put aside."""

from typing import Any

import pytest

from contracts.errors import NotAllowedNowError, NotFoundError, RollcallError
from contracts.work import Changes
from domain import escalation
from tests.support.world import MINUTE, World


@pytest.mark.parametrize("refusal", [NotFoundError("gone"), NotAllowedNowError("not now")])
async def test_a_due_row_that_is_refused_is_put_aside(
    world: World, monkeypatch: pytest.MonkeyPatch, refusal: RollcallError
) -> None:
    _, lease = await world.given("a1")

    def refuse(*args: Any, **named: Any) -> Changes:
        raise refusal

    monkeypatch.setattr(escalation, "deadline", refuse)
    await world.forward(minutes=31)
    ((deadline_at, reason),) = world.rows("SELECT deadline_at, quarantined FROM assignments")
    assert deadline_at is None
    assert type(refusal).__name__ in reason
    (entry,) = (await world.operator("dlq.ls")).items
    assert (entry.letter.source, entry.letter.row) == ("row", lease.id)


async def test_a_full_batch_of_refused_rows_does_not_spin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.agent("a1", capacity=3)
    for number in range(3):
        await world.task(f"task {number}")

    def refuse(*args: Any, **named: Any) -> Changes:
        raise NotFoundError("gone")

    monkeypatch.setattr(escalation, "deadline", refuse)
    (duty,) = world.house.runtime.duties["escalator"]
    monkeypatch.setattr(duty, "_allowance", lambda _wanted: 3)
    world.clock.move(world.clock.at + 31 * MINUTE)
    await world.house.tell_the_time()
    await duty.once()
    assert not await duty.once()  # nothing of it is left to be claimed
    assert world.rows("SELECT count(*) FROM assignments WHERE quarantined IS NULL") == [(0,)]
