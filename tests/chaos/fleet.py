"""The services as processes, each in a slot: whoever dies there is started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.processes import READY, Program, environment

VICTIM: Final = str(Path(__file__).with_name("victim.py"))
RESTART_S: Final = 0.1
STOP_S: Final = 20.0
KILLED: Final = -signal.SIGKILL
GAVE_UP: Final = (69, 78)  # no bus, or no room for the store: whoever runs services starts them again
TAIL_LINES: Final = 400
FULL: Final = "disk is full"
WORDS: Final = (FULL, "store is locked", "dead_letter.written", "store.fault")


class Slot:
    """One place for one service."""

    def __init__(self, service: str, number: int) -> None:
        self.service = service
        self.name = f"{service}-{number}"
        self.program: Program | None = None
        self.ready = asyncio.Event()
        self.busy = False  # somebody has plans with it

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.process.pid


class Fleet:
    """Keeps every slot filled until it is told to stop."""

    def __init__(self, state: Path, settings: dict[str, object], services: Sequence[str]) -> None:
        self.state = state
        self.settings = settings
        self.marks = state / "marks.jsonl"
        numbers = Counter[str]()
        self.slots: list[Slot] = []
        for service in services:
            numbers[service] += 1
            self.slots.append(Slot(service, numbers[service]))
        self.exits: Counter[str] = Counter()
        self.crashes: list[str] = []
        self.said: Counter[str] = Counter()
        self._noted: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.open = asyncio.Event()  # whether the dead are started again
        self.open.set()

    async def start(self) -> None:
        """Start all, and wait until all are ready."""
        self._tasks = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        await asyncio.gather(*(slot.ready.wait() for slot in self.slots))

    async def _keep(self, slot: Slot) -> None:
        while not self._stopping:
            slot.program = program = await self._spawn(slot)
            ready = asyncio.create_task(self._await_ready(slot, program))
            code = await program.process.wait()
            slot.ready.clear()
            ready.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ready
            await asyncio.gather(*program._readers)
            self._note(slot, program, code)
            if not self._stopping:
                await asyncio.sleep(RESTART_S)
                await self.open.wait()

    async def _await_ready(self, slot: Slot, program: Program) -> None:
        await program._ready.wait()
        if any(word.decode() in line for line in program.said for word in READY):
            slot.ready.set()

    async def _spawn(self, slot: Slot) -> Program:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            VICTIM,
            str(self.marks),
            slot.service,
            cwd=self.state,
            env=environment(self.state, self.settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return Program(process)

    def _note(self, slot: Slot, program: Program, code: int) -> None:
        """Write down how a process ended and what it complained of."""
        self._noted.add(program.process.pid)
        self.exits["killed" if code == KILLED else f"code {code}"] += 1
        for line in program.said:
            for word in WORDS:
                self.said[word] += word in line
        text = "".join(program.said[-TAIL_LINES:])
        if "Traceback" in text or code not in (KILLED, 0, *GAVE_UP):
            self.crashes.append(f"{slot.name} ended with {code}: {text[-6_000:]}")

    def free(self, *services: str) -> list[Slot]:
        """Return the slots that work and that nobody has plans with."""
        return [
            slot
            for slot in self.slots
            if slot.ready.is_set() and not slot.busy and (not services or slot.service in services)
        ]

    def heard(self, word: str) -> int:
        """Count how often the dead and the living have said something."""
        living = (
            slot.program for slot in self.slots if slot.program is not None and slot.pid not in self._noted
        )
        return self.said[word] + sum(word in line for program in living for line in program.said)

    async def kill(self, slot: Slot) -> bool:
        """Kill -9, and tell whether that was its end."""
        assert slot.program is not None
        process = slot.program.process
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        slot.ready.clear()
        return await process.wait() == KILLED

    async def kill_at(self, slot: Slot, point: str, nth: int, patience_s: float) -> dict[str, Any] | None:
        """Let it kill itself at a point, and return the mark that it left; None if it did not get there."""
        assert slot.program is not None
        process = slot.program.process
        assert process.stdin is not None
        try:
            process.stdin.write(f"{point} {nth}\n".encode())
            async with asyncio.timeout(patience_s):
                code = await process.wait()
        except (TimeoutError, ConnectionError):
            if process.returncode is None:
                return None
            code = process.returncode
        slot.ready.clear()
        marks = [mark for mark in self.read_marks() if mark["pid"] == process.pid and mark["point"] == point]
        return marks[-1] if code == KILLED and marks else None

    def read_marks(self) -> list[dict[str, Any]]:
        """Return what the dead have written."""
        lines = self.marks.read_bytes().splitlines() if self.marks.exists() else []
        return [json.loads(line) for line in lines]

    async def stop(self) -> Counter[int]:
        """Ask all to stop, as a service manager does, and count their exit codes."""
        self._stopping = True
        self.open.set()
        codes = Counter[int]()
        for slot in self.slots:
            if slot.program is not None and slot.program.process.returncode is None:
                slot.program.ask_to_stop()
        for slot in self.slots:
            if slot.program is not None:
                codes[await self._end(slot.program)] += 1
        await asyncio.gather(*self._tasks)
        return codes

    async def _end(self, program: Program) -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                return await program.process.wait()
        program.process.kill()
        return await program.process.wait()

    async def abandon(self) -> None:
        """End whatever still runs."""
        self._stopping = True
        self.open.set()
        for slot in self.slots:
            if slot.program is not None and slot.program.process.returncode is None:
                slot.program.process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def freeze(pid: int, seconds: float) -> float:
    """SIGSTOP, wait, SIGCONT; return for how long the kernel showed it as stopped, 0 if it never did."""
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        await until(lambda: state_of(pid) == "T", 1.0)
        await asyncio.sleep(seconds)
        stopped = state_of(pid) == "T"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return time.monotonic() - began if stopped else 0.0


def state_of(pid: int) -> str:
    """Return the letter under which the kernel shows a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


async def until(condition: Callable[[], bool], seconds: float, every_s: float = 0.01) -> bool:
    """Wait until it holds; False if it does not within the time."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(every_s)
    return True
