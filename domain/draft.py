"""Composing several record changes into one `Changes`; reads see what was put before."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from msgspec import UNSET, Struct, UnsetType

from contracts import messages, subjects
from contracts.codec import encode, instant
from contracts.errors import NotFoundError
from contracts.records import (
    Agent,
    Assignment,
    Brake,
    Comment,
    Escalation,
    Frozen,
    Machine,
    NoticeRow,
    PingRow,
    Policy,
    StepRow,
    Task,
)
from contracts.reminders import Reminder
from contracts.work import Cast, Changes, Fact, Post, Row, View
from domain.timers import SECOND_US, Timers

Record = Agent | Task | Assignment | Escalation | Policy | Machine | Brake
WITHDRAWN_TTL_S = 60
SYSTEM = "rollcall"  # who signs the remarks that the machines make


class Draft:
    """One decision in the making."""

    def __init__(self, view: View, now: int, *, actor: str, timers: Timers, cause: str | None = None) -> None:
        """Start with nothing changed."""
        self.view = view
        self.now = now
        self.actor = actor
        self.timers = timers
        self.cause = cause
        self._agents: dict[str, Agent] = {}
        self._tasks: dict[int, Task] = {}
        self._assignments: dict[int, Assignment] = {}
        self._escalations: dict[int, Escalation] = {}
        self._policies: dict[str, Policy] = {}
        self._machines: dict[str, Machine] = {}
        self._brakes: dict[int, Brake] = {}
        self._frozen: Frozen | UnsetType | None = UNSET
        self._steps: list[StepRow] = []
        self._pings: list[PingRow] = []
        self._comments: list[Comment] = []
        self._notices: list[NoticeRow] = []
        self._rows: list[Row] = []
        self._dependencies: list[tuple[int, int]] = []
        self._facts: list[Fact] = []
        self._posts: dict[str, Post] = {}
        self._casts: list[Cast] = []
        self._wakes: set[str] = set()

    def find_agent(self, name: str) -> Agent | None:
        """Return the agent as it stands now, if it is known here."""
        key = name.lower()
        return self._agents.get(key) or self.view.agents.get(key) or self.view.candidates.get(key)

    def agent(self, name: str) -> Agent:
        """Return the agent as it stands now."""
        found = self.find_agent(name)
        if found is None:
            raise NotFoundError(f"there is no agent {name}")
        return found

    def task(self, task_id: int) -> Task:
        """Return the task as it stands now."""
        found = self.find_task(task_id)
        if found is None:
            raise NotFoundError(f"there is no task {task_id}")
        return found

    def find_task(self, task_id: int) -> Task | None:
        """Return the task as it stands now, if it is known here."""
        return self._tasks.get(task_id) or self.view.tasks.get(task_id)

    def assignment(self, assignment_id: int) -> Assignment:
        """Return the assignment as it stands now."""
        found = self._assignments.get(assignment_id) or self.view.assignments.get(assignment_id)
        if found is None:
            raise NotFoundError(f"there is no assignment {assignment_id}")
        return found

    def escalation(self, escalation_id: int | None) -> Escalation | None:
        """Return the escalation as it stands now."""
        if escalation_id is None:
            return None
        return self._escalations.get(escalation_id) or self.view.escalations.get(escalation_id)

    def machine(self, name: str) -> Machine | None:
        """Return the machine as it stands now, if it is known here."""
        key = name.lower()
        return self._machines.get(key) or self.view.machines.get(key)

    def brake(self, scope: str) -> Brake | None:
        """Return the brake that is on in this scope, as it stands now."""
        rows = {**self.view.brakes, **self._brakes}.values()
        return next((row for row in rows if row.scope == scope and row.ended_at is None), None)

    def candidates(self) -> list[Agent]:
        """Return whoever could take work, as they stand now."""
        return self._as_they_stand(self.view.candidates)

    def main_agents(self) -> list[Agent]:
        """Return the main agents, as they stand now, in the order in which they came."""
        mains = [agent for agent in self._as_they_stand(self.view.main_agents) if agent.kind == "main_agent"]
        return sorted(mains, key=lambda agent: agent.id)

    def _as_they_stand(self, among: Mapping[str, Agent]) -> list[Agent]:
        found = [self._agents.get(name, agent) for name, agent in among.items()]
        # whoever lost a lease in this very decision could take work too
        found += [agent for name, agent in self._agents.items() if agent.active and name not in among]
        return found

    def excluded(self, task_id: int) -> frozenset[str]:
        """Return in lower case who may not have the task again in its round."""
        return frozenset(name.lower() for name in self.view.excluded.get(task_id, ()))

    def put(self, record: Record) -> None:
        """Write a record; its `version` stays the one that was loaded, 0 for a new one."""
        match record:
            case Agent():
                self._agents[record.name.lower()] = record
            case Task():
                self._tasks[record.id] = record
            case Assignment():
                self._assignments[record.id] = record
            case Escalation():
                self._escalations[record.id] = record
            case Policy():
                self._policies[record.name] = record
            case Machine():
                self._machines[record.name.lower()] = record
            case Brake():
                self._brakes[record.id] = record
            case _:
                assert_never(record)

    def fact(self, record: Record | Reminder, event: str, cause: str | None = None, **data: Any) -> None:
        """State what happened to a record that this decision writes."""
        aggregate, identity = _identity(record)
        self._facts.append(
            Fact(
                aggregate=aggregate,
                id=identity,
                event=event,
                version=record.version + 1,
                actor=self.actor,
                cause=cause or self.cause,
                data={name: value for name, value in data.items() if value is not None},
            )
        )

    def freeze(self, frozen: Frozen | None) -> None:
        """Let nothing new be offered anywhere; None: let it be again."""
        self._frozen = frozen

    def fleet_fact(self, event: str, **data: Any) -> None:
        """State what happened to the whole fleet."""
        known = {name: value for name, value in data.items() if value is not None}
        self._facts.append(
            Fact(
                aggregate="system",
                id="fleet",
                event=event,
                version=0,
                actor=self.actor,
                cause=self.cause,
                data=known,
            )
        )

    def comment(self, task_id: int, text: str, author: str = SYSTEM) -> None:
        """Remark something on a task."""
        self._comments.append(Comment(task_id=task_id, author=author, at=self.now, text=text))

    def notice(self, agent: str, assignment_id: int, kind: str, text: str) -> None:
        """Tell an agent what it did not ask."""
        row = NoticeRow(agent=agent, assignment_id=assignment_id, kind=kind, text=text, at=self.now)
        said = messages.Notice(kind=kind, assignment=assignment_id, text=text, at=instant(self.now))
        self._notices.append(row)
        self._casts.append(Cast(subject=subjects.notice(agent, assignment_id), body=encode(said)))

    def row(self, row: Row) -> None:
        """Write a row that nobody keeps in memory, by its own query."""
        self._rows.append(row)

    def step(self, row: StepRow) -> None:
        """Record what became of a policy step."""
        self._steps.append(row)

    def ping(self, row: PingRow) -> None:
        """Add a ping to the history."""
        self._pings.append(row)

    def depend(self, task_id: int, on: Iterable[int]) -> None:
        """Let a task wait for others."""
        self._dependencies.extend((task_id, other) for other in on)

    def post_ping(self, row: Assignment, task: Task) -> None:
        """Send the ping that `row.attempt` counts."""
        life_s = max(1, -(-2 * row.ping_interval_us // SECOND_US))
        message_id = f"ping:{self.view.incarnation}:{row.id}:{row.attempt}"
        self._post(row, message_id, encode(self.ping_message(row, task)), life_s, row.attempt)

    def ping_message(self, row: Assignment, task: Task) -> messages.Ping:
        """Return what a ping says about an assignment now."""
        return ping_message(row, task, self.view.incarnation, self.now)

    def withdraw(self, row: Assignment, holder: str | None = None) -> None:
        """Take back the ping of a row that owes no answer any more; for an ended one: tell it to stop."""
        said = messages.Withdrawn(
            incarnation=self.view.incarnation,
            assignment=row.id,
            task=row.task_id,
            status=row.status,
            end_reason=row.end_reason,
            holder=holder,
            sent_at=instant(self.now),
        )
        message_id = f"withdrawn:{self.view.incarnation}:{row.id}:{row.version + 1}"
        self._post(row, message_id, encode(said), WITHDRAWN_TTL_S, None)

    def wake(self, service: str) -> None:
        """Ring a service's doorbell after the commit."""
        self._wakes.add(service)

    def changes(self, answer: Struct | None = None) -> Changes:
        """Return everything, each record once, as it was put last."""
        return Changes(
            agents=tuple(self._agents.values()),
            tasks=tuple(self._tasks.values()),
            assignments=tuple(self._assignments.values()),
            escalations=tuple(self._escalations.values()),
            policies=tuple(self._policies.values()),
            machines=tuple(self._machines.values()),
            brakes=tuple(self._brakes.values()),
            frozen=self._frozen,
            steps=tuple(self._steps),
            pings=tuple(self._pings),
            comments=tuple(self._comments),
            notices=tuple(self._notices),
            rows=tuple(self._rows),
            dependencies=tuple(self._dependencies),
            facts=tuple(self._facts),
            posts=tuple(self._posts.values()),
            casts=tuple(self._casts),
            answer=answer,
            wakes=frozenset(self._wakes),
        )

    def _post(self, row: Assignment, message_id: str, body: bytes, ttl_s: int, attempt: int | None) -> None:
        slot = f"ping:{row.id}"
        self._posts[slot] = Post(
            slot=slot,
            stream="PINGS",
            subject=subjects.ping_ingest(row.agent, row.id),
            message_id=message_id,
            body=body,
            ttl_s=ttl_s,
            created_at=self.now,
            assignment_id=row.id,
            attempt=attempt,
        )


def ping_message(row: Assignment, task: Task, incarnation: str, now: int) -> messages.Ping:
    """Return what a ping says about an assignment."""
    answer_by = row.accept_by or row.progress_by
    return messages.Ping(
        incarnation=incarnation,
        assignment=row.id,
        task=row.task_id,
        attempt=row.attempt,
        epoch=row.epoch,
        status=row.status,
        title=task.title,
        description=task.description,
        sent_at=instant(now),
        answer_by=None if answer_by is None else instant(answer_by),
        due_at=None if task.due_at is None else instant(task.due_at),
        exhausted=row.exhausted,
        offered_by=row.offered_by,
        escalated_from=row.original_agent if row.level else None,
    )


def _identity(record: Record | Reminder) -> tuple[str, str]:
    name = type(record).__name__.lower()
    return name, record.name if isinstance(record, Agent | Policy | Machine) else str(record.id)
