"""Every way in which an agent's status can change, found by trying each event on every state it leads to.

The decisions are the real ones, on a stage of one agent and one machine; instants count only by their order.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from msgspec import structs

from contracts.errors import RollcallError
from contracts.limits import INT_MAX
from contracts.messages import Beat, ProcessFacts
from contracts.operations.agents import SetParams
from contracts.operations.answers import JoinParams, LeaveParams
from contracts.operations.machines import JoinParams as MachineJoin
from contracts.operations.machines import ReportParams
from contracts.records import Agent, AgentStatus, Machine, ProcessState
from contracts.work import Changes
from domain import agents, brakes, daemons, presence, silence
from domain.processes import own_beats
from domain.projection import project
from domain.rehearsal import Rehearsal
from domain.timers import SECOND_US, Timers

Pair = tuple[AgentStatus, AgentStatus]
_NOW: Final = 1_000_000 * SECOND_US
_AHEAD_US: Final = 60 * SECOND_US
_TIMERS: Final = Timers()
_SILENT: Final = brakes.silent_since(0)
_COUNTS: Final = ("leases", "accepted", "waiting", "stalled")
LOADS: Final[dict[str, tuple[int, int, int, int]]] = {
    "nothing held": (0, 0, 0, 0),
    "offered": (1, 0, 0, 0),
    "accepted": (1, 1, 0, 0),
    "waits": (1, 0, 1, 0),
    "no progress": (1, 1, 0, 1),
}
"""What the counters of an agent with one lease can be, by what was said of it last."""


class Stage(Rehearsal):
    """One agent, and maybe the machine whose daemon speaks for it."""

    def __init__(self, agent: Agent, machine: Machine | None) -> None:
        """Stand there; nothing else is known, and all that was said has been handled."""
        self.assignments = {}
        self.tasks = {}
        self.agents = {"a": agent}
        self.escalations = {}
        self.policies = {}
        self.machines = {} if machine is None else {"m": machine}
        self.rows = {brakes.MEMBERS: (), _SILENT: ()}
        self._last_id = INT_MAX // 2

    def state(self) -> tuple[Agent, Machine | None]:
        """Return where it stands, in the one form of all that are alike."""
        machine = self.machines.get("m")
        return _alike(self.agents["a"]), None if machine is None else _alike_machine(machine)

    def take(self, changes: Changes) -> None:
        """Let the next event see what this one changed; who is dead and released holds nothing."""
        super().take(changes)
        self.machines = {**self.machines, **{row.name: row for row in changes.machines}}
        agent = self.agents["a"]
        if agent.released_at is not None:
            self.agents["a"] = structs.replace(agent, **dict.fromkeys(_COUNTS, 0))


def _reported(state: ProcessState) -> Callable[[Stage], Changes]:
    def report(stage: Stage) -> Changes:
        session = stage.machines["m"].session if stage.machines else "d"
        facts = ProcessFacts(agent="a", state=state, pid=7 if state == "running" else None)
        params = ReportParams(session=session, processes=(facts,))
        return daemons.report(stage, _NOW, "m", params, timers=_TIMERS)

    return report


def _held(counts: tuple[int, int, int, int]) -> Callable[[Stage], Changes]:
    def hold(stage: Stage) -> Changes:
        after = structs.replace(stage.agents["a"], **dict(zip(_COUNTS, counts, strict=True)))
        status, _ = project(after)
        return Changes(agents=(structs.replace(after, status=status),))

    return hold


def _set(*, active: bool) -> Callable[[Stage], Changes]:
    params = SetParams(name="a", active=active)
    return lambda stage: agents.set_agent(stage, _NOW, params, actor="operator:x", timers=_TIMERS)


def _quiet(stage: Stage) -> Changes:
    """Let nothing be heard until the agent has to be judged."""
    agent = stage.agents["a"]
    return silence.judge(stage, agent.id, agent.silent_at or 0, silent=_SILENT, timers=_TIMERS)


def _lost(stage: Stage) -> Changes:
    machine = stage.machines["m"]
    return daemons.silent(stage, machine.id, machine.silent_at or 0, _TIMERS)


EVENTS: Final[dict[str, Callable[[Stage], Changes]]] = {
    "join": lambda stage: presence.join(stage, _NOW, "a", JoinParams(session="s"), timers=_TIMERS),
    "beat": lambda stage: presence.beat(stage, _NOW, "a", Beat(), at=_NOW, timers=_TIMERS),
    "leave": lambda stage: presence.leave(stage, _NOW, "a", LeaveParams(), timers=_TIMERS),
    "silence": _quiet,
    "daemon joins": lambda stage: daemons.join(
        stage, _NOW, "m", MachineJoin(session="d"), agents=(), timers=_TIMERS
    ),
    "daemon lost": _lost,
    "daemon: running": _reported("running"),
    "daemon: restarting": _reported("restarting"),
    "daemon: stopped": _reported("stopped"),
    "daemon: gone": _reported("gone"),
    "daemon: failed": _reported("failed"),
    **{word: _held(counts) for word, counts in LOADS.items()},
    "set inactive": _set(active=False),
    "set active": _set(active=True),
}


@cache
def arrows() -> dict[Pair, tuple[str, ...]]:
    """Return every change of status that can happen, with the events that bring it about."""
    first = _alike(Agent(id=1, name="a", timeout_us=1, created_at=0, status_since=0))
    seen: set[tuple[Agent, Machine | None]] = {(first, None)}
    ahead = [*seen]
    found: dict[Pair, set[str]] = {}
    while ahead:
        state = ahead.pop()
        for event, after in _steps(*state):
            if after[0].status != state[0].status:
                found.setdefault((state[0].status, after[0].status), set()).add(event)
            if after not in seen:
                seen.add(after)
                ahead.append(after)
    return {pair: tuple(word for word in EVENTS if word in words) for pair, words in sorted(found.items())}


def _steps(agent: Agent, machine: Machine | None) -> Iterator[tuple[str, tuple[Agent, Machine | None]]]:
    for event, happens in EVENTS.items():
        if event in LOADS and agent.released_at is not None:
            continue
        if event == "daemon lost" and (machine is None or machine.silent_at is None):
            continue
        stage = Stage(agent, machine)
        try:
            stage.take(happens(stage))
        except RollcallError:
            continue
        yield event, stage.state()


def _alike(agent: Agent) -> Agent:
    """Return an agent with each instant where all states that are alike have it."""
    past = _NOW - _AHEAD_US
    instants = ("left_at", "suspect_at", "dead_at", "released_at", "hidden_at", "process_at", "joined_at")
    set_ = {name: None if getattr(agent, name) is None else past for name in instants}
    beaten = None if agent.beat_at is None else past if own_beats(agent) else past - 1
    return structs.replace(
        agent,
        **set_,
        beat_at=beaten,
        silent_at=None if agent.silent_at is None else _NOW + _AHEAD_US,
        status_since=0,
        status_why="",
        dead_why=None,
        version=1,
    )


def _alike_machine(machine: Machine) -> Machine:
    past = _NOW - _AHEAD_US
    listens = None if machine.silent_at is None else _NOW + 2 * _AHEAD_US
    return structs.replace(
        machine,
        id=1,
        joined_at=past,
        beat_at=past,
        silent_at=listens,
        lost_at=None if machine.lost_at is None else past,
        version=1,
    )
