"""The whole at a glance."""

from datetime import datetime

from msgspec import Struct

from contracts.operations.registry import Operation


class StatusParams(Struct, frozen=True, kw_only=True):
    """Ask for the state of the system."""


class ProcessView(Struct, frozen=True, kw_only=True):
    """A process, when it last lived, and when it last had a live bus."""

    id: str
    service: str
    alive_at: datetime
    bus_ok_at: datetime | None
    started_at: datetime


class StatusResult(Struct, frozen=True, kw_only=True):
    """Counts, ages and lags."""

    incarnation: str
    at: datetime
    tasks: dict[str, int]
    assignments: dict[str, int]
    agents: dict[str, int]
    exhausted: int
    quarantined: int
    outbox: int
    outbox_oldest_s: float
    ping_lag_s: float
    deadline_lag_s: float
    processes: tuple[ProcessView, ...]


OPERATIONS = (
    Operation(
        name="system.status",
        owner="monitor",
        params=StatusParams,
        result=StatusResult,
        scope="operator",
        summary="Who needs somebody, how many of what, how late.",
        query=True,
        priority="look",
        cli="status",
    ),
)
