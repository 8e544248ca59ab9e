"""The plan is drawn from the seed alone, and is hard enough."""

from collections import Counter
from pathlib import Path

from tests.chaos.history import Entry, History, read
from tests.chaos.killer import BETWEEN, FROZEN_S, HOUSE_KILLS, INSIDE, WORKERS, draw
from tests.chaos.stage import SCALE

HALF_HOUR_S = 1_800


def test_a_seed_draws_one_plan() -> None:
    assert draw(1, 300, 30, 4, 1.0) == draw(1, 300, 30, 4, 1.0)
    assert draw(1, 300, 30, 4, 1.0) != draw(2, 300, 30, 4, 1.0)


def test_three_hundred_kills_reach_every_place() -> None:
    plan = draw(1, 300, 30, 4, 1.0)
    kinds = Counter(blow.kind for blow in plan.blows)
    assert kinds.total() + (HOUSE_KILLS - 1) * kinds["house"] == 300
    assert sum(kinds[point] for point in INSIDE) >= 30
    assert sum(kinds[point] for point in BETWEEN) >= 30
    assert kinds["server"] >= 20
    assert kinds["service"] > kinds["server"]
    assert Counter(service for service, _ in plan.freezes) == dict.fromkeys(WORKERS, 10)
    assert Counter(plan.full) == {"bus": 2, "store": 2}


def test_whoever_is_stopped_is_stopped_beyond_the_clocks_of_a_promise() -> None:
    assert min(FROZEN_S) > HALF_HOUR_S * SCALE
    assert all(seconds >= min(FROZEN_S) for _, seconds in draw(1, 300, 30, 4, 1.0).freezes)


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    asked = Entry(at_us=1, process="a1", type="invoke", op="ack", door="stream", key="k", command="c")
    with (tmp_path / "history.jsonl").open("wb") as file:
        history = History(file)
        history.add(asked, "invoke", "{}")
        history.add(asked, "unknown")
    assert read(tmp_path / "history.jsonl") == history.entries
