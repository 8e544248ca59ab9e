"""The whole at a glance."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from contracts.messages import Vital
from contracts.operations.registry import Operation, Route

Severity = Literal["ok", "warning", "error"]


class StatusParams(Struct, frozen=True, kw_only=True):
    """Ask for the state of the system."""


class ProcessView(Struct, frozen=True, kw_only=True):
    """A process, when it last lived, and when it last had a live bus."""

    id: str
    service: str
    alive_at: datetime
    bus_ok_at: datetime | None
    started_at: datetime


class Finding(Struct, frozen=True, kw_only=True):
    """Something that was looked at: how it is, and the command that mends it."""

    name: str
    severity: Severity
    detail: str
    fix: str = ""


class AlarmView(Struct, frozen=True, kw_only=True):
    """Something that is wrong with the house itself, and since when."""

    name: str
    since: datetime
    detail: str
    fix: str


class Health(Struct, frozen=True, kw_only=True):
    """What is wrong now, and which alarms stand."""

    findings: tuple[Finding, ...]
    alarms: tuple[str, ...]


class StatusResult(Struct, frozen=True, kw_only=True):
    """Counts, ages and lags, and what is wrong."""

    incarnation: str
    at: datetime
    needs: dict[str, int]  # how many of which kind need somebody, as attention.ls has them
    needs_more: bool  # there are others behind these
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
    services: tuple[Vital, ...]  # as the processes that live have said
    alarms: tuple[AlarmView, ...]
    findings: tuple[Finding, ...]


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
        http=(Route("GET", "/status"),),
    ),
)
