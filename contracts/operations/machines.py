"""Machines: their daemons join, leave and report; operators list and show them."""

from msgspec import Struct

from contracts.limits import MACHINE_BYTES_MAX, Minutes, Name, Note, Token
from contracts.messages import Processes
from contracts.operations.registry import Noun, Operation, Params, Route
from contracts.views import AgentView, MachineView


class JoinParams(Params, frozen=True, kw_only=True):
    """This machine's daemon is here, and these are the processes that it has found or started."""

    session: Token
    interval_s: Minutes = 30
    release: Note | None = None
    processes: Processes = ()


class Expected(Struct, frozen=True, kw_only=True):
    """An agent that this machine speaks for, as the store has it."""

    agent: str
    active: bool
    status: str
    process: str | None
    session: str | None


class RefusedProcess(Struct, frozen=True, kw_only=True):
    """A process that was not taken for that of the agent, and why."""

    agent: str
    why: str


class JoinResult(Struct, frozen=True, kw_only=True):
    """Which store this is, whom it expects here, and what was not believed."""

    incarnation: str
    machine: str
    session: str
    expected: tuple[Expected, ...]
    refused: tuple[RefusedProcess, ...] = ()


class LeaveParams(Params, frozen=True, kw_only=True):
    """This machine's daemon goes, on purpose: it speaks for nobody any more."""

    session: Token


class LeaveResult(Struct, frozen=True, kw_only=True):
    """How many agents it spoke for."""

    agents: int


class ReportParams(Params, frozen=True, kw_only=True):
    """What changed about processes, said at once."""

    session: Token
    processes: Processes


class ReportResult(Struct, frozen=True, kw_only=True):
    """How many were taken, and what was not."""

    taken: int
    refused: tuple[RefusedProcess, ...] = ()


class ListParams(Struct, frozen=True, kw_only=True):
    """List all machines."""


class ListResult(Struct, frozen=True, kw_only=True):
    """The machines by name."""

    items: tuple[MachineView, ...]


class ShowParams(Struct, frozen=True, kw_only=True):
    """Which machine to show."""

    name: Name


class ShowResult(Struct, frozen=True, kw_only=True):
    """A machine and the agents that it speaks for."""

    machine: MachineView
    agents: tuple[AgentView, ...]


MACHINE = Noun("machine", "monitor")


def _said(verb: str, params: type[Struct], result: type[Struct], summary: str, *errors: str) -> Operation:
    return Operation(
        name=f"machine.{verb}",
        owner="monitor",
        params=params,
        result=result,
        scope="machine",
        summary=summary,
        errors=errors,
        bytes_max=MACHINE_BYTES_MAX,
    )


OPERATIONS = (
    _said("join", JoinParams, JoinResult, "Say that a machine's daemon is here, and what it runs."),
    _said(
        "leave",
        LeaveParams,
        LeaveResult,
        "Say that a machine's daemon goes, on purpose.",
        "not_found",
        "stale_session",
    ),
    _said(
        "report",
        ReportParams,
        ReportResult,
        "Say at once what became of processes.",
        "rejoin_required",
    ),
    MACHINE.operation(
        "ls",
        ListParams,
        ListResult,
        "List machines and whether they are heard.",
        priority="look",
        errors=(),
        http=(Route("GET", "/machines"),),
    ),
    MACHINE.operation(
        "show",
        ShowParams,
        ShowResult,
        "Show a machine and the agents on it.",
        priority="look",
        arguments=("name",),
        http=(Route("GET", "/machines/{name}"),),
    ),
)
