"""`python -m bench [NAME…] [--quick] [--write]`: ours beside the fastest known way."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import Protocol

from bench import (
    acks,
    beats,
    commands,
    crowd,
    dashboard,
    escalations,
    http,
    idle,
    lateness,
    page,
    pings,
    presence,
    profiling,
    ready,
    rivals,
    startup,
    streams,
)
from bench.harness import Figure, of_part
from rollcall import log


class Measure(Protocol):
    """One measurement."""

    def __call__(self, *, quick: bool) -> Awaitable[list[Figure]]:
        """Return its lines of the table; `quick` is a look at few rows."""
        ...


MEASURES: dict[str, Measure] = {
    "ping": pings.measure,
    "ack": acks.measure,
    "command": commands.measure,
    "lateness": lateness.measure,
    "rivals": rivals.measure,
    "escalation": escalations.measure,
    "catchup": escalations.catch_up,
    "crowd": crowd.measure,
    "ready": ready.measure,
    "startup": startup.measure,
    "idle": idle.measure,
    "beats": beats.measure,
    "presence": presence.measure,
    "http": http.measure,
    "streams": streams.measure,
    "dashboard": dashboard.measure,
}


async def run(names: Sequence[str], *, quick: bool, write: bool) -> None:
    """Measure, show the table, and write the page if asked to."""
    figures: list[Figure] = []
    for name in names:
        started = time.monotonic()
        try:
            figures += of_part(name, await MEASURES[name](quick=quick))
        except TimeoutError:  # the other figures are wanted all the same
            figures += of_part(name, [Figure(name=name, value="out of time", reached=False)])
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(page.table(figures))
    if write:
        for path in page.write(figures, await profiling.measure(quick=quick)):
            print(f"written: {path}", file=sys.stderr)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer rows: a look, not a measurement")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/performance.md, its pictures and docs/results/bench.json",
    )
    asked = parser.parse_args()
    unknown = set(asked.names) - set(MEASURES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if asked.write and asked.names:
        parser.error("the page holds all figures: --write takes no names")
    log.setup("warning")
    asyncio.run(run(asked.names or list(MEASURES), quick=asked.quick, write=asked.write))


if __name__ == "__main__":
    main()
