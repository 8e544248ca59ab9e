"""Programs of ours as processes of their own: watched until they are ready, then asked to stop, or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio

from rollcall.settings_inherited import variable

READY = (b"ready:", b"runtime.ready")
READY_S = 30.0
STOP_S = 30.0


class Program:
    """One running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self._ready = asyncio.Event()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [asyncio.create_task(self._read(pipe)) for pipe in (process.stdout, process.stderr)]

    async def _read(self, pipe: asyncio.StreamReader) -> None:
        async for line in pipe:
            self.said.append(line.decode(errors="replace"))
            if any(word in line for word in READY):
                self._ready.set()
        self._ready.set()  # it will say no more

    async def ready(self) -> None:
        """Wait until it says so; whoever ends instead tells why."""
        with anyio.fail_after(READY_S):
            await self._ready.wait()
        assert any(word.decode() in line for line in self.said for word in READY), "".join(self.said)

    async def ended(self) -> int:
        """Wait for its end, and return its code: negative when a signal ended it."""
        with anyio.fail_after(STOP_S):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """Stop it as a service manager does; it must end well."""
        self.ask_to_stop()
        code = await self.ended()
        assert code == 0, (code, "".join(self.said))


def environment(state: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of a program: nothing of the machine's own configuration gets in."""
    foreign = ("ROLLCALL_", "NATS_", "XDG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    named = {variable(key): str(value) for key, value in settings.items()}
    return (
        clean
        | {"HOME": str(state), variable("state_dir"): str(state), variable("log.format"): "json"}
        | {variable("http.port"): "0"}
        | named
    )


async def start(*arguments: str, state: Path, settings: Mapping[str, object] | None = None) -> Program:
    """Start a Python program, and do not wait for it."""
    await anyio.Path(state).mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=state,
        env=environment(state, settings or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return Program(process)


@asynccontextmanager
async def running(
    *arguments: str, state: Path, settings: Mapping[str, object] | None = None, wait: bool = True
) -> AsyncIterator[Program]:
    """Run a program until the end of the block; it is killed there if it still lives."""
    program = await start(*arguments, state=state, settings=settings)
    try:
        if wait:
            await program.ready()
        yield program
    finally:
        if program.process.returncode is None:
            program.process.kill()
        await program.ended()


def up(state: Path, settings: Mapping[str, object] | None = None) -> AbstractAsyncContextManager[Program]:
    """Run `rollcall up`."""
    return running("-m", "rollcall", "up", state=state, settings=settings)
