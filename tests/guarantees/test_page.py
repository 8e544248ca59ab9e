"""The page of guarantees: made of the results as they lie there, and it names only what exists."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import PROMISES as CHECKS
from tests.guarantees.__main__ import main
from tests.guarantees.figures import Figures, read
from tests.guarantees.page import page
from tests.guarantees.promises import PROMISES

ROOT = Path(__file__).parents[2]
SIMULATION: dict[str, Any] = {
    "command": "make simulate N=2000 SEED=1",
    "schedules": 2000,
    "broken": {},
    "tasks": 31_000,
    "commands": 250_000,
    "seconds": 1800,
    "moments": {"commit whose reply was lost": 1234, "killed between commit and PubAck": 567},
    "python": "3.11.7",
}
MUTANTS: dict[str, Any] = {
    "command": "make mutants",
    "within": 200,
    "mutants": {
        "no_outbox": {"told": "effects from memory alone", "seed": 3, "breach": "events_are_the_audit: gone"},
        "well_hidden": {"told": "nobody finds this", "seed": None, "breach": ""},
    },
    "python": "3.11.7",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with results of all four harnesses."""
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    for name in ("chaos", "bench"):
        (folder / f"{name}.json").write_bytes((ROOT / f"docs/results/{name}.json").read_bytes())
    put(tmp_path, "simulation", SIMULATION)
    put(tmp_path, "mutants", MUTANTS)
    assert main([], tmp_path) == 0
    return tmp_path


def put(root: Path, name: str, run: dict[str, Any]) -> None:
    (root / f"docs/results/{name}.json").write_text(json.dumps(run), "utf-8")


def get(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f"docs/results/{name}.json").read_text("utf-8"))
    return found


def text(root: Path) -> str:
    return page(read(root / "docs" / "results"))


def row(root: Path, says: str) -> str:
    """Return the line of the first table about the promise that says so."""
    return next(line for line in text(root).splitlines() if line.startswith("| ") and says in line)


def part(root: Path, heading: str) -> str:
    """Return what stands under the headings that contain these words."""
    return next(found for found in re.split(r"\n##+ ", text(root)) if heading in found.partition("\n")[0])


def test_a_page_is_fresh_until_a_figure_changes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], root) == 0
    run = get(root, "chaos")
    run["answers"]["acknowledged"] += 1
    put(root, "chaos", run)
    assert main(["--check"], root) == 1
    assert capsys.readouterr().err == "docs/guarantees.md is stale: run `make generate`\n"
    assert main([], root) == 0
    assert main(["--check"], root) == 0
    assert (
        f"{run['answers']['acknowledged']:,} acknowledged answers"
        in (root / "docs/guarantees.md").read_text()
    )


def test_a_page_that_is_not_there_is_stale(root: Path) -> None:
    (root / "docs/guarantees.md").unlink()
    assert main(["--check"], root) == 1


@pytest.mark.parametrize("name", ["simulation", "mutants", "chaos", "bench"])
def test_a_run_that_was_not_made_is_said(root: Path, name: str) -> None:
    said = f"**This run was not made yet**: there is no `docs/results/{name}.json`."
    assert said not in text(root)
    (root / f"docs/results/{name}.json").unlink()
    assert text(root).count(said) == 1


def test_without_any_run_only_tests_are_claimed() -> None:
    lines = [line for line in page(Figures()).splitlines() if re.match(r"\| \d+\. ", line)]
    assert len(lines) == len(PROMISES)
    assert all(line.endswith(("| tests |", "| tests; no run yet |")) for line in lines)


def test_a_broken_promise_stands_in_the_table_and_beside_the_promise(root: Path) -> None:
    run = get(root, "chaos")
    run["broken"]["nothing_lost"] = 2
    put(root, "chaos", run)
    assert "kills: **2 broken**; simulator: 0 broken |" in text(root)
    assert "2 breaches in" in part(root, "No acknowledged answer is lost")
    assert "kills: **" not in part(root, "A retried command")


def test_a_check_that_the_last_run_did_not_know_is_not_claimed(root: Path) -> None:
    run = get(root, "chaos")
    del run["broken"]["poison_is_kept"]
    put(root, "chaos", run)
    assert "breaches in" not in part(root, "Poison stops nobody")


def test_a_broken_schedule_is_told_with_its_seed(root: Path) -> None:
    broken = {"17": ["one_owner"], "99": ["nothing_is_late", "one_owner"]}
    put(root, "simulation", SIMULATION | {"broken": broken})
    owner, late, other = (row(root, says) for says in ("one open assignment", "two ticks", "gets the same"))
    assert "simulator: **broken in 2 of" in owner
    assert "simulator: **broken in 1 of" in late
    assert "simulator: 0 broken" in other
    assert "**2** (seed 17: `one_owner`; seed 99: `nothing_is_late`, `one_owner`)" in part(
        root, "The simulator"
    )


def test_a_schedule_that_broke_off_speaks_for_nothing(root: Path) -> None:
    put(root, "simulation", SIMULATION | {"broken": {"17": ["ended"]}})
    assert "simulator: **broken in 1 of" in row(root, "gets the same")


def test_planted_faults_stand_with_the_check_that_found_them(root: Path) -> None:
    faults = part(root, "Planted faults")
    assert "1 of 2 found" in faults
    assert "| effects from memory alone | 3 | `events_are_the_audit` |" in faults
    assert "| nobody finds this | | **not found** |" in faults
    assert "found: `no_outbox`" in part(root, "No event without a commit")
    assert "no_outbox" not in part(root, "Poison stops nobody")


def test_a_missed_goal_is_said_wherever_it_matters(root: Path) -> None:
    run = get(root, "bench")
    for figure in run["figures"]:
        if figure["part"] == "escalation":
            figure["reached"] = True
    put(root, "bench", run)
    assert "not reached" not in part(root, "What is overdue")
    figure = next(figure for figure in run["figures"] if figure["part"] == "escalation")
    figure["reached"] = False
    put(root, "bench", run)
    assert f"{figure['name']}: {figure['value']} (goal {figure['goal']}: **not reached**)" in part(
        root, "What is overdue"
    )
    assert "**1 of 2 goals missed**" in text(root)


def test_moments_are_told_most_frequent_first(root: Path) -> None:
    simulator = part(root, "The simulator")
    assert simulator.index("| commit whose reply was lost | 1,234 |") < simulator.index("| 567 |")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: str(promise.key))
def test_every_test_named_is_there(promise: Any) -> None:
    assert promise.tests
    for name in promise.tests:
        path, _, function = name.partition("::")
        assert re.search(
            rf"^(async )?def {function}\(", (ROOT / "tests" / path).read_text("utf-8"), re.MULTILINE
        ), name


def test_every_word_of_code_is_in_the_product() -> None:
    rooms = ("bus", "contracts", "domain", "rollcall", "services", "store")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.*") if path.suffix in {".py", ".sql"}]
    product = "\n".join([*(path.read_text("utf-8") for path in files), *map(str, files)])
    words = {word for promise in PROMISES for word in re.findall(r"`([a-z0-9_]+(?:/\w+\.py)?)`", promise.how)}
    assert {"assignments_open", "domain/matrix.py"} <= words
    assert not [word for word in words if word not in product]


def test_every_check_of_the_real_kills_belongs_to_a_promise() -> None:
    assert {name for promise in PROMISES for name in promise.chaos} == set(CHECKS)


def test_every_check_of_the_simulator_belongs_to_a_promise() -> None:
    checks = pytest.importorskip("tests.simulation.checks").CHECKS
    named = {name for promise in PROMISES for name in promise.simulation}
    assert named == {check.__name__ for check in checks}
