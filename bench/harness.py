"""How figures are made: ours and the fastest known way by turns, medians, a goal."""

import gc
import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct, structs

ROUNDS = 3
Watching = AbstractContextManager[object]
UNSEEN: Watching = nullcontext()  # what is measured may be watched at work; then it is slower
HALF = 0.5  # of the fastest known way: the goal of every path


class Figure(Struct, frozen=True, kw_only=True):
    """One line of the table."""

    name: str
    value: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    reached: bool | None = None  # None: there is no goal
    numbers: dict[str, float] = {}  # the same for machines, and for plots; each name ends in its unit
    part: str = ""  # the name by which it is measured


def of_part(name: str, figures: Sequence[Figure]) -> list[Figure]:
    """Say by which name they can be measured again."""
    return [structs.replace(figure, part=name) for figure in figures]


class Spent(Struct, frozen=True):
    """The own time of one function, as a share of all time in which a thread was at work."""

    function: str
    thread: str
    share: float


class Pairs(Struct, frozen=True, kw_only=True):
    """Rates of several rounds, in the order they were run."""

    ours: Sequence[float]
    limit: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: both halves of a round saw the same machine."""
        return statistics.median(ours / limit for ours, limit in zip(self.ours, self.limit, strict=True))

    def figure(self, name: str, unit: str, goal: float | None = HALF) -> Figure:
        """Return the line of the table."""
        ours, limit = statistics.median(self.ours), statistics.median(self.limit)
        return Figure(
            name=name,
            value=f"{ours:,.0f} {unit}",
            against=f"{limit:,.0f} {unit}",
            ratio=self.ratio,
            goal="" if goal is None else f"≥ {goal:.0%}",
            reached=None if goal is None else self.ratio >= goal,
            numbers={"ours_per_s": ours, "limit_per_s": limit, "ratio": self.ratio}
            | ({} if goal is None else {"goal_ratio": goal}),
        )


async def pairs(
    ours: Callable[[], Awaitable[float]], limit: Callable[[], Awaitable[float]], rounds: int = ROUNDS
) -> Pairs:
    """Measure both by turns, `rounds` times."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for rates, measure in zip(found, (ours, limit), strict=True):
            gc.collect()
            rates.append(await measure())
    return Pairs(ours=found[0], limit=found[1])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def late(values_ms: Sequence[float]) -> dict[str, float]:
    """Return what is said about lateness: 50th, 90th and 99th percentile, and the worst."""
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: percentile(values_ms, share) for name, share in shares.items()}


def rate(count: int, started_us: int, ended_us: int) -> float:
    """Return how many a second."""
    return count * 1e6 / (ended_us - started_us)
