"""A small storm of real kills, judged by the checker; `make chaos` raises the large one."""

import json
from pathlib import Path

import pytest

from tests.chaos.results import kept, result, summary
from tests.chaos.stage import Order, Stage

SEED = 7
KILLS = 12
STOPS = 3
ANSWERS = 500


@pytest.mark.timeout(600)  # it gives up by itself before, and says why
async def test_every_promise_outlives_a_small_storm(tmp_path: Path) -> None:
    order = Order(
        seed=SEED,
        kills=KILLS,
        stops=STOPS,
        full=0,  # tests mount nothing
        answers=ANSWERS,
        pace_s=0.7,
        agents=12,
        tasks_open=20,
        again=200,
    )
    said: list[str] = []
    found = result(order, await Stage(order, tmp_path, said.append).run(), "make test")
    assert kept(found), "\n".join([*summary(found), json.dumps(found["exits"])])
    assert found["kills"]["total"] >= KILLS
    assert found["kills"]["nats-server"] >= 1
    assert found["kills"]["inside a transaction"] >= 1
    assert found["kills"]["between commit and PubAck"] >= 1
    assert found["kills"]["all services at once, times"] >= 1
    assert found["stops"]["total"] == STOPS
    assert found["stops"]["shortest s"] > found["stops"]["accept-by and progress-by s"]
    assert found["stops"]["of nats-server besides"] >= 1
    assert found["answers"]["acknowledged"] >= ANSWERS
    assert found["corrupt messages"] > 0
