"""docs/guarantees.md: the promises, each with its figures, and what is not promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.guarantees.figures import Figures, Run, breaches, check_of, found_by, measured
from tests.guarantees.promises import NOT_PROMISED, PROMISES, Promise

LOADS: Final = ("crowd", "escalation", "catchup", "lateness", "idle")
ADRS: Final = Path(__file__).parents[2] / "docs" / "adr"


def page(figures: Figures) -> str:
    """Return the whole page."""
    parts = [
        HEAD,
        "\n".join(_table(figures)),
        *("\n".join(_promise(promise, figures)) for promise in PROMISES),
        *(
            f"## {title}\n\n" + "\n".join(_section(run, name, intro, lines))
            for title, run, name, intro, lines in (
                ("The simulator", figures.simulation, "simulation", SIMULATOR, _simulation),
                ("Planted faults", figures.mutants, "mutants", PLANTED, _mutants),
                ("Real kills", figures.chaos, "chaos", KILLS, _chaos),
                ("Many processes, and load", figures.bench, "bench", MANY, _bench),
            )
        ),
        "## What is not promised\n\n" + NOT_PROMISED,
    ]
    return "\n\n".join(parts) + "\n"


def _section(
    run: Run, name: str, intro: str, lines: Callable[[dict[str, Any]], Iterator[str]]
) -> Iterator[str]:
    """Tell of one harness and its figures, or that it has none."""
    if run is None:
        yield f"**This run was not made yet**: there is no `docs/results/{name}.json`."
        return
    yield f"{intro}\n"
    yield from lines(run)


def _table(figures: Figures) -> Iterator[str]:
    yield "| promise | last runs |"
    yield "|---|---|"
    for number, promise in enumerate(PROMISES, 1):
        yield f"| {number}. [{promise.says}](#{promise.key}) | {'; '.join(_short(promise, figures))} |"


def _short(promise: Promise, figures: Figures) -> Iterator[str]:
    """Say in a few words how a promise fared."""
    broken = breaches(figures, promise.chaos)
    if broken is not None:
        yield f"kills: **{broken:,} broken**" if broken else "kills: 0 broken"
    if figures.simulation is not None and promise.simulation:
        yield f"simulator: {_broken_schedules(figures.simulation, promise.simulation)}"
    goals = [figure for figure in measured(figures, promise.bench) if "reached" in figure]
    if missed := sum(not figure["reached"] for figure in goals):
        yield f"load: **{missed} of {len(goals)} goals missed**"
    elif goals:
        yield f"load: {len(goals)} of {len(goals)} goals reached"
    if not promise.chaos and not promise.simulation:
        yield "tests"
    elif broken is None and figures.simulation is None and not goals:
        yield "tests; no run yet"


def _broken_schedules(run: dict[str, Any], checks: Sequence[str]) -> str:
    """Tell in how many schedules this promise was broken; one that broke off says nothing good of any."""
    judged = {*checks, "ended"}
    broken = sum(not judged.isdisjoint(failed) for failed in run["broken"].values())
    return f"**broken in {broken:,} of {run['schedules']:,}**" if broken else "0 broken"


def _promise(promise: Promise, figures: Figures) -> Iterator[str]:
    number = PROMISES.index(promise) + 1
    yield f'<a id="{promise.key}"></a>\n\n### {number}. {promise.says}\n'
    yield f"{promise.more}\n"
    yield f"- **How**: {promise.how} {_decided(promise)}"
    for harness, run, checks in (
        ("in the simulator", figures.simulation, promise.simulation),
        ("under real kills", figures.chaos, promise.chaos),
    ):
        if run is not None and checks:
            yield f"- **Checked** {harness}: {', '.join(f'`{check}`' for check in checks)}"
    yield f"- **Tested**: {'; '.join(_test(test) for test in promise.tests)}"
    for line in _figures(promise, figures):
        yield f"- **Figures**: {line}"


def _decided(promise: Promise) -> str:
    links = (f"[ADR {number}](adr/{next(ADRS.glob(f'{number:04}-*.md')).name})" for number in promise.decided)
    return f"({', '.join(links)})"


def _test(name: str) -> str:
    path, _, function = name.partition("::")
    return f"[{function.removeprefix('test_').replace('_', ' ')}](../tests/{path})"


def _figures(promise: Promise, figures: Figures) -> Iterator[str]:
    broken = breaches(figures, promise.chaos)
    if broken is not None and figures.chaos is not None:
        answers, kills = figures.chaos["answers"]["acknowledged"], figures.chaos["kills"]["total"]
        yield f"{broken:,} breaches in {kills:,} kills and {answers:,} acknowledged answers"
    if found := found_by(figures, promise.simulation):
        yield f"planted faults that these checks found: {', '.join(f'`{name}`' for name in found)}"
    yield from _loads(measured(figures, promise.bench))


def _loads(found: list[dict[str, Any]]) -> Iterator[str]:
    """Name each load whose goal was missed; the others are told below, and only counted here."""
    missed = [figure for figure in found if figure.get("reached") is False]
    yield from (f"{figure['name']}: {_measured(figure)}" for figure in missed)
    if reached := [figure["goal"] for figure in found if figure.get("reached")]:
        goals = ", ".join(dict.fromkeys(reached))
        yield f"goal reached ({goals}) under {len(reached)} of {len(found)} [loads](#many-processes-and-load)"


def _measured(figure: dict[str, Any]) -> str:
    goal = f" (goal {figure['goal']}: {_reached(figure)})" if "goal" in figure else ""
    return f"{figure['value']}{goal}"


def _reached(figure: dict[str, Any]) -> str:
    return "reached" if figure.get("reached") else "**not reached**"


def _simulation(run: dict[str, Any]) -> Iterator[str]:
    yield f"`{run['command']}`, Python {run['python']}, {run['seconds']:,} s:\n"
    yield "| | |\n|---|---|"
    yield f"| schedules | {run['schedules']:,} |"
    yield f"| with a broken promise | {_broken_seeds(run['broken'])} |"
    yield f"| tasks, commands | {run['tasks']:,}, {run['commands']:,} |"
    if back := run.get("outage"):
        yield (
            f"| 3 h without services, {back['overdue']:,} overdue | {back['steps']:,} steps in "
            f"{back['seconds']:.0f} s of virtual time, at most {back['steps_each_max']} step and "
            f"{back['pings_each_max']} ping each |"
        )
    yield "\nHow often the hard moments came; a set of schedules in which one never did proves nothing:\n"
    yield "| moment | times |\n|---|---|"
    for moment, times in sorted(run["moments"].items(), key=lambda item: (-item[1], item[0])):
        yield f"| {moment} | {times:,} |"


def _broken_seeds(broken: dict[str, list[str]]) -> str:
    told = (f"seed {seed}: {', '.join(f'`{check}`' for check in checks)}" for seed, checks in broken.items())
    return f"**{len(broken):,}** ({'; '.join(told)})" if broken else "0"


def _mutants(run: dict[str, Any]) -> Iterator[str]:
    mutants: dict[str, dict[str, Any]] = run["mutants"]
    found = sum(mutant["seed"] is not None for mutant in mutants.values())
    yield f"`{run['command']}`, Python {run['python']}: {found} of {len(mutants)} found, each within "
    yield f"{run['within']} schedules.\n"
    yield "| planted fault | seed | found by |\n|---|---|---|"
    for mutant in mutants.values():
        if check := check_of(mutant):
            yield f"| {mutant['told']} | {mutant['seed']} | `{check}` |"
        else:
            yield f"| {mutant['told']} | | **not found** |"


def _chaos(run: dict[str, Any]) -> Iterator[str]:
    kills, stops, answers = run["kills"], run["stops"], run["answers"]
    machine = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield f"`{run['command']}`, {run['date']}, {run['seconds']:,.0f} s, durability {run['durability']};"
    yield f"{machine}.\n"
    yield "| done to it | times |\n|---|---|"
    yield f"| `kill -9` | {kills['total']:,} |"
    for name in ("nats-server", "inside a transaction", "between commit and PubAck"):
        yield f"| … of these {name} | {kills[name]:,} |"
    yield f"| all services at once | {kills['all services at once, times']:,} |"
    yield f"| SIGSTOP beyond each clock, of a service | {stops['total']:,} |"
    yield f"| SIGSTOP of nats-server | {stops['of nats-server besides']:,} |"
    for name, times in run["disk full"].items():
        yield f"| disk of the {name} full | {times} |"
    yield f"| messages that nobody can read | {run['corrupt messages']:,} |"
    yield "\n| what came of it | |\n|---|---|"
    yield f"| acknowledged answers | {answers['acknowledged']:,} |"
    yield f"| outcome unknown, asked again | {answers['unknown, asked again']:,} |"
    for name in ("tasks", "assignments", "escalated", "events"):
        yield f"| {name} | {run[name]:,} |"
    for name in ("lost", "double owners", "events without commit", "double effects"):
        yield f"| {name} | **{run[name]:,}** |"
    yield f"| breaches, all {len(run['broken'])} checks | **{sum(run['broken'].values()):,}** |"
    yield f"| services that ended with an error of their own | {len(run['crashes']):,} |"


def _bench(run: dict[str, Any]) -> Iterator[str]:
    yield f"{run['machine']}.\n"
    for figure in measured(Figures(bench=run), LOADS):
        yield f"- **{figure['name']}**: {_measured(figure)}"


HEAD: Final = """\
# What may be relied on

Generated by `make generate` from [docs/results](results) and a table of promises in `tests/guarantees`;
`make verify` fails when it is stale. The exact wording, with its limits, is in
[semantics.md](semantics.md). Each promise below says what keeps it, what would see it broken, and what the
last runs found."""

SIMULATOR: Final = """\
The real services, the real SQLite store and an in-memory bus that passes the same conformance tests as
nats-server, under virtual time. A seed decides the fleet, the faults and every turn: kills at any step, at
commits and between commit and PubAck; processes stopped; the bus down, cut off or without its streams;
messages lost, delayed and doubled; a store that fails. Then all faults end, and every check is made
(`tests/simulation/checks.py`). A seed replays its schedule."""

PLANTED: Final = """\
Mistakes that a careless change could make, planted one at a time into the simulated product
(`tests/simulation/mutants.py`). A simulator that does not find them would prove nothing by finding nothing
else."""

KILLS: Final = """\
Real processes, a real nats-server (open: one connection speaks for many), a real file, agents and
operators who write down what they asked and what they were told.
[tests/chaos/checker.py](../tests/chaos/checker.py) shares no code with the product; its own tests
([test_checker.py](../tests/chaos/test_checker.py)) give each check a history that it alone must find bad."""

MANY: Final = """\
One, two, four and eight of each service as processes on one SQLite file and one bus, every ping counted by
a plain subscriber; and how late a step comes with much open. A goal that was not reached is said. How it is
measured, and the rest of the figures: [performance.md](performance.md)."""
