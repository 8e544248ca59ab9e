"""The figures as a table: on the terminal, and as docs/performance.md."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.harness import Figure, Spent
from bus.embedded import find_binary

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LOAD = os.getloadavg()[0]  # of all that runs beside the bench
HEAD = ("figure", "measured", "fastest known way", "ratio", "goal", "reached")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table that reads the same on a terminal and on a page."""
    rows = [HEAD, *(cells(figure) for figure in figures)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    ]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([lines[0], rule, *lines[1:]])


def cells(figure: Figure) -> tuple[str, ...]:
    """Return one row."""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.0%}"
    reached = "" if figure.reached is None else "yes" if figure.reached else "no"
    return figure.name, figure.value, figure.against, ratio, figure.goal, reached


def write(figures: Sequence[Figure], profiles: Mapping[str, Sequence[Spent]]) -> Path:
    """Write the page and return where."""
    spent = "\n\n".join(f"### {path}\n\n{shares(found)}" for path, found in profiles.items())
    PAGE.write_text(TEXT.format(machine=machine(), table=table(figures), spent=spent), "utf-8")
    return PAGE


def shares(found: Sequence[Spent]) -> str:
    """Return one profile as a table."""
    rows = [f"| `{one.function}` | {one.thread} | {one.share:.0%} |" for one in found]
    return "\n".join(["| function | thread | own time |", "|---|---|---|", *rows])


def machine() -> str:
    """Return on what the figures were measured."""
    server = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    parts = (
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{os.cpu_count()} cores ({platform.machine()}), load {LOAD:.1f} before the run",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        server.strip().replace(": v", " ").rpartition("/")[2],
        *(f"{name} {version(name)}" for name in ("nats-py", "aiosqlite", "msgspec")),
    )
    return ", ".join(parts)


TEXT = """\
# Performance

Written by `python -m bench --write`; `make bench` shows the same table for your machine. Everything runs
on 127.0.0.1, with a real nats-server and a real SQLite file, the subscriber in a process of its own.

{machine}.

Compare only figures of one table: absolute values differ from machine to machine.

{table}

## How it is measured

- **Fastest known way**: the same job in the same run with nothing around it, by turns with ours; of
  three rounds the median of the ratios. For pings: one `UPDATE … RETURNING` claim of 500 rows, history
  and task written with it, one batch publish (counted or atomic, whichever is faster under that
  durability), confirmed in the transaction of the next claim. For answers: one standing pull request fed
  by a callback; one transaction a batch that writes the same rows (assignment, agent, task, a comment,
  two of the audit, the command with its answer, three of the outbox); then an acknowledgement each. For
  beats: a subscriber that only decodes.
- **full** is `synchronous = FULL` on the store and `sync_interval: always` on the bus; **relaxed** is
  `NORMAL` and the server's own interval.
- The cap on pings per second is lifted: it guards agents, and would be all that is measured.
- **ping path**: from the instant at which all rows are due until the last ping is heard by the
  subscriber and confirmed in the store. **ack path**: from the instant at which the pinger is started
  until the last answer is committed; what answers cause (events, withdrawn pings) ours publishes
  meanwhile, the limit never.
- **due → delivered**: the subscriber's clock at arrival minus the instant at which the row was due.

## Where the time goes

Each thread is looked at a thousand times a second in a run of its own. A look counts for the function it
finds; a call into C (SQLite, the codec, the socket) for the function that made it. Shares are of all
time in which a thread was at work.

{spent}
"""
