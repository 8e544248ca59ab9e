"""Runs each schedule in a process of its own: what an earlier one left in memory could change the order."""

import logging
import multiprocessing
import multiprocessing.connection
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection
from typing import Any, Final

from msgspec import Struct

from tests.simulation.mutants import BY_NAME
from tests.simulation.world import Verdict, simulate

ENDS_WITHIN_S: Final = 120.0  # most schedules take a second or two
_FORK: Final = multiprocessing.get_context("fork")


class _Run(Struct):
    """A schedule on its way."""

    seed: int
    process: Any
    pipe: Connection
    until: float


def verdicts(
    seeds: Sequence[int], *, jobs: int, mutant: str | None = None, level: str = "critical"
) -> Iterator[Verdict]:
    """Run the schedules of these seeds, `jobs` at a time, and yield each verdict as it comes."""
    waiting = list(reversed(seeds))
    running: dict[Connection, _Run] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = _start(waiting.pop(), mutant, level)
                running[run.pipe] = run
            for ready in multiprocessing.connection.wait(list(running), timeout=1.0):
                assert isinstance(ready, Connection)
                yield _end(running.pop(ready))
            for run in [run for run in running.values() if time.monotonic() > run.until]:
                del running[run.pipe]
                run.process.kill()
                yield _broken(run.seed, f"it did not end within {ENDS_WITHIN_S:.0f} s")
    finally:
        for run in running.values():
            run.process.kill()


def _start(seed: int, mutant: str | None, level: str) -> _Run:
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_run, args=(theirs, seed, mutant, level), daemon=True)
    process.start()
    theirs.close()
    return _Run(seed, process, ours, time.monotonic() + ENDS_WITHIN_S)


def _run(pipe: Connection, seed: int, mutant: str | None, level: str) -> None:
    with BY_NAME[mutant].planted() if mutant else nullcontext():
        try:
            pipe.send(simulate(seed, level=logging.getLevelNamesMapping()[level.upper()]))
        except BaseException as error:  # noqa: BLE001 - a schedule that cannot be run to its end is a finding too
            pipe.send(_broken(seed, f"it broke off: {''.join(traceback.format_exception(error))}"))


def _end(run: _Run) -> Verdict:
    try:
        found: Verdict = run.pipe.recv()
    except EOFError:
        found = _broken(run.seed, "its process ended without a word")
    run.process.join(1.0)
    run.pipe.close()
    return found


def _broken(seed: int, why: str) -> Verdict:
    return Verdict(
        seed=seed, told=f"seed {seed}", breaches=[f"ended: {why}"], moments={}, digest="", tasks=0, answers=0
    )
