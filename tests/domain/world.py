"""A small world in memory: it applies decisions as the store does, and drives what is due as the services do.

After every write it checks the versions, I2 (one open lease), I7 (one successor) and I8 (a clock or a
flag), and that the counters and the status of every agent agree with its leases.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import UNSET, structs

from contracts import messages
from contracts.operations import machines as machine_operations
from contracts.operations import tasks as task_operations
from contracts.operations.agents import AddParams as AgentParams
from contracts.operations.answers import HandoffParams, JoinParams
from contracts.records import (
    NOT_AGAIN,
    OPEN_STATUSES,
    Agent,
    Assignment,
    Beats,
    Brake,
    Comment,
    Escalation,
    Frozen,
    Hold,
    Machine,
    NoticeRow,
    PingRow,
    Policy,
    PolicyStep,
    StepKind,
    StepRow,
    Task,
)
from contracts.work import Cast, Changes, Fact, Lookup, Post
from domain import agents, answers, assigning, brakes, daemons, escalation, pinging, presence, silence, tasks
from domain.projection import project
from domain.timers import MINUTE_US, SECOND_US, Timers
from tests.domain.soundness import SILENT, check_row, check_task, members, silent, write_rows

START = 1_800_000_000_000_000  # 2027-01-15 08:00 UTC
TURNS_MAX = 10  # in one instant
DRAWN = {
    "assignments",
    "tasks",
    "agents",
    "escalations",
    "machines",
    "brakes",
    "deliveries",
    "todos",
    "phases",
}
TASK_MOVES = {
    ("todo", "in_progress"),
    ("in_progress", "todo"),
    ("in_progress", "done"),
    ("in_progress", "failed"),
    ("in_progress", "cancelled"),
    ("todo", "cancelled"),
    ("done", "todo"),
    ("failed", "todo"),
    ("cancelled", "todo"),
}


class World:
    """Everything that is stored, and the time."""

    def __init__(self, timers: Timers | None = None, *, main: bool = True) -> None:
        self.now = START
        self.timers = timers or Timers()
        self.incarnation = "inc1"
        self.agents: dict[str, Agent] = {}
        self.tasks: dict[int, Task] = {}
        self.assignments: dict[int, Assignment] = {}
        self.escalations: dict[int, Escalation] = {}
        self.policies: dict[str, Policy] = {}
        self.machines: dict[str, Machine] = {}
        self.brakes: dict[int, Brake] = {}
        self.frozen: Frozen | None = None
        self.health = 0
        self.steps: dict[tuple[int, int], StepRow] = {}
        self.pings: dict[tuple[int, int], PingRow] = {}
        self.comments: list[Comment] = []
        self.notices: list[NoticeRow] = []
        self.links: set[tuple[int, int]] = set()
        self.facts: list[Fact] = []
        self.posts: list[Post] = []
        self.rows_put: list[str] = []
        self.casts: list[Cast] = []
        self.wakes: set[str] = set()
        self.holds: list[Hold] = []
        self.handled: int | None = -1  # -1: every answer is handled at once
        self.lots: list[float] = []
        self.given: Mapping[Lookup, Sequence[Any]] = {}
        self._last_id = 0
        if main:
            self.agent("Ruto", kind="main_agent")

    # --- the view ---

    @property
    def answers_until(self) -> int | None:
        return self.now if self.handled == -1 else self.handled

    @property
    def task_ids(self) -> dict[str, int]:
        return {task.key: task.id for task in self.tasks.values() if task.key is not None}

    @property
    def candidates(self) -> dict[str, Agent]:
        able = {
            name: agent
            for name, agent in self.agents.items()
            if agent.active and agent.leases < agent.capacity
        }
        return able | self.main_agents

    @property
    def main_agents(self) -> dict[str, Agent]:
        mains = {name: agent for name, agent in self.agents.items() if agent.kind == "main_agent"}
        return {name: agent for name, agent in mains.items() if agent.active}

    @property
    def excluded(self) -> dict[int, frozenset[str]]:
        found: dict[int, frozenset[str]] = {}
        for row in self.assignments.values():
            same = row.round == self.tasks[row.task_id].round
            if same and row.end_reason in NOT_AGAIN:
                found[row.task_id] = found.get(row.task_id, frozenset()) | {row.agent}
        return found

    @property
    def dependents(self) -> dict[int, tuple[int, ...]]:
        return {on: tuple(t for t, d in sorted(self.links) if d == on) for _, on in self.links}

    @property
    def dependencies(self) -> dict[int, tuple[int, ...]]:
        return {task: tuple(d for t, d in sorted(self.links) if t == task) for task in self.tasks}

    @property
    def rows(self) -> Mapping[Lookup, Sequence[Any]]:
        return {
            **self.given,
            brakes.MEMBERS: members(self.agents),
            SILENT: silent(self.agents, self.machines),
        }

    def new_id(self, table: str) -> int:
        assert table in DRAWN
        self._last_id += 1
        return self._last_id

    def draw(self) -> float:
        return self.lots.pop(0) if self.lots else 0.0

    # --- writing ---

    def decide(self, decision: Callable[..., Changes], *args: Any, **named: Any) -> Any:
        """Run a decision in one transaction and return its answer."""
        changes = decision(self, *args, **named)
        self.write(changes)
        return changes.answer

    def write(self, changes: Changes) -> None:
        """Write as the store does, then check the promises."""
        written = {
            **write_rows(self.agents, changes.agents, lambda agent: agent.name.lower()),
            **write_rows(self.tasks, changes.tasks, lambda task: task.id, self._task_moves),
            **write_rows(self.assignments, changes.assignments, lambda row: row.id),
            **write_rows(self.escalations, changes.escalations, lambda row: row.id),
            **write_rows(self.policies, changes.policies, lambda row: row.name),
            **write_rows(self.machines, changes.machines, lambda row: row.name.lower()),
            **write_rows(self.brakes, changes.brakes, lambda row: row.id),
        }
        if changes.frozen is not UNSET:
            self.frozen = changes.frozen
        for step in changes.steps:
            key = (step.assignment_id, step.step)
            known = self.steps.get(key)
            assert known is None or (known.outcome, step.outcome) == ("skipped", "taken"), step
            self.steps[key] = step
        for ping in changes.pings:
            assert (ping.assignment_id, ping.attempt) not in self.pings
            self.pings[ping.assignment_id, ping.attempt] = ping
        for fact in changes.facts:
            apart = fact.aggregate in {"system", "credential", "token"}  # of no record that is kept here
            assert apart or written[fact.aggregate, fact.id] == fact.version, fact
        self.rows_put += [row.query for row in changes.rows]
        self.comments += changes.comments
        self.notices += changes.notices
        self.links |= set(changes.dependencies)
        self.facts += changes.facts
        self.posts += changes.posts
        self.casts += changes.casts
        self.wakes |= changes.wakes
        self.check()

    def _task_moves(self, before: Task, after: Task) -> None:
        assert before.status == after.status or (before.status, after.status) in TASK_MOVES
        assert after.epoch >= before.epoch

    def check(self) -> None:
        """I2, I7, I8; counters and status of agents."""
        held: dict[int, Assignment] = {}
        for row in self.assignments.values():
            if row.status in OPEN_STATUSES:
                assert row.task_id not in held, "two open leases"
                held[row.task_id] = row
            check_row(row)
        for task in self.tasks.values():
            waits_for = [self.tasks[on] for on in self.dependencies[task.id] if on in self.tasks]
            check_task(task, held.get(task.id), waits_for)
        successors = [step.successor_id for step in self.steps.values() if step.successor_id is not None]
        assert len(successors) == len(set(successors))
        for agent in self.agents.values():
            rows = [row for row in held.values() if row.agent == agent.name]
            states = [row.status for row in rows]
            stalled = sum(row.stalled for row in rows)
            asking = sum(row.status == "waiting" and row.wait_kind == "human" for row in rows)
            counted = (len(rows), states.count("acknowledged"), states.count("waiting"), asking, stalled)
            assert (agent.leases, agent.accepted, agent.waiting, agent.asking, agent.stalled) == counted
            assert (agent.status, agent.status_why) == project(agent)

    # --- time ---

    def forward(self, *, minutes: float = 0, seconds: float = 0, hours: float = 0) -> None:
        """Let time pass; whatever becomes due is done at its instant."""
        until = self.now + round((hours * 60 + minutes) * MINUTE_US + seconds * SECOND_US)
        turns = 0
        while True:
            at = self._next()
            if at is None or at > until:
                self.now = until
                return
            turns = turns + 1 if at <= self.now else 0
            assert turns < TURNS_MAX, "something is due again and again"
            self.now = max(self.now, at)
            self._turn()

    def _next(self) -> int | None:
        return min(
            (
                *(row.ping_at for row in self.pinged_rows().values() if row.ping_at is not None),
                *(row.deadline_at for row in self.assignments.values() if row.deadline_at is not None),
                *(task.assign_at for task in self.tasks.values() if task.assign_at is not None),
                *(agent.silent_at for agent in self.agents.values() if agent.silent_at is not None),
                *(row.silent_at for row in self.machines.values() if row.silent_at is not None),
                *(row.look_at for row in self.brakes.values() if row.look_at is not None),
            ),
            default=None,
        )

    def tick(self) -> None:
        """Do what is due now, and what becomes due by it."""
        self.forward()

    def _turn(self) -> None:
        """Do once what pinger, escalator, assigner and monitor find due."""
        self.claim(self.assignments, "ping_at", pinging.ping)
        self.claim(self.assignments, "deadline_at", escalation.deadline)
        self.claim(self.tasks, "assign_at", assigning.assign_due)
        self.claim(self.agents, "silent_at", partial(silence.judge, silent=SILENT))
        self.claim(self.machines, "silent_at", daemons.silent)
        self.claim(self.brakes, "look_at", partial(brakes.judge, silent=SILENT))

    def pinged_rows(self) -> dict[int, Assignment]:
        """Return the leases that may be pinged now: as the claim's query says."""
        left = {agent.name for agent in self.agents.values() if agent.asking or agent.paused}
        return {key: row for key, row in self.assignments.items() if row.agent not in left}

    def claim(self, rows: dict[Any, Any], column: str, decide: Callable[..., Changes]) -> None:
        for key, row in (self.pinged_rows() if column == "ping_at" else dict(rows)).items():
            at = getattr(row, column)
            if at is not None and at <= self.now:
                rows[key] = structs.replace(row, version=row.version + 1)
                self.decide(decide, row.id, self.now, timers=self.timers)

    # --- what people and agents do ---

    def agent(self, name: str, *capabilities: str, beats: Beats = "none", **fields: Any) -> Agent:
        params = AgentParams(name=name, capabilities=capabilities, beats=beats, **fields)
        self.decide(agents.add, self.now, params, actor="operator:ann", timers=self.timers)
        return self.agents[name.lower()]

    def join(self, name: str, session: str = "s1", **fields: Any) -> Any:
        params = JoinParams(session=session, **fields)
        return self.decide(presence.join, self.now, name, params, timers=self.timers)

    def beat(self, name: str, session: str = "s1", interval_s: int = 30) -> None:
        said = messages.Beat(session=session, interval_s=interval_s)
        self.decide(presence.beat, self.now, name, said, at=self.now, timers=self.timers)

    def host(self, machine: str = "m1", session: str = "d1", *processes: messages.ProcessFacts) -> Any:
        """Let a machine's daemon join."""
        params = machine_operations.JoinParams(session=session, processes=processes)
        own = [agent for agent in self.agents.values() if agent.machine == machine]
        return self.decide(daemons.join, self.now, machine, params, agents=own, timers=self.timers)

    def report(self, *processes: messages.ProcessFacts, machine: str = "m1", session: str = "d1") -> Any:
        params = machine_operations.ReportParams(session=session, processes=processes)
        return self.decide(daemons.report, self.now, machine, params, timers=self.timers)

    def machine_beat(
        self,
        *processes: messages.ProcessFacts,
        machine: str = "m1",
        session: str = "d1",
        interval_s: int = 30,
    ) -> None:
        said = messages.MachineBeat(session=session, interval_s=interval_s, processes=processes)
        self.decide(daemons.beat, self.now, machine, said, at=self.now, timers=self.timers)

    def policy(self, name: str, *steps: PolicyStep | StepKind) -> None:
        found = tuple(PolicyStep(kind=step) if isinstance(step, str) else step for step in steps)
        self.policies[name] = Policy(name=name, steps=found, updated_at=self.now, version=1)

    def task(self, title: str = "ship it", *, to: str | None = None, **fields: Any) -> int:
        """Create a task, and give it to `to`, or to whom the assigner finds."""
        params = task_operations.AddParams(title=title, **fields)
        task: int = self.decide(tasks.add, self.now, params, actor="operator:ann", timers=self.timers).task
        if to is not None:
            self.assign(task, to)
        self.tick()
        return task

    def assign(self, task: int, agent: str | None = None) -> int:
        found: int = self.decide(
            assigning.assign, self.now, task, agent, actor="operator:ann", timers=self.timers
        ).assignment
        return found

    def say(
        self, agent: str, what: messages.Answer, *, lease: int | None = None, at: int | None = None
    ) -> messages.Outcome:
        """Let an agent answer about a lease, or about the only one it holds."""
        if lease is None:
            lease = self.lease(agent).id
        found: messages.Outcome = self.decide(
            answers.answer,
            self.now,
            lease,
            what,
            agent=agent,
            at=self.now if at is None else at,
            timers=self.timers,
        )
        return found

    def hand_off(self, agent: str, params: HandoffParams) -> int:
        found: int = self.decide(
            assigning.handoff, self.now, params, agent=agent, timers=self.timers
        ).assignment
        return found

    def operate(self, decision: Callable[..., Changes], params: Any) -> Any:
        return self.decide(decision, self.now, params, actor="operator:ann", timers=self.timers)

    # --- looking ---

    def lease(self, agent: str) -> Assignment:
        rows = [
            row for row in self.assignments.values() if row.agent == agent and row.status in OPEN_STATUSES
        ]
        assert len(rows) == 1, rows
        return rows[0]

    def holder(self, task: int) -> Assignment:
        found = self.tasks[task].assignment_id
        assert found is not None
        return self.assignments[found]

    def pinged(self, agent: str) -> list[float]:
        """Return when the agent was pinged, in minutes since the beginning."""
        sent = sorted(ping.sent_at for ping in self.pings.values() if ping.agent == agent)
        return [(at - START) / MINUTE_US for at in sent]

    def events(self, *names: str) -> list[str]:
        return [fact.event for fact in self.facts if not names or fact.event in names]

    def remarks(self, word: str = "") -> list[str]:
        return [comment.text for comment in self.comments if word in comment.text]

    @property
    def minutes(self) -> float:
        return (self.now - START) / MINUTE_US
