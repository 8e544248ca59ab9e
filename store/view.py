"""What one unit's decision sees: its own keys with their company, never its neighbours' rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from contracts.records import (
    Agent,
    Assignment,
    Brake,
    Escalation,
    Frozen,
    Hold,
    Machine,
    Policy,
    PolicyStep,
    Task,
)
from contracts.work import Lookup, Needs
from store.working_set import WorkingSet

DRAWN = frozenset(
    {
        "assignments",
        "tasks",
        "agents",
        "escalations",
        "machines",
        "brakes",
        "todos",
        "phases",
        "reminders",
        "intake",
        "deliveries",
        "notifications",
    }
)


class Rng(Protocol):
    """Where random numbers come from."""

    def random(self) -> float:
        """Return a number from [0, 1)."""
        ...


class Life(Struct):
    """What the store knows about itself in this transaction, and the numbers it draws."""

    incarnation: str
    now: int  # no earlier than what was committed before
    answers_until: int | None
    last_ids: dict[str, int]
    rng: Rng
    holds: Sequence[Hold] = ()
    frozen: Frozen | None = None
    health: int = 0

    def next_id(self, table: str) -> int:
        """Draw the next id of a table."""
        drawn = self.last_ids[table] = self.last_ids.get(table, 0) + 1
        return drawn


class UnitView:
    """A decision's `View`."""

    def __init__(
        self, rows: WorkingSet, life: Life, needs: Needs, lookups: Mapping[Lookup, Sequence[Any]]
    ) -> None:
        """Gather what `needs` names; a row that cannot be read raises here, for this unit only."""
        self._set = rows
        self._life = life
        self._alone = needs.alone
        self.rows = lookups
        self.assignments: dict[int, Assignment] = {}
        self.tasks: dict[int, Task] = {}
        self.task_ids: dict[str, int] = {}
        self.agents: dict[str, Agent] = {}
        self.escalations: dict[int, Escalation] = {}
        self.policies: dict[str, Policy] = {}
        self.machines: dict[str, Machine] = {}
        self.brakes: Mapping[int, Brake] = dict(rows.brakes) if needs.brakes else {}
        self.excluded: dict[int, frozenset[str]] = {}
        self.dependents: dict[int, tuple[int, ...]] = {}
        self.dependencies: dict[int, tuple[int, ...]] = {}
        self.candidates: Mapping[str, Agent] = rows.candidates if needs.candidates else {}
        self.main_agents: Mapping[str, Agent] = rows.main_agents if needs.candidates else {}
        self.holds: Sequence[Hold] = life.holds if needs.clocks else ()
        self._gather(needs)
        self._gather_machines(needs)

    @property
    def incarnation(self) -> str:
        """The store's incarnation."""
        return self._life.incarnation

    @property
    def answers_until(self) -> int | None:
        """Up to when all answers stored on the bus have been handled."""
        return self._life.answers_until

    @property
    def frozen(self) -> Frozen | None:
        """Why nothing new is offered anywhere; None while it is."""
        return self._life.frozen

    @property
    def health(self) -> int:
        """How ill whoever judges silence is himself: 0 (well) to 7."""
        return self._life.health

    def new_id(self, table: str) -> int:
        """Draw the next id of a table."""
        if table not in DRAWN:
            raise ValueError(f"no decision draws ids of {table}")
        return self._life.next_id(table)

    def draw(self) -> float:
        """Draw a random number from [0, 1)."""
        return self._life.rng.random()

    def _gather(self, needs: Needs) -> None:
        for assignment_id in needs.assignments:
            self._assignment(assignment_id)
        for name in needs.agents:
            self._agent(name.lower())
        for task_id in needs.tasks:
            self._task(task_id)
        for key in needs.task_keys:
            if key in self._set.task_ids:
                self._task(self._set.task_ids[key])
        for agent_id in needs.agent_ids:
            self._by_id("agents", agent_id)
        for policy in needs.policies:
            self._policy(policy)
        if needs.leases:
            for name in tuple(self.agents):
                for assignment_id in sorted(self._set.leases.get(name, ())):
                    self._assignment(assignment_id)
        if needs.excluded or needs.dependents:
            self._company_of_tasks(needs)

    def _gather_machines(self, needs: Needs) -> None:
        for machine in needs.machines:
            self._machine(machine.lower())
        for machine_id in needs.machine_ids:
            self._by_id("machines", machine_id)
        hosts = [agent.machine for agent in self.agents.values()] if needs.hosts else []
        for name in hosts:
            if name is not None:
                self._machine(name.lower())

    def _company_of_tasks(self, needs: Needs) -> None:
        for task in tuple(self.tasks.values()):
            if needs.excluded:
                out = self._set.excluded.get(task.id, ())
                self.excluded[task.id] = frozenset(agent for round_, agent in out if round_ == task.round)
            if needs.dependents:
                waiting = [n for n in self._set.dependents.get(task.id, ()) if n in self._set.tasks]
                self.dependents[task.id] = tuple(waiting)
                self._wait_for(task.id, *waiting)

    def _wait_for(self, *task_ids: int) -> None:
        """Gather what the tasks wait for, and themselves; one that cannot be read is left out, unfinished."""
        for task_id in task_ids:
            named = self.dependencies[task_id] = tuple(sorted(self._set.dependencies.get(task_id, ())))
            near = (n for n in (task_id, *named) if n in self._set.tasks)
            self.tasks.update((n, self._set.tasks[n]) for n in near)

    def _assignment(self, assignment_id: int) -> None:
        if assignment_id in self.assignments:
            return
        row = self._found("assignments", assignment_id)
        if row is None:
            return
        self.assignments[assignment_id] = row
        if self._alone:
            self._add_task(row.task_id)
            return
        for name in (row.agent, row.offered_by, row.wait_who):
            if name is not None:
                self._agent(name.lower())
        if row.escalation_id is not None:
            escalation = self._found("escalations", row.escalation_id)
            if escalation is not None:
                self.escalations[row.escalation_id] = escalation
                self._told(escalation.steps)
        self._task(row.task_id)

    def _add_task(self, task_id: int) -> Task | None:
        """Gather a task without its company; return it if it was not here before."""
        if task_id in self.tasks:
            return None
        row: Task | None = self._found("tasks", task_id)
        if row is not None:
            self.tasks[task_id] = row
            if row.key is not None:
                self.task_ids[row.key] = task_id
        return row

    def _task(self, task_id: int) -> None:
        row = self._add_task(task_id)
        if row is None or self._alone:
            return
        self._policy(row.policy)
        if row.assignment_id is not None:
            self._assignment(row.assignment_id)

    def _agent(self, name: str) -> None:
        row = self._found("agents", name)
        if row is not None:
            self.agents[name] = row

    def _machine(self, name: str) -> None:
        row = self._found("machines", name)
        if row is not None:
            self.machines[name] = row

    def _by_id(self, table: str, identity: int) -> None:
        name = self._set.names[table].get(identity)
        if name is None:
            self._set.raise_broken(table, identity)
        elif table == "agents":
            self._agent(name)
        else:
            self._machine(name)

    def _policy(self, name: str) -> None:
        row = self._found("policies", name)
        if row is not None:
            self.policies[name] = row
            self._told(row.steps)

    def _told(self, steps: Sequence[PolicyStep]) -> None:
        """Gather the agents that steps name."""
        for step in steps:
            if step.who is not None:
                self._agent(step.who.lower())

    def _found(self, table: str, key: int | str) -> Any:
        rows = self._set.tables[table]
        row = rows.rows.get(key)
        if row is None and key in rows.broken:
            raise rows.broken[key]
        return row
