"""The whole at a glance: counts, ages, lags, and what is wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.codec import decode_union, instant
from contracts.operations.attention import ListResult
from contracts.operations.system import AlarmView, Finding, Health, ProcessView, StatusResult
from contracts.records import Figures, Frozen
from contracts.views import view as shown
from contracts.work import View
from domain import health
from domain.timers import SECOND_US

WATCHED: Final = ("due", "list_processes", "list_alarms")
TALLIES: Final = ("tally_tasks", "tally_assignments", "tally_agents", "figures")
FLEET: Final = ("list_dead", "list_machines", "load_brakes", "get_meta", "failing_ways")
QUERIES: Final = (*TALLIES, *FLEET, *WATCHED)
Rows = Mapping[str, Sequence[Any]]


def status(
    view: View, now: int, rows: Rows, *, needed: ListResult, expected: Sequence[str] = ()
) -> StatusResult:
    """Return the state of the system from the rows of `QUERIES`; `expected` services should run.

    `needed` is what `attention.ls` answers in the same moment, so that the two never tell different stories.
    """
    figures: Figures = rows["figures"][0]
    processes = rows["list_processes"]
    live = [process for process in processes if now - health.sign_at(process) <= health.GONE_US]
    return StatusResult(
        incarnation=view.incarnation,
        at=instant(now),
        needs=Counter(item.kind for item in needed.items),
        needs_more=needed.more,
        tasks=_tally(rows["tally_tasks"]),
        assignments=_tally(rows["tally_assignments"]),
        agents=_tally(rows["tally_agents"]),
        exhausted=figures.exhausted,
        quarantined=figures.quarantined,
        outbox=figures.outbox,
        outbox_oldest_s=_late_s(figures.outbox_at, now),
        ping_lag_s=_late_s(figures.ping_at, now),
        deadline_lag_s=_late_s(figures.deadline_at, now),
        processes=tuple(shown(row, ProcessView) for row in processes),
        services=health.vitals(live),
        alarms=tuple(
            AlarmView(name=row.name, since=instant(row.since), detail=row.detail, fix=row.fix)
            for row in rows["list_alarms"]
        ),
        findings=findings(rows, now, expected=expected),
    )


def findings(rows: Rows, now: int, *, expected: Sequence[str]) -> tuple[Finding, ...]:
    """Return all that is wrong, from the rows of `QUERIES`: the house first, then what the fleet needs."""
    return (
        *health.house(rows["list_processes"], rows["due"][0], expected=expected, now=now),
        *health.fleet(
            rows["figures"][0],
            dead=rows["list_dead"],
            machines=rows["list_machines"],
            brakes=rows["load_brakes"],
            ways=rows["failing_ways"],
            frozen=_frozen(rows["get_meta"]),
            now=now,
        ),
    )


def watched(rows: Rows, now: int, *, expected: Sequence[str]) -> Health:
    """Return what is wrong with the house, from the rows of `WATCHED`: cheap enough for every tick."""
    return Health(
        findings=health.house(rows["list_processes"], rows["due"][0], expected=expected, now=now),
        alarms=tuple(row.name for row in rows["list_alarms"]),
    )


def _frozen(meta: Sequence[Any]) -> Frozen | None:
    text = dict(meta).get("frozen")
    return None if text is None else decode_union(text.encode(), Frozen | None)


def _tally(rows: Sequence[Any]) -> dict[str, int]:
    return {row.name: row.count for row in rows}


def _late_s(at: int | None, now: int) -> float:
    return 0.0 if at is None else max(0.0, (now - at) / SECOND_US)
