"""Commands of the house, completion, help, and what is imported for each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from bus.api import BusUnavailable
from contracts.errors import InternalError
from rollcall.cli.root import HOUSE, root
from rollcall.config import ConfigError
from rollcall.settings import Settings
from tests.cli.conftest import Command

REPOSITORY = Path(__file__).parents[2]


class Calls(list[tuple[Any, ...]]):
    """Stands for a function: keeps its arguments, then returns or raises."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self.result = result

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.append((*arguments, named) if named else arguments)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def planted(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    monkeypatch.setitem(sys.modules, f"rollcall.{module}", SimpleNamespace(**functions))
    monkeypatch.setattr("rollcall.log.setup", Calls())


async def test_up_and_down_get_the_settings_and_their_codes_count(
    rollcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, down = Calls(7), Calls(0)
    planted(monkeypatch, "up", up=up, down=down)
    assert (await rollcall("up", "--set", "timers.warn=10s", "--set", "agent=ann")).exit_code == 7
    assert (await rollcall("down", "--nats-url", "nats://h:1")).exit_code == 0
    ((settings,),) = up
    assert isinstance(settings, Settings)
    assert (settings.timers.warn_us, settings.agent) == (10_000_000, "ann")
    assert down[0][0].nats.url == "nats://h:1"


async def test_run_knows_the_services(rollcall: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Calls(0)
    planted(monkeypatch, "run", run=run)
    assert (await rollcall("run", "pinger")).exit_code == 0
    assert run[0][0] == "pinger"
    wrong = await rollcall("run", "pinga")
    assert (wrong.exit_code, "assigner, cleanup, courier" in wrong.stderr) == (2, True)


async def test_demo_takes_its_length_and_a_fault(rollcall: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Calls(1)
    planted(monkeypatch, "demo", main=demo)
    assert (await rollcall("demo", "--seconds", "5", "--plant", "double")).exit_code == 1
    assert demo[0][1] == {"seconds": 5.0, "plant": "double"}


FAULTS: list[tuple[Exception, int, str]] = [
    (ConfigError("no"), 78, "Error: no"),
    (BusUnavailable("h:1"), 69, "next: rollcall doctor"),
    (InternalError("odd"), 1, "Error: odd"),
    (FileNotFoundError(2, "No such file", "/x/y"), 1, "Error: /x/y: No such file"),
    (OSError("disk"), 1, "Error: disk"),
]


@pytest.mark.parametrize(("fault", "code", "told"), FAULTS, ids=lambda value: type(value).__name__)
async def test_a_fault_is_one_line(
    rollcall: Command, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: int, told: str
) -> None:
    planted(monkeypatch, "maintenance", backup=Calls(fault))
    done = await rollcall("backup", "copy.db")
    assert (done.exit_code, told in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


async def test_backup_and_restore(rollcall: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    backup, restore = Calls(Path("/b/copy.db")), Calls()
    planted(monkeypatch, "maintenance", backup=backup, restore=restore)
    assert (await rollcall("backup", "copy.db")).stdout == "/b/copy.db\n"
    assert backup[0][1] == Path("copy.db")
    assert (await rollcall("restore", "copy.db")).exit_code == 0
    assert (await rollcall("restore", "--in-place")).exit_code == 0
    assert [call[1:] for call in restore] == [
        (Path("copy.db"), {"in_place": False}),
        (None, {"in_place": True}),
    ]
    for wrong in ([], ["copy.db", "--in-place"]):
        assert (await rollcall("restore", *wrong)).exit_code == 2
    assert len(restore) == 2


async def test_config_show_tells_values_and_origins(rollcall: Command) -> None:
    env = {"ROLLCALL_TIMERS__WARN": "7m", "ROLLCALL_NATS__URL": "nats://ann:hush@h:1"}
    plain = await rollcall("config", "show", env=env)
    assert "hush" not in plain.stdout
    assert "ROLLCALL_TIMERS__WARN" not in plain.stdout
    lines = (await rollcall("config", "show", "--origin", "-o", "jsonl", env=env)).stdout.splitlines()
    rows = {row["key"]: row for row in map(json.loads, lines)}
    assert rows["timers.warn"] == {"key": "timers.warn", "value": "7m", "origin": "ROLLCALL_TIMERS__WARN"}
    assert rows["timers.act"]["origin"] == "default"
    wrong = await rollcall("config", "show", "--set", "timers.warn")
    assert (wrong.exit_code, "is not KEY=VALUE" in wrong.stderr) == (2, True)
    assert (await rollcall("config", "show", "--set", "timers.warn=5")).exit_code == 78


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_scripts(rollcall: Command, shell: str) -> None:
    done = await rollcall("completion", shell)
    assert done.exit_code == 0
    assert "_ROLLCALL_COMPLETE" in done.stdout


COMPLETIONS = {
    "rollcall a": {"ack", "advance", "agent", "assignment", "attention", "audit"},
    "rollcall task a": {"ack", "add", "answer", "assign", "assignments"},
    "rollcall wait 5 h": {"human"},
    "rollcall run p": {"pinger"},
}


@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS.items())
def test_words_are_completed(typed: str, expected: set[str]) -> None:
    words = typed.split()
    done = _program([], COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1), _ROLLCALL_COMPLETE="bash_complete")
    assert {line.rpartition(",")[2] for line in done.stdout.splitlines()} == expected


async def test_help_of_every_command(rollcall: Command) -> None:
    whole = await rollcall("--help")
    for heading in ("Agents:", "Operators:", "The house:"):
        assert heading in whole.stdout
    assert "task-complete" not in whole.stdout
    for name in root.list_commands(None):  # type: ignore[arg-type] # the list is the same everywhere
        shown: Result = await rollcall(name, "--help")
        assert (shown.exit_code, shown.stdout.startswith("Usage: rollcall")) == (0, True), name
    assert (await rollcall()).exit_code == 2
    assert set(HOUSE) <= set(whole.stdout.split())


def _program(arguments: list[str], *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    command = [sys.executable, *options, "-m", "rollcall", *arguments]
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True)


HEAVY = {"nats", "structlog", "aiosqlite", "services", "anyio", "store", "domain", "rich", "asyncio"}
IMPORTS: dict[str, tuple[list[str], set[str]]] = {
    "version": (["--version"], HEAVY | {"contracts", "msgspec"}),
    "help": (["--help"], HEAVY - {"asyncio", "domain"}),
    "help of a verb": (["ack", "--help"], HEAVY - {"asyncio", "domain"}),
    "a verb": (
        ["ack", "5", "--agent", "ann", "--nats-url", "nats://127.0.0.1:1"],
        {"structlog", "aiosqlite", "services", "store", "rich", "anyio"},
    ),
}


@pytest.mark.parametrize(("arguments", "forbidden"), IMPORTS.values(), ids=IMPORTS)
def test_a_command_imports_only_what_it_needs(arguments: list[str], forbidden: set[str]) -> None:
    done = _program(arguments, "-X", "importtime")
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "click" in imported
    assert imported & forbidden == set()


def test_the_version() -> None:
    from importlib.metadata import version

    assert _program(["--version"]).stdout == f"rollcall {version('rollcall')}\n"
