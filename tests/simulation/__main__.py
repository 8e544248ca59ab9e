"""Run schedules or mutants: `python -m tests.simulation --count 2000`, `--seed 17` for one, `--mutants`."""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from tests.simulation.counts import NEEDED
from tests.simulation.mutants import BY_NAME, MUTANTS
from tests.simulation.outage import Back, outage
from tests.simulation.runner import verdicts
from tests.simulation.world import Verdict

WITHIN: Final = 200  # schedules in which a planted fault must be found
OVERDUE: Final = 10_000
SHOWN: Final = 20


def main() -> int:
    """Do what the arguments ask."""
    args = _arguments()
    if (
        os.environ.get("PYTHONHASHSEED") != "0"
    ):  # sets of text are walked in an order that the seed must decide
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    return _mutants(args) if args.mutants else _schedules(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many schedules")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--mutant", choices=sorted(BY_NAME), help="plant one fault, and stop when it is found"
    )
    parser.add_argument("--mutants", action="store_true", help="plant each fault in turn, until it is found")
    parser.add_argument("--results", type=Path, help="write the results here, as JSON")
    parser.add_argument("--log", default="critical", help="level of the services' own log")
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong")
    return parser.parse_args()


def _schedules(args: argparse.Namespace) -> int:
    began = time.monotonic()
    moments: Counter[str] = Counter()
    broken: list[Verdict] = []
    tasks = answers = 0
    for verdict in verdicts(
        range(args.seed, args.seed + args.count), jobs=args.jobs, mutant=args.mutant, level=args.log
    ):
        moments.update(verdict.moments)
        tasks += verdict.tasks
        answers += verdict.answers
        if verdict.breaches:
            broken.append(verdict)
            _tell(verdict, args.mutant)
            if args.mutant is not None:
                break  # it is found
        elif args.count == 1:
            print(verdict.told, verdict.digest, sep="\n")
    took = time.monotonic() - began
    if not args.quiet:
        print(
            f"{args.count} schedules in {took:.0f} s: {tasks} tasks, {answers} commands, {len(broken)} broken"
        )
        for name, count in sorted(moments.items(), key=lambda item: -item[1]):
            print(f"  {count:>8}  {name}")
    never = [name for name in NEEDED if not moments[name]] if args.count >= WITHIN else []
    for name in never:
        print(f"never happened: {name}")
    back = _outage() if args.count >= WITHIN else None
    _write(
        args.results,
        outage=None if back is None else msgspec.to_builtins(back),
        command=f"make simulate N={args.count} SEED={args.seed}",
        schedules=args.count,
        broken={verdict.seed: verdict.checks() for verdict in sorted(broken, key=lambda found: found.seed)},
        tasks=tasks,
        commands=answers,
        seconds=round(took),
        moments=dict(moments),
    )
    return 1 if broken or never else 0


def _outage() -> Back:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="rollcall-outage-") as folder:
        back = outage(Path(folder), OVERDUE)
    print(
        f"after 3 h without services: {back.overdue} overdue, {back.steps} steps in {back.seconds:.0f} s "
        f"of virtual time, at most {back.steps_each_max} step and {back.pings_each_max} ping each"
    )
    return back


def _tell(verdict: Verdict, mutant: str | None) -> None:
    print(f"BROKEN {verdict.told}")
    for breach in verdict.breaches[:SHOWN]:
        print(f"  {breach}")
    again = f"make simulate N=1 SEED={verdict.seed}"
    if mutant is not None:
        again = f"python -m tests.simulation --seed {verdict.seed} --mutant {mutant}"
    print(f"  again{_commit()}: {again}", flush=True)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f" (at {found.stdout.strip()})" if found.returncode == 0 else ""


def _mutants(args: argparse.Namespace) -> int:
    found: dict[str, Any] = {}
    for mutant in MUTANTS:
        seed, breach = _search(mutant.name, args)
        found[mutant.name] = {"told": mutant.told, "seed": seed, "breach": breach}
        said = f"found by seed {seed}: {breach}" if seed else f"NOT FOUND in {WITHIN} schedules"
        if seed is None or not args.quiet:
            print(f"{mutant.name}: {mutant.told}: {said}", flush=True)
    _write(args.results, command="make mutants", within=WITHIN, mutants=found)
    return 0 if all(entry["seed"] for entry in found.values()) else 1


def _search(name: str, args: argparse.Namespace) -> tuple[int | None, str]:
    step = 2 * args.jobs
    for first in range(args.seed, args.seed + WITHIN, step):
        seeds = range(first, min(first + step, args.seed + WITHIN))
        broken = sorted(verdicts(seeds, jobs=args.jobs, mutant=name), key=lambda verdict: verdict.seed)
        for verdict in broken:
            if verdict.breaches:
                return verdict.seed, verdict.breaches[0]
    return None, ""


def _write(path: Path | None, **results: Any) -> None:
    if path is not None:
        path.write_text(json.dumps({**results, "python": sys.version.split()[0]}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
