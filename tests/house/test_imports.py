"""The rules on imports hold what they promise: a planted breach of each is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BREACHES = {
    "contracts/breach.py": "import domain",
    "domain/breach.py": "import time",
    "services/breach.py": "import services.pinger",
    "rollcall/client.py": "import contracts",
    "rollcall/shell.py": "import msgspec",
}
RULES = {
    "Dependencies point down",
    "Services talk over the bus only",
    "The domain does no I/O, and reads no clock and no dice",
    "The agent client stands alone",
    "The short way of agents' verbs stands on the standard library alone",
}


@pytest.fixture
def small_house(tmp_path: Path, root: Path) -> Path:
    """Return a folder with our packages, nearly empty, under our rules."""
    (tmp_path / "pyproject.toml").write_bytes((root / "pyproject.toml").read_bytes())
    for package in ("contracts", "domain", "bus", "store", "services", "rollcall"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "services/pinger.py").write_text("import bus, store, domain, contracts\n", "utf-8")
    (tmp_path / "rollcall/client.py").write_text("import nats\n", "utf-8")
    (tmp_path / "rollcall/shell.py").write_text("import json\n", "utf-8")
    return tmp_path


def lint(house: Path) -> dict[str, str]:
    """Return the verdict on each rule."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(house), "NO_COLOR": "1", "COLUMNS": "200"}
    output = subprocess.run(command, cwd=house, env=environment, check=False, capture_output=True, text=True)
    verdicts = (line.rpartition(" ") for line in output.stdout.splitlines())
    return {rule: verdict for rule, _, verdict in verdicts if verdict in {"BROKEN", "KEPT"}}


def test_a_clean_house_keeps_every_rule(small_house: Path) -> None:
    assert lint(small_house) == dict.fromkeys(RULES, "KEPT")


def test_every_rule_can_break(small_house: Path) -> None:
    for name, breach in BREACHES.items():
        (small_house / name).write_text(f"{breach}\n", "utf-8")
    assert lint(small_house) == dict.fromkeys(RULES, "BROKEN")
