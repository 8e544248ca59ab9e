"""One process and its group: launched, adopted, heard when it ends, and ended whole."""

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from rollcall.daemon import procfs
from rollcall.daemon.process import NotLaunched, Process
from tests.daemon.conftest import MARK, alive, child, until


def launched(tmp_path: Path, environ: dict[str, str], *words: str) -> Process:
    return Process.launch(child(*words), cwd=tmp_path, environ=environ, log=tmp_path / "log")


async def ready(tmp_path: Path) -> list[str]:
    """Wait until the agent has said so, and return what it said."""
    await until(lambda: "ready" in (tmp_path / "log").read_text())
    return (tmp_path / "log").read_text().split()


async def test_how_it_ended_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    for code, how in ((0, "exited with 0"), (7, "exited with 7")):
        process = launched(tmp_path, environ, "exit", str(code))
        assert await process.exited() == (how, code == 0)
    process = launched(tmp_path, environ, "wait")
    os.kill(process.pid, signal.SIGKILL)
    assert await process.exited() == ("killed by SIGKILL", False)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_started_says_why(tmp_path: Path, environ: dict[str, str]) -> None:
    def refusal(command: list[str], cwd: Path) -> str:
        with pytest.raises(NotLaunched) as caught:
            Process.launch(command, cwd=cwd, environ=environ, log=tmp_path / "log")
        return str(caught.value)

    assert refusal(["no-such-program"], tmp_path) == (
        "cannot be started: no-such-program: No such file or directory"
    )
    nowhere = tmp_path / "nowhere"
    assert refusal([sys.executable], nowhere) == f"cannot be started: there is no folder {nowhere}"
    assert "Permission denied" in refusal([str(tmp_path)], tmp_path)


async def test_a_crash_leaves_nobody_of_the_group(tmp_path: Path, environ: dict[str, str]) -> None:
    process = launched(tmp_path, environ, "family")
    _, pid, *_ = await ready(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    await process.exited()
    assert not alive(int(pid))


async def test_an_end_is_graceful_for_who_hears_it(tmp_path: Path, environ: dict[str, str]) -> None:
    process = launched(tmp_path, environ, "wait")
    await ready(tmp_path)
    async with anyio.create_task_group() as group:
        group.start_soon(process.end, 10.0)
        assert await process.exited() == ("killed by SIGTERM", False)
    await process.end(10.0)  # once more is nothing more


@pytest.mark.parametrize("word", ["deaf", "family"])
async def test_an_end_is_forced_on_the_whole_group(
    tmp_path: Path, environ: dict[str, str], word: str
) -> None:
    process = launched(tmp_path, environ, word)
    said = await ready(tmp_path)
    async with anyio.create_task_group() as group:
        group.start_soon(process.end, 0.2)
        assert (await process.exited())[0] == ("killed by SIGKILL" if word == "deaf" else "killed by SIGTERM")
    assert not [pid for pid in said if pid.isdigit() and alive(int(pid))]


async def test_a_stopped_process_hears_that_it_is_to_end(tmp_path: Path, environ: dict[str, str]) -> None:
    process = launched(tmp_path, environ, "wait")
    await ready(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    async with anyio.create_task_group() as group:
        group.start_soon(process.end, 10.0)
        assert (await process.exited())[0] == "killed by SIGTERM"


async def test_a_process_of_another_life_is_adopted_and_ended(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    program = (
        "import subprocess, sys; "
        f"print(subprocess.Popen({child('wait')!r}, start_new_session=True, stdout=2).pid)"
    )
    with (tmp_path / "log").open("wb") as log:
        said = await anyio.run_process([sys.executable, "-c", program], env=environ, stderr=log)
    known = procfs.identity(int(said.stdout))
    assert known is not None
    await ready(tmp_path)
    for stranger in (
        structs.replace(known, start=known.start - 1),
        structs.replace(known, boot="another"),
        structs.replace(known, pid=2**22 + 1),
    ):
        assert Process.adopt(stranger) is None
    assert procfs.leaders_with(MARK, environ[MARK]) == [known.pid]
    process = Process.adopt(known)
    assert process is not None
    async with anyio.create_task_group() as group:
        group.start_soon(process.end, 10.0)
        assert (await process.exited())[0].startswith("ended; how is not known")


async def test_who_has_ended_has_no_identity(tmp_path: Path, environ: dict[str, str]) -> None:
    process = launched(tmp_path, environ, "exit", "0")
    await until(lambda: procfs.identity(process.pid) is None)  # it waits to be reaped
    assert procfs.group(process.pid) == []
    await process.exited()
    assert procfs.identity(process.pid) is None
