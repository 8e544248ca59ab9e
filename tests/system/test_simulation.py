"""Thirty schedules of the simulator, and faults that it must find; `make simulate` runs thousands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollcall.settings import Limits
from tests.simulation.outage import outage

OVERDUE = 2_000
SCHEDULES = 30
WITHIN = 60
PLANTED = ("reply_before_commit", "never_withdrawn", "read_then_write", "no_refill")
"""Some of the faults, of those that nearly every day shows; `make mutants` goes through all of them."""


def simulation(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


@pytest.mark.timeout(300)
def test_no_schedule_breaks_a_promise() -> None:
    done = simulation("--count", str(SCHEDULES), "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SCHEDULES} schedules" in done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.timeout(300)
def test_a_seed_is_the_same_day_again() -> None:
    first, second = (simulation("--seed", "9").stdout for _ in range(2))
    assert first.splitlines()[:2] == second.splitlines()[:2]  # the plan, and a digest of all that was said
    assert first.splitlines()[1] != simulation("--seed", "10").stdout.splitlines()[1]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", PLANTED)
def test_a_planted_fault_is_found(mutant: str) -> None:
    done = simulation("--mutant", mutant, "--count", str(WITHIN), "--jobs", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    assert "broke off" not in done.stdout


@pytest.mark.timeout(300)
def test_three_hours_without_services_cost_one_step_and_one_ping_each(tmp_path: Path) -> None:
    back = outage(tmp_path, OVERDUE)
    assert (back.overdue, back.steps) == (OVERDUE, OVERDUE)
    assert (back.steps_each_max, back.pings_each_max) == (1, 1)
    assert back.seconds <= OVERDUE / Limits().steps_per_second + 5  # at the cap, and not above it
    assert back.seconds >= OVERDUE / Limits().steps_per_second - 2
