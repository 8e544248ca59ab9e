"""The simulator's event loop: time jumps to the next timer, and processes in it can die or stand still.

Whoever runs here is told apart by the context variable `PROCESS`, which tasks and callbacks inherit from who
started them. A step of a process that has died is dropped, never cancelled: no `finally` runs, as after
`kill -9`. A step of a process that stands still (SIGSTOP) is kept until it goes on, and finds itself late.
"""

import asyncio
import contextvars
import heapq
import itertools
import math
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import anyio._backends._asyncio as anyio_on_asyncio

HELD_MAX = 2_000  # tasks, before those that are done are let go
TURNS_MAX = 20_000  # in which time does not move
State = Literal["alive", "stopped", "dead"]
PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("PROCESS", default=None)


class Process:
    """Who runs in the loop as a process of its own."""

    def __init__(self, name: str) -> None:
        """Begin alive."""
        self.name = name
        self.state: State = "alive"
        self.steps = 0
        self.on_step: Callable[[], None] | None = None  # may end or stop the process before its next step
        self._kept: list[asyncio.Handle] = []

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Tell whether a step may be taken now; else keep it for later, or for ever."""
        if self.state == "alive":
            self.steps += 1
            if self.on_step is not None:
                self.on_step()
        if self.state == "alive":
            return True
        # a dead one's steps are kept too: what is forgotten is closed, and closing runs `finally`
        self._kept.append(handle)
        return False

    def go_on(self, loop: "VirtualLoop") -> None:
        """Let a stopped process take the steps that were kept."""
        kept, self._kept = self._kept, []
        self.state = "alive"
        loop.put(kept)


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run: an address is not, and anyio cancels by sets."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Draw a number."""
        self.number = next(_numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        """Return the number."""
        return self.number


class _Scope(anyio_on_asyncio.CancelScope):
    """A cancel scope with a number, for the same reason."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Draw a number."""
        self.number = next(_numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        """Return the number."""
        return self.number


_numbers = itertools.count(1)
anyio_on_asyncio.CancelScope = _Scope  # type: ignore[misc]


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without a clock, without sockets and without threads; `rng` decides who goes first."""

    def __init__(self, rng: random.Random | None = None) -> None:
        """Begin at instant 0."""
        super().__init__()
        self._us = 0
        self._turns = 0  # at this instant
        self._rng = rng
        self._held: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._hold)
        self._handles: Any = self._ready  # type: ignore[attr-defined] # asyncio's own, a deque of handles
        self._timers: Any = self._scheduled  # type: ignore[attr-defined] # a heap of timers

    def time(self) -> float:
        """Return seconds since the loop began."""
        return self._us / 1e6

    @property
    def us(self) -> int:
        """Microseconds since the loop began."""
        return self._us

    def put(self, handles: list[asyncio.Handle]) -> None:
        """Let these be done soon."""
        self._handles.extend(handles)

    def _hold(self, loop: Any, main: Any, **options: Any) -> asyncio.Task[Any]:
        """Make a task, and hold it: one that nobody holds is closed, and closing runs `finally`."""
        task = _Task(main, loop=loop, **options)
        self._held.append(task)
        if len(self._held) > HELD_MAX:
            self._held = [held for held in self._held if not held.done()]
        return task

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override] # whatever it is given
        """Refuse: what a thread does, no seed repeats."""
        raise RuntimeError("no threads in the simulator")

    def _write_to_self(self) -> None:
        """There is nobody to wake: all is done on one thread."""

    def _run_once(self) -> None:
        """Do all that is ready now, in an order that the seed decides; with nothing ready, jump."""
        ready = self._handles
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise RuntimeError(f"livelock: {TURNS_MAX} turns, and still {self.time()} s")
        if not ready:
            self._jump()
        while self._timers and self._timers[0].when() <= self.time():
            timer = heapq.heappop(self._timers)
            timer._scheduled = False
            if not timer.cancelled():
                ready.append(timer)
        count = len(ready)
        if self._rng is not None and count > 1:
            shuffled = list(ready)
            self._rng.shuffle(shuffled)
            ready.clear()
            ready.extend(shuffled)
        for _ in range(count):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS)
            if process is None or process.may_run(handle):
                handle._run()

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False
        if timers:
            # up to the next whole microsecond: who looks at the clock when its timer rings must find it due
            due = timers[0].when()
            self._turns = 0
            self._us = max(self._us, math.ceil(due * 1e6))
            self._us += self._us / 1e6 < due
        elif not self._stopping:  # type: ignore[attr-defined]
            raise RuntimeError("deadlock: nothing is ready, and no timer is set")


def run(main: Callable[[VirtualLoop], Any], rng: random.Random | None = None) -> Any:
    """Run `main(loop)` to its end in virtual time; whoever still runs then is left as it is."""
    loop = VirtualLoop(rng)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        _bury(loop)
        asyncio.set_event_loop(None)
        with suppress(RuntimeError):
            loop.close()


GRAVES: list[asyncio.Task[Any]] = []
"""Tasks that never end: forgetting one would close it, and run what a crash never runs."""


def _bury(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        GRAVES.append(task)
