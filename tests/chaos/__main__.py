"""Kill, stop and fill for a while, then judge: python -m tests.chaos [--kills 300] [--seed N]."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import structlog

from tests.chaos.results import kept, result, summary
from tests.chaos.stage import Order, Stage, say

ANSWERS_A_KILL = 170
STOPS_A_KILL = 0.1
PATIENCE_A_KILL_S = 4


def ordered(arguments: argparse.Namespace) -> Order:
    """Return what is asked for; everything follows from the number of kills."""
    kills = arguments.kills
    return Order(
        seed=secrets.randbelow(10**6) if arguments.seed is None else arguments.seed,
        kills=kills,
        stops=max(3, round(kills * STOPS_A_KILL)),
        full=max(2, kills // 75),
        answers=kills * ANSWERS_A_KILL,
        pace_s=arguments.pace,
        agents=40,
        tasks_open=arguments.tasks,
        again=3_000,
        patience_s=kills * PATIENCE_A_KILL_S + 120,
    )


def main(words: Sequence[str]) -> int:
    """Run; 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--pace", type=float, default=1.3, help="seconds from kill to kill")
    parser.add_argument("--tasks", type=int, default=60, help="tasks that are open at a time")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    arguments = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    order = ordered(arguments)
    command = f"make chaos KILLS={order.kills} SEED={order.seed}"
    folder = Path(mkdtemp(prefix="rollcall-chaos-"))
    say(f"seed {order.seed}: {order.kills} kills, {order.stops} stops; again with `{command}`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left mounted or running
    outcome = asyncio.run(Stage(order, folder, say).run())
    found = result(order, outcome, command)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    for line in summary(found):
        say(line)
    say(f"\nthe figures are in {arguments.output}")
    if kept(found):
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    with (folder / "heard.jsonl").open("wb") as file:
        for told in outcome.evidence.heard:
            file.write(msgspec.json.encode((told.subject, told.id, told.data.decode("latin-1"))) + b"\n")
    say(f"the evidence is in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
