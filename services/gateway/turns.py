"""Turns: one caller has only so many requests in work at once; its next ones wait, and nobody else does."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio

AT_ONCE: Final = 64


class _Line:
    def __init__(self) -> None:
        self.working = 0
        self.waiting: deque[anyio.Event] = deque()


class Turns:
    """Who works and who waits; of whoever does neither nothing is kept."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        """Let each caller have `at_once` in work."""
        self._at_once = at_once
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        """How many callers there are now."""
        return len(self._lines)

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncGenerator[None]:
        """Wait for a turn, first come first served; it is over with the block."""
        line = self._lines.setdefault(caller, _Line())
        if line.working < self._at_once:
            line.working += 1
        else:
            await self._wait(caller, line)
        try:
            yield
        finally:
            self._pass_on(caller, line)

    async def _wait(self, caller: str, line: _Line) -> None:
        called = anyio.Event()
        line.waiting.append(called)
        try:
            await called.wait()
        except BaseException:
            if called.is_set():  # it was its turn just now, and it has gone
                self._pass_on(caller, line)
            else:
                line.waiting.remove(called)
            raise

    def _pass_on(self, caller: str, line: _Line) -> None:
        if line.waiting:
            line.waiting.popleft().set()
            return
        line.working -= 1
        if not line.working:
            del self._lines[caller]
