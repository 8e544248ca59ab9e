"""The whole at a glance: counts, ages and lags."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.codec import instant
from contracts.operations.system import ProcessView, StatusResult
from contracts.records import Figures
from contracts.views import view as shown
from contracts.work import View
from domain.timers import SECOND_US

QUERIES: Final = ("tally_tasks", "tally_assignments", "tally_agents", "figures", "list_processes")


def status(view: View, now: int, rows: Mapping[str, Sequence[Any]]) -> StatusResult:
    """Return the state of the system from the rows of `QUERIES`."""
    figures: Figures = rows["figures"][0]
    return StatusResult(
        incarnation=view.incarnation,
        at=instant(now),
        tasks=_tally(rows["tally_tasks"]),
        assignments=_tally(rows["tally_assignments"]),
        agents=_tally(rows["tally_agents"]),
        exhausted=figures.exhausted,
        quarantined=figures.quarantined,
        outbox=figures.outbox,
        outbox_oldest_s=_late_s(figures.outbox_at, now),
        ping_lag_s=_late_s(figures.ping_at, now),
        deadline_lag_s=_late_s(figures.deadline_at, now),
        processes=tuple(shown(row, ProcessView) for row in rows["list_processes"]),
    )


def _tally(rows: Sequence[Any]) -> dict[str, int]:
    return {row.name: row.count for row in rows}


def _late_s(at: int | None, now: int) -> float:
    return 0.0 if at is None else max(0.0, (now - at) / SECOND_US)
