"""A view on which decisions can be tried: it takes their changes and writes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from contracts.limits import INT_MAX
from contracts.records import (
    NOT_AGAIN,
    Agent,
    Assignment,
    Brake,
    Escalation,
    Frozen,
    Hold,
    Machine,
    Policy,
    Task,
)
from contracts.work import Changes, Lookup, View


class Rehearsal:
    """The rows of another view, and what was tried on top of them; no lot, no hold, no answer on its way."""

    def __init__(self, view: View) -> None:
        """Begin with the rows as they are."""
        self.view = view
        self.assignments = {number: _asked(row) for number, row in view.assignments.items()}
        self.tasks: dict[int, Task] = dict(view.tasks)
        self.agents: dict[str, Agent] = dict(view.agents)
        self.escalations: dict[int, Escalation] = dict(view.escalations)
        self.policies: dict[str, Policy] = dict(view.policies)
        self.barred: dict[int, frozenset[str]] = dict(view.excluded)
        self.agents.update(view.candidates)
        self._last_id = INT_MAX // 2

    incarnation = "rehearsal"
    answers_until: int | None = INT_MAX
    holds: Sequence[Hold] = ()
    dependents: Mapping[int, tuple[int, ...]] = {}
    dependencies: Mapping[int, tuple[int, ...]] = {}
    rows: Mapping[Lookup, Sequence[Any]] = {}
    task_ids: Mapping[str, int] = {}
    machines: Mapping[str, Machine] = {}
    brakes: Mapping[int, Brake] = {}
    frozen: Frozen | None = None
    health = 0

    @property
    def candidates(self) -> Mapping[str, Agent]:
        """Return everybody that is known; whoever has no room is kept out by the rules."""
        return self.agents

    @property
    def main_agents(self) -> Mapping[str, Agent]:
        """Return the main agents."""
        return {name: agent for name, agent in self.agents.items() if agent.kind == "main_agent"}

    @property
    def excluded(self) -> Mapping[int, frozenset[str]]:
        """Return who has had the tasks."""
        return self.barred

    def new_id(self, table: str) -> int:
        """Return an id that no row has."""
        self._last_id += 1
        return self._last_id

    def draw(self) -> float:
        """Return the same lot each time."""
        return 0.0

    def take(self, changes: Changes) -> None:
        """Let the next decision see what this one changed."""
        for agent in changes.agents:
            self.agents[agent.name.lower()] = _written(agent)
        for task in changes.tasks:
            self.tasks[task.id] = _written(task)
        for escalation in changes.escalations:
            self.escalations[escalation.id] = _written(escalation)
        for row in changes.assignments:
            self.assignments[row.id] = _asked(_written(row))
            if row.end_reason in NOT_AGAIN:
                before = self.barred.get(row.task_id, frozenset())
                self.barred[row.task_id] = before | {row.agent.lower()}


def _asked(row: Assignment) -> Assignment:
    """Return the row as if it had been pinged: nobody pings in a rehearsal."""
    return structs.replace(row, attempt=max(row.attempt, 1))


def _written(record: Any) -> Any:
    return structs.replace(record, version=record.version + 1)
