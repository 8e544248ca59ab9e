"""The verbs of agents start without what is heavy, as `rollcall` and as `python -m rollcall`."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollcall.door import Hall
from tests.cli.conftest import Bus
from tests.support.nats import until

HEAVY = {
    *("aiosqlite", "anyio", "asyncio", "bus", "click", "concurrent", "contracts", "domain", "email", "http"),
    *("importlib.metadata", "inspect", "msgspec", "nats", "pathlib", "shutil", "ssl", "store", "structlog"),
    *("subprocess", "tempfile", "tomllib", "urllib", "uuid"),
}
SCRIPT = Path(sys.executable).with_name("rollcall")
OUTCOME = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}


def run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program, with the tests' own coverage out of the way: it would count as an import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "ROLLCALL_"))}
    root = Path(__file__).parents[2]
    return subprocess.run(
        command,
        env=kept | {"PYTHONPATH": str(root)} | environ,
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def imported(told: str) -> set[str]:
    """Return the modules that `-X importtime` has named."""
    lines = (line for line in told.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("program", [[str(SCRIPT)], ["-m", "rollcall"]], ids=["script", "module"])
@pytest.mark.parametrize("words", [["ack", "5"], ["ack", "5", "-o", "json"]], ids=["table", "json"])
async def test_nothing_heavy_is_imported(hall: Hall, bus: Bus, program: list[str], words: list[str]) -> None:
    bus.answer("ack", OUTCOME)
    path = await hall.open("ann")
    command = [sys.executable, "-X", "importtime", *program, *words]
    bare = await asyncio.to_thread(run, [sys.executable, "-X", "importtime", "-c", "pass"], {})
    done = await asyncio.to_thread(run, command, {"ROLLCALL_SOCKET": str(path)})
    assert done.returncode == 0, done.stderr
    assert "acknowledged" in done.stdout
    ours = imported(done.stderr) - imported(bare.stderr)  # what the environment itself imports is not ours
    assert "rollcall.shell.life" in ours
    heavy = {name for name in ours for word in HEAVY if name == word or name.startswith(f"{word}.")}
    assert not heavy


async def test_a_reader_that_has_read_enough_is_no_fault_and_ctrl_c_ends_with_130(
    hall: Hall, bus: Bus
) -> None:
    bus.answer("next", {"status": "none", "lease": None, "retry": True})
    path = str(await hall.open("ann"))
    environ = {**os.environ, "ROLLCALL_SOCKET": path, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rollcall", "next", env=environ, stderr=asyncio.subprocess.PIPE
    )
    await until(lambda: bool(bus.asked))
    async with asyncio.timeout(30):
        process.send_signal(2)
        _, told = await process.communicate()
    assert (process.returncode, told) == (130, b"")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "rollcall", "next", "--wait", "0"]
    cut = await asyncio.create_subprocess_exec(*command, env=environ, stdout=writer)
    os.close(writer)
    assert await cut.wait() == 1
