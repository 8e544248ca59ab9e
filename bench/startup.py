"""A verb of an agent as a shell runs it: the whole life of its process, beside that of `python -c pass`."""

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path

import anyio

from bench.harness import Figure
from bench.program import Up, folder, up
from bench.stage import PATIENCE_S, raw_client

SCRIPT = Path(sys.executable).with_name("rollcall")
AGENT = "ann"
ROUNDS = 30
TIMES_MAX = 6.0
WAYS: dict[str, tuple[str, ...]] = {
    "python": (sys.executable, "-c", "pass"),
    "ack": (str(SCRIPT), "ack", "1"),
    "sync": (str(SCRIPT), "sync"),
    "long": (str(SCRIPT), "ack", "1", "--timeout", "5"),  # an option that only the long way knows
}


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    took = await rounds(5 if quick else ROUNDS)
    return [
        figure("`rollcall ack`, start to end, answered by the services", took, "ack", TIMES_MAX),
        figure("`rollcall sync`, the same", took, "sync", TIMES_MAX),
        figure("… and an ack that goes over the bus by itself, without a door", took, "long", None),
    ]


def figure(name: str, took: dict[str, list[float]], way: str, goal: float | None) -> Figure:
    """Return one line: the median of the rounds' ratios, for both halves of a round saw the same machine."""
    ours, bare = statistics.median(took[way]), statistics.median(took["python"])
    times = statistics.median(one / other for one, other in zip(took[way], took["python"], strict=True))
    return Figure(
        name=name,
        value=f"{ours * 1_000:.0f} ms, {times:.1f} times",
        against=f"{bare * 1_000:.0f} ms (`python -c pass`)",
        goal="" if goal is None else f"≤ {goal:g} times",
        reached=None if goal is None else times <= goal,
        numbers={"ours_ms": ours * 1_000, "python_ms": bare * 1_000, "times_ratio": times},
    )


async def rounds(count: int) -> dict[str, list[float]]:
    """Return the seconds that each way took, round by round; the first round warms the files."""
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    async with folder() as state, up(state) as running:
        await furnish(running, state)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")}
        environ = kept | {"ROLLCALL_STATE_DIR": str(state), "ROLLCALL_AGENT": AGENT}
        for _ in range(count + 1):
            for name, command in WAYS.items():
                took[name].append(await asyncio.to_thread(once, command, environ))
    return {name: times[1:] for name, times in took.items()}


def once(command: tuple[str, ...], environ: dict[str, str]) -> float:
    """Run a program and return the seconds that it took."""
    started = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        command,
        environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, place, os.devnull, os.O_WRONLY, 0) for place in (1, 2)],
    )
    _, status = os.waitpid(child, 0)
    took = time.perf_counter() - started
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return took


async def furnish(running: Up, state: Path) -> None:
    """Give the agent a task, and wait for its door."""
    async with raw_client(running.url) as client:
        for subject, body in (
            ("monitor.agent-add", {"name": AGENT, "beats": "none"}),
            ("assigner.task-add", {"title": "Start soon"}),
        ):
            reply = await client.request(
                f"rollcall.v1.cmd.{subject}.bench", json.dumps(body).encode(), timeout=5
            )
            if reply.headers and "Nats-Service-Error" in reply.headers:
                raise RuntimeError(reply.data.decode())
    door = anyio.Path(state) / "agents" / f"{AGENT}.sock"
    async with asyncio.timeout(PATIENCE_S):
        while not await door.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)
