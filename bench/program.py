"""`rollcall up` as a user starts it: a process of its own, watched from outside."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from bench.seed import now_us
from bench.stage import PATIENCE_S

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Up(Struct, frozen=True):
    """A running `rollcall up`."""

    process: asyncio.subprocess.Process
    url: str
    ready_s: float  # from the start of the process to its word

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    async def gone(self) -> int:
        """Wait until it has ended; return when, in microseconds."""
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()
        return now_us()

    @property
    def server_pid(self) -> int:
        """The process of its nats-server."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("utf-8").split()
        return next(
            int(child) for child in children if "nats-server" in Path(f"/proc/{child}/comm").read_text()
        )


@asynccontextmanager
async def folder() -> AsyncIterator[Path]:
    """Give a state folder that goes afterwards."""
    with TemporaryDirectory(prefix="rollcall-bench-") as name:
        yield Path(name)


@asynccontextmanager
async def up(state: Path, *, token: str = "") -> AsyncIterator[Up]:
    """Start it and wait until it is ready; stop it as a user does."""
    loop = asyncio.get_running_loop()
    own = {name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")}
    ours = {"STATE_DIR": str(state), "HTTP__PORT": "0", "HTTP__TOKEN": token, "HTTP__STREAMS": "2000"}
    started = loop.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rollcall",
        "up",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=own | {f"ROLLCALL_{name}": value for name, value in ours.items()},
    )
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checkers
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("ready:"):
            raise RuntimeError(f"rollcall up said {line!r}")
        url = (state / "nats.url").read_text("utf-8").strip()
        yield Up(process, url, loop.time() - started)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mib(pid: int) -> float:
    """Return the memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
