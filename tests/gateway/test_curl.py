"""The agent of five lines in the README, as it stands there: curl, a token, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import anyio

from tests.examples.test_readme import snippet
from tests.gateway.web import Web
from tests.support.nats import until

LINES = 5


def test_five_lines_are_enough() -> None:
    assert len(snippet("agent.curl").strip().splitlines()) <= LINES


async def test_it_works(web: Web, tmp_path: Path) -> None:
    await web.world.agent("curl")
    home = tmp_path / "home"
    state = home / ".local/state/rollcall"
    state.mkdir(parents=True)
    (state / "http.url").write_text(web.url, "utf-8")
    token = await web.token("agent", agent="curl")
    (home / "curl.token").write_text(token + "\n", "utf-8")
    program = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        snippet("agent.curl"),
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "no_proxy": "*"},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for title in ("ship it", "and this too"):
            task = await web.world.task(title)
            await until(lambda: _status(web, task) == "done")  # noqa: B023 - it is over before the next one
        words = await anyio.Path(f"/proc/{program.pid}/cmdline").read_bytes()
        assert token.encode() not in words
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        await program.wait()
    ended = web.world.rows("SELECT agent, status FROM assignments")
    assert ended == [("curl", "completed")] * 2


def _status(web: Web, task: int) -> str:
    return str(web.world.rows("SELECT status FROM tasks WHERE id = ?", task)[0][0])
