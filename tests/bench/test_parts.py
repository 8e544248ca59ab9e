"""Every part of the bench does its job in miniature: what it counts is right, whatever the time it takes."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench import crowd, escalations, lateness, polling, rivals
from bench.stage import fleet
from rollcall import log

FEW = 40


@pytest.fixture(autouse=True)
def _quiet() -> None:
    log.setup("error")


async def test_a_poll_posts_to_each_agent_once_and_not_again_before_the_interval(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with fleet("http") as agents:
        polling.create(path, FEW, f"127.0.0.1:{await agents.line()}")
        assert await asyncio.to_thread(polling.poll, path) == FEW
        assert await asyncio.to_thread(polling.poll, path) == 0
        agents.go()
        heard = await agents.result()
    assert sorted(task for task, _, _ in heard) == list(range(1, FEW + 1))
    with closing(sqlite3.connect(path)) as db:
        sent = "SELECT count(*) FROM task_assignments WHERE last_ping_sent IS NOT NULL"
        assert db.execute(sent).fetchone() == (FEW,)


async def test_the_same_burst_is_heard_and_answered_by_either_design() -> None:
    ours, polled = await rivals.ours(FEW), await rivals.polled(FEW)
    assert ours.answered_per_s is not None
    assert polled.answered_per_s is None
    assert {*ours.late_ms} == {*polled.late_ms} == {"p50_ms", "p90_ms", "p99_ms", "max_ms"}


async def test_each_ping_that_falls_due_is_late_by_something() -> None:
    late = await lateness.lateness(100, FEW)
    assert len(late) == FEW
    assert min(late) > 0


async def test_no_step_comes_before_its_deadline() -> None:
    late = await escalations.lateness(2 * FEW, 200, FEW, 200)
    assert len(late) == FEW
    assert min(late) > 0


async def test_what_ran_out_while_nobody_looked_is_stepped_and_pinged_once() -> None:
    took_s, former = await escalations.caught_up(FEW)
    assert took_s > 0
    assert former <= FEW


async def test_two_of_each_service_share_the_work_of_one() -> None:
    found = await crowd.together(2, 2 * crowd.AGENTS)
    assert {kind: len(done) for kind, done in found.shares.items()} == dict.fromkeys(found.shares, 2)
    done = {kind: sum(each) for kind, each in found.shares.items()}
    assert (done["assigning"], done["escalating"]) == (2 * crowd.AGENTS, 2 * crowd.AGENTS)
    # a ping that may have come late is asked again, as the next attempt
    assert min(done["pinging"], done["answers"]) >= 4 * crowd.AGENTS


@pytest.mark.parametrize(("done", "index"), [([5, 5], 1.0), ([9, 0, 0], 1 / 3), ([0, 0], 1.0), ([3], 1.0)])
def test_fairness_is_one_for_equals_and_one_nth_for_a_single_worker(done: list[int], index: float) -> None:
    assert crowd.jain(done) == pytest.approx(index)


def test_what_was_not_heard_exactly_once_is_named() -> None:
    sent = [(1, 1), (1, 2), (2, 1)]
    assert crowd.heard_otherwise(sent, [(1, 1, 7), (1, 2, 8), (2, 1, 9)]) == {}
    assert crowd.heard_otherwise(sent, [(1, 1, 7), (1, 1, 8), (2, 1, 9), (3, 1, 9)]) == {
        (1, 1): 2,
        (1, 2): 0,
        (3, 1): 1,
    }
