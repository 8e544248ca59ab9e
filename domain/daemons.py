"""What the daemon of a machine says: that it is there, that it goes, and what became of processes.

Its word stands beside the agents' own beats. While it says that a process runs, silence takes nothing from
the agent; when it says that a process is gone, nobody waits for beats to be missed.
"""

from collections.abc import Sequence

from msgspec import structs

from contracts.errors import NotFoundError, RejoinRequiredError, StaleSessionError
from contracts.messages import MachineBeat, ProcessFacts
from contracts.operations.machines import (
    Expected,
    JoinParams,
    JoinResult,
    LeaveParams,
    LeaveResult,
    ListResult,
    RefusedProcess,
    ReportParams,
    ReportResult,
    ShowResult,
)
from contracts.records import Agent, Machine
from contracts.views import MachineView
from contracts.views import view as shown_as
from contracts.work import Changes, View
from domain.agents import agent_view
from domain.draft import Draft
from domain.listening import heard, interval_us
from domain.processes import refusal, take
from domain.timers import Timers


def join(
    view: View, now: int, name: str, params: JoinParams, *, agents: Sequence[Agent], timers: Timers
) -> Changes:
    """Take a daemon's word that it is there; the newest session counts. `agents` are those of the machine."""
    draft = _draft(view, now, name, timers, params.command_id)
    known = _known(view, name)
    every_us = interval_us(params.interval_s)
    after = Machine(
        id=view.new_id("machines") if known is None else known.id,
        name=name,
        session=params.session,
        joined_at=now,
        beat_at=now,
        beat_interval_us=every_us,
        silent_at=now + timers.machine_misses * every_us,
        release=params.release,
        version=0 if known is None else known.version,
    )
    draft.put(after)
    if known is None or known.session != after.session or not known.connected:
        draft.fact(after, "joined", release=after.release)
    refused = _take_all(draft, after, params.processes)
    expected = {row.name: draft.find_agent(row.name) or row for row in agents}
    told = (draft.find_agent(facts.agent) for facts in params.processes)
    expected |= {row.name: row for row in told if row is not None and row.machine == after.name}
    return draft.changes(
        JoinResult(
            incarnation=view.incarnation,
            machine=name,
            session=after.session,
            expected=tuple(_expected(row) for _, row in sorted(expected.items())),
            refused=refused,
        )
    )


def leave(
    view: View, now: int, name: str, params: LeaveParams, *, agents: Sequence[Agent], timers: Timers
) -> Changes:
    """Take a daemon's word that it goes: from now on it speaks for nobody."""
    draft = _draft(view, now, name, timers, params.command_id)
    known = _known(view, name)
    if known is None:
        raise NotFoundError(f"there is no machine {name}")
    if params.session != known.session:
        raise StaleSessionError(f"another session speaks for {known.name} now")
    if known.left_at is None:
        after = structs.replace(known, left_at=now, silent_at=None, connected=False, lost_at=None)
        draft.put(after)
        draft.fact(after, "left", agents=len(agents))
    return draft.changes(LeaveResult(agents=len(agents)))


def report(view: View, now: int, name: str, params: ReportParams, *, timers: Timers) -> Changes:
    """Take a daemon's word on what became of processes."""
    draft = _draft(view, now, name, timers, params.command_id)
    known = _speaking(view, name, params.session)
    refused = _take_all(draft, _found(draft, known, now, known.beat_interval_us), params.processes)
    return draft.changes(ReportResult(taken=len(params.processes) - len(refused), refused=refused))


def beat(view: View, now: int, name: str, said: MachineBeat, *, at: int, timers: Timers) -> Changes:
    """Note a daemon's beat and what it says of its processes; it is answered only when it is wrong."""
    draft = _draft(view, now, name, timers)
    known = _speaking(view, name, said.session)
    heard_at = heard(known.beat_at, at, now)
    _take_all(draft, _found(draft, known, heard_at, interval_us(said.interval_s)), said.processes)
    return draft.changes()


def _found(draft: Draft, known: Machine, heard_at: int, every_us: int) -> Machine:
    """Note that a daemon was heard, by a beat or by a report: from then on its word holds for a while."""
    after = structs.replace(
        known,
        beat_at=heard_at,
        beat_interval_us=every_us,
        silent_at=heard_at + draft.timers.machine_misses * every_us,
        connected=True,
        lost_at=None,
    )
    draft.put(after)
    if not known.connected:
        draft.fact(after, "found", lost_at=known.lost_at)
    return after


def silent(view: View, machine_id: int, now: int, timers: Timers) -> Changes:
    """Hold a machine lost whose beats were missed; each of its agents is judged when its own time comes."""
    draft = Draft(view, now, actor="rollcall:monitor", timers=timers)
    known = next((row for row in view.machines.values() if row.id == machine_id), None)
    if known is None or known.silent_at is None or known.silent_at > now:
        return draft.changes()
    after = structs.replace(known, silent_at=None, connected=False, lost_at=now)
    draft.put(after)
    draft.fact(after, "lost", beat_at=known.beat_at)
    return draft.changes()


def listed(rows: Sequence[Machine]) -> ListResult:
    """Return the machines for readers."""
    return ListResult(items=tuple(shown_as(row, MachineView) for row in rows))


def shown(view: View, name: str, agents: Sequence[Agent]) -> ShowResult:
    """Return a machine with the agents that it speaks for."""
    machine = view.machines.get(name.lower())
    if machine is None:
        raise NotFoundError(f"there is no machine {name}")
    return ShowResult(
        machine=shown_as(machine, MachineView), agents=tuple(agent_view(agent) for agent in agents)
    )


def _draft(view: View, now: int, name: str, timers: Timers, cause: str | None = None) -> Draft:
    return Draft(view, now, actor=f"machine:{name}", timers=timers, cause=cause)


def _known(view: View, name: str) -> Machine | None:
    known = view.machines.get(name.lower())
    if known is not None and known.name != name:
        raise NotFoundError(f"there is no machine {name}: do you mean {known.name}?")
    return known


def _speaking(view: View, name: str, session: str) -> Machine:
    """Return the machine if this session may speak for it."""
    known = view.machines.get(name.lower())
    if known is None or known.name != name:
        raise RejoinRequiredError(f"there is no machine {name}")
    if known.left_at is not None:
        raise RejoinRequiredError(f"{name} has left")
    if known.session != session:
        raise RejoinRequiredError(f"another session speaks for {name} now")
    return known


def _take_all(
    draft: Draft, machine: Machine, processes: Sequence[ProcessFacts]
) -> tuple[RefusedProcess, ...]:
    """Take what is said of processes, one by one; what is not believed hurts none of the others."""
    refused: list[RefusedProcess] = []
    for facts in processes:
        why = refusal(draft, machine, facts)
        if why is None:
            take(draft, machine, facts)
        else:
            refused.append(RefusedProcess(agent=facts.agent, why=why))
    return tuple(refused)


def _expected(agent: Agent) -> Expected:
    return Expected(
        agent=agent.name,
        active=agent.active,
        status=agent.status,
        process=agent.process,
        session=agent.session,
    )
