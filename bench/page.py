"""The figures as a table: on the terminal, and as docs/performance.md."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import structs

from bench import plots
from bench.harness import Figure, Spent
from bus.embedded import find_binary

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
PICTURES = DOCS / "performance"
RESULTS = DOCS / "results" / "bench.json"
LOAD = os.getloadavg()[0]  # of all that runs beside the bench
HEAD = ("figure", "measured", "held against", "ratio", "goal", "reached")


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
    ratio = (
        ""
        if figure.ratio is None
        else f"{figure.ratio:.0%}"
        if figure.ratio < 10
        else f"{figure.ratio:.0f} times"
    )
    reached = "" if figure.reached is None else "yes" if figure.reached else "no"
    return figure.name, figure.value, figure.against, ratio, figure.goal, reached


def write(figures: Sequence[Figure], profiles: Mapping[str, Sequence[Spent]]) -> list[Path]:
    """Write the page, its pictures and the figures for machines; return where."""
    drawn = plots.draw(figures, PICTURES)
    spent = "\n\n".join(f"### {path}\n\n{shares(found)}" for path, found in profiles.items())
    PAGE.write_text(TEXT.format(machine=machine(), table=table(figures), spent=spent), "utf-8")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_bytes(results(figures))
    return [PAGE, *drawn.values(), RESULTS]


def results(figures: Sequence[Figure]) -> bytes:
    """Return the figures as JSON, each with the command that measures it again."""
    rows = [
        {name: value for name, value in structs.asdict(figure).items() if value not in (None, "")}
        | {"command": f"python -m bench {figure.part}"}
        for figure in figures
    ]
    whole = {"measured": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "figures": rows}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


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

![Each path as a share of the fastest known way](performance/ratios.svg)

![How late](performance/latency.svg)

![1, 2, 4 and 8 of each service](performance/processes.svg)

## How it is measured

Each part alone: `python -m bench NAME…` (ping, ack, command, lateness, rivals, escalation, catchup, crowd,
ready, startup, idle, beats, presence, http, streams, dashboard); the same figures for machines are in
[results/bench.json](results/bench.json).

- **Fastest known way**: the same job in the same run with nothing around it, by turns with ours; of
  three rounds the median of the ratios. For pings: one `UPDATE … RETURNING` claim of 500 rows, history
  and task written with it, one batch publish (counted or atomic, whichever is faster under that
  durability), confirmed in the transaction of the next claim. For answers: one standing pull request fed
  by a callback; one transaction a batch that writes the same rows (assignment, agent, task, a comment,
  two of the audit, the command with its answer, three of the outbox); then an acknowledgement each. For
  beats: a subscriber that only decodes.
- **full** is `synchronous = FULL` on the store and `sync_interval: always` on the bus; **relaxed** is
  `NORMAL` and the server's own interval.
- The caps on pings and steps per second are lifted, unless a line names them: they guard agents, and would
  be all that is measured.
- **ping path**: from the instant at which all rows are due until the last ping is heard by the
  subscriber and confirmed in the store. **ack path**: from the instant at which the pinger is started
  until the last answer is committed; what answers cause (events, withdrawn pings) ours publishes
  meanwhile, the limit never. **command path**: the same answers asked by request, until the last reply; the
  limit is a bare subscriber that commits the same rows and then replies.
- **due → delivered**: the subscriber's clock at arrival minus the instant at which the row was due.
- **Due at once, agents take 10 ms**: the same agents, who answer 10 ms after they were asked, beside two
  designs. Ours: the pinger in a process of its own, the agents on the bus, their answers stored there and
  committed by the same pinger; the rate counts pings that were heard and recorded. *Poll and post*, the usual
  first design: every 30 s all open tasks are read, one after another; each agent that is due is posted to
  over HTTP on a new connection, and the next only after its answer and a commit. It is written here
  ([bench/polling.py](../bench/polling.py)) with plain `sqlite3` and `http.client` and SQLite's own defaults,
  which is faster than the object mapper it usually stands on. Its lateness is given twice: from the instant
  at which it wakes (measured), and with the sleep before that, which adds 0 to 30 s, 15 s on average
  (arithmetic: it also holds for a single ping on an idle machine, where ours is late by milliseconds).
- **deadline → step**: offers run out at an even pace among many that do not; another reader of the file looks
  every 2 ms, and the instant at which it first sees the step, minus the deadline, is the lateness. All
  services run in one process, with 1,000 agents. A deadline is judged only when the pinger has said (once a
  second) that all answers up to it were handled: half of the lateness is that wait, and wanted. Whoever
  still waits 40 s after the last deadline counts as if stepped then. Goal: two ticks and a second.
- **Overdue after 3 h**: offers that ran out while no service ran and the bus was up, under the default caps:
  from the start of the one process with all services until the last new holder's ping was published. Checked:
  each offer was stepped once, each new holder pinged once, no ping was heard twice. The former holders' next
  ping was overdue as well; whoever's step had not come by then got that one too.
- **1, 2, 4, 8 of each**: as many assigners, pingers and escalators, each a process of its own, one SQLite
  file, one bus. First all tasks become assignable: the rate counts tasks that were assigned, pinged, answered
  (after 10 ms) and whose answer was committed. Then all promises are missed: stepped to the main agent,
  pinged, answered, committed. Fairness is Jain's index over what each process did: 1 when all did the same,
  1/n when one did everything; SQLite gives the lock to whoever asks at the right moment, which is mostly who
  had it, so it is low and harms nobody. Checked: every attempt heard once, two leases a task, one of them
  open, nothing left in the outbox; a run in which that fails gives no figure.
- The bus is open (`--open`) in all of this: what it costs the server to compare rights is in no figure.
- **GET over HTTP**: 32 connections from another process, each with one request under way. The limit is a
  bare Litestar handler under uvicorn in the same process as ours, on the same file, with the same SQL over
  aiosqlite (a task with its history in one hop and on one state of the file, nine statements; ours has one
  more, what the store knows about itself), the same settings of the connection and the same answer from
  msgspec. It needs no token; ours proves one, counts requests, and checks by which name and from which site
  it is asked. Neither has uvloop.
- **POST acknowledge**: each agent says it once, by a token of its own that has to be looked up, over 256
  connections; gateway and pinger in one process. Beside it the same answers asked on the bus, 1,000 under way
  (the command path). There is no goal: HTTP goes the way of the bus and some of its own.
- **change → heard**: all streams end in one other process; 20 times a second somebody remarks something on
  a task; from the instant in the audit until the stream says it. **SIGTERM**: `rollcall up` as a user starts
  it, from the signal to the end of its last stream and of its process; beside it the same without streams.
- **dashboard**: the gateway and what it asks in one process, Chromium without a window in others, all
  on the same cores. First rows: from the start of the navigation, signed in, with nothing that a page knew
  before, until the first card or task is there. Frames: the time between them, while somebody acks 50 tasks
  a second, each a change of a task and its agent; the list of tasks is in the order of change, so it moves.
- **Peers** such as Celery or Dramatiq are not measured here: they would be dependencies.

## Where the time goes

Each thread is looked at a thousand times a second in a run of its own. A look counts for the function it
finds; a call into C (SQLite, the codec, the socket) for the function that made it. Shares are of all
time in which a thread was at work.

{spent}

### What it would take

The relaxed ping path stays a little below half of the limit, the relaxed ack path and the command path
well below, and no single function is to blame. A ping costs 60 µs of the store's thread, of which SQLite
takes 27, and 18 µs of the event loop's; the garbage collector is below a twentieth, and the interval at
which threads take turns makes no difference. An answer costs about 135 µs of the store's thread and 60
µs of the event loop's, and these two share one interpreter. Of the store's share SQLite takes 64 µs; the
limit takes 75 µs for everything. The other 70 µs are Python: about half the decision with its view of
the rows, the rest records out of rows and back, facts, events and the overlay of the batch; what they
are for is what the limit leaves out (a pure decision on its own records, expected versions, repeated
commands, rows sent to the bus and deleted when it has them). Half of the limit is 150 µs for all of
this. It would take one of these:

- **the store in a process of its own**, or **an interpreter without a global lock**: the event loop's
  share would run beside the store's, and 135 µs are within the goal;
- **a third less Python for each answer**, in many small places: the three largest are the event of a
  fact (two for each answer), what follows a changed record, and the view that each decision gets of its
  own.

An event's row in the outbox could be its number alone, since the audit row holds the rest (8 µs less for
each, measured apart); the limit writes the same rows, so the ratio would not change.

`limits.batch` trades throughput for fairness. With 200 rows a transaction instead of 500, the p99 of due
→ delivered at 1,000/s fell from 16 and 43 ms to 12 and 7 ms, and an answer's transaction holds the file
for 30 ms instead of 70; the paths lost about a tenth.

Answers stay in a work queue, each acknowledged on its own. A stream with one floor for all (an ack-all
for each batch) would spare the bus a write for each, but several pingers share the consumer, and whoever
moves the floor would settle what another still holds. The limit uses the same queue: under `always`,
where that write is dear, ours keeps up with it.

### What HTTP adds

A read over HTTP once had a fifth of the bare handler's rate, and most of the time nobody worked. The body of
an answer waited up to 40 ms until the caller's system had acknowledged its head (Nagle's rule against delayed
acknowledgements): asyncio switches that off only for sockets whose protocol is named, and the one that the
gateway opens by itself named none. Now its connections are told, and head and body leave with one call to
the system. Beyond that, a read learns about the store from one statement instead of three, and Litestar finds
the route of an operation but runs none of its layers (a request object, headers decoded at each look at
one, passing of arguments, a response object), which were half of what the gateway did.

One read of a task takes about 260 µs of the process's time, and 190 µs in the bare handler. Measured apart,
in one thread, the parts are:

| | ours | bare |
|---|---|---|
| name, site, limits, token | 12 µs | |
| route; in the bare handler also arguments and response | 5 µs | 22 µs |
| parameters, rights, headers of the answer | 21 µs | |
| SQL | 40 µs | 37 µs |
| from rows to the JSON of what is shown | 60 µs | 32 µs |
| the rest: uvicorn, the loop, the other thread | 125 µs | 96 µs |

What is left is in the store: rows become records that are checked, a decision makes views of them, and each
statement passes through the course that serves both engines. For a list of 50 tasks SQLite takes half, and
the views most of the rest. Reads that come while others are read share the next hand-over, so there is
never more than one for each.

An acknowledgement over HTTP costs what it costs on the bus and about as much again: the request with its
token, which is looked up once for half a second, and a question to the owner over the bus with its reply.
"""
