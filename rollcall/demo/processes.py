"""The processes of the demonstration: none outlives it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bus.embedded import die_with_parent

STOP_S: Final = 3.0
POLL_S: Final = 0.02
TAIL_CHARS: Final = 600
_FOREIGN: Final = ("ROLLCALL_", "NATS_", "DEFAULT_", "DATABASE_URL", "RUTO_", "SUB_AGENT_", "MAX_ESCALATION_")


def environment(folder: Path, scale: float) -> dict[str, str]:
    """Return what children see: the settings of the demonstration, and none of the user's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    if server := os.environ.get("NATS_SERVER_BIN"):
        kept["NATS_SERVER_BIN"] = server
    beside = Path(sys.executable).parent
    source = Path(__file__).parents[2]
    return kept | {
        "PATH": f"{beside}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{source}{os.pathsep}{kept.get('PYTHONPATH', '')}".rstrip(os.pathsep),
        "ROLLCALL_STATE_DIR": str(folder / "state"),
        "ROLLCALL_TIMERS__SCALE": f"{scale:g}",
        "ROLLCALL_LOG__LEVEL": "warning",
        "ROLLCALL_HTTP__PORT": "0",
    }


class Ended(Exception):
    """A process ended before its time."""


class Processes:
    """Starts each in a group of its own, and stops them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start one; what it says goes to a file."""
        with self.log(name).open("wb") as output:
            self._running[name] = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.folder,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_before_exec(os.getpid()),
            )

    def log(self, name: str) -> Path:
        """Return the file with what a process says."""
        return self.folder / f"{name}.log"

    def check(self, *names: str) -> None:
        """Raise Ended if one of them has ended."""
        for name in names:
            if self._running[name].returncode is not None:
                raise Ended(f"{name} ended: {self.tail(name)}")

    def tail(self, name: str) -> str:
        """Return the last that a process said."""
        return self.log(name).read_text("utf-8", "replace").strip()[-TAIL_CHARS:]

    async def until_says(self, name: str, word: str, timeout_s: float) -> str:
        """Wait for a line that begins so, and return it; raises Ended or TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                text = self.log(name).read_text("utf-8", "replace")
                found = next((line for line in text.splitlines() if line.startswith(word)), None)
                if found is not None:
                    return found
                self.check(name)
                await asyncio.sleep(POLL_S)

    async def stop(self, *names: str, number: int = signal.SIGTERM, timeout_s: float = STOP_S) -> None:
        """Ask each to end, and end its whole group if it does not."""
        chosen = [self._running.pop(name) for name in names if name in self._running]
        for process in chosen:
            _signal(process, number)
        await asyncio.gather(*(_end(process, timeout_s) for process in chosen))

    async def stop_all(self, *, timeout_s: float = STOP_S) -> None:
        """End whatever still runs."""
        await self.stop(*list(self._running)[::-1], timeout_s=timeout_s)


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await process.wait()
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _before_exec(parent: int) -> Callable[[], None]:
    follow = die_with_parent(parent)

    def prepare() -> None:  # pragma: no cover - runs between fork and exec
        if follow is not None:
            follow()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it, and so would they

    return prepare
