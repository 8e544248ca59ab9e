"""A terminal of a given size around a program: what it shows, key by key."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

WAIT_S = 20.0
_STEERING = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """What stands on the screen of a program that draws each frame from the top."""

    def __init__(self, program: asyncio.subprocess.Process, control: int) -> None:
        self.program = program
        self._control = control
        self._said = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._read)

    def _read(self) -> None:
        try:
            self._said += os.read(self._control, 65_536)
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self._control)
        self._more.set()

    @property
    def raw(self) -> str:
        return self._said.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The last whole frame."""
        frames = self.raw.split("\x1b[H")[1:]
        whole = [frame for frame in frames if frame.endswith("\x1b[J") or frame is not frames[-1]]
        return _STEERING.sub("", whole[-1]).splitlines() if whole else []

    async def shows(self, condition: Callable[[list[str]], object]) -> list[str]:
        """Wait until the screen is so, and return it."""
        try:
            with anyio.fail_after(WAIT_S):
                while not condition(self.lines):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            shown = "\n".join(self.lines) or self.raw
            raise AssertionError(f"this is on the screen: {shown}") from None
        return self.lines

    async def says(self, condition: Callable[[str], object]) -> None:
        """Wait until what was written is so."""
        await self.shows(lambda _: condition(self.raw))

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._control, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._control, keys)

    async def ended(self) -> int:
        with anyio.fail_after(WAIT_S):
            return await self.program.wait()


@asynccontextmanager
async def terminal(
    *arguments: str, folder: Path, env: Mapping[str, str], lines: int = 24, columns: int = 80
) -> AsyncIterator[Terminal]:
    """Run a Python program on a terminal of its own; it is killed at the end if it still lives."""
    control, its = pty.openpty()
    fcntl.ioctl(control, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def take() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    program = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env=dict(env),
        stdin=its,
        stdout=its,
        stderr=its,
        preexec_fn=take,
    )
    os.close(its)
    try:
        found = Terminal(program, control)
        yield found
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
        asyncio.get_running_loop().remove_reader(control)
        os.close(control)
