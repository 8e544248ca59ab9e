"""What operations answer with: records as readers see them, with times as RFC 3339."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import Struct

from contracts.codec import instant
from contracts.messages import Notice, Ping

V = TypeVar("V", bound=Struct)


class AgentView(Struct, frozen=True, kw_only=True):
    """An agent, its status with since and why, and the facts behind it."""

    id: int
    name: str
    kind: str
    capabilities: tuple[str, ...]
    capacity: int
    beats: str
    active: bool
    quarantined: bool
    flags: tuple[str, ...]  # retired, quarantined, draining, paused, revoked or unreachable: it gets nothing
    flag_reason: str | None
    flagged_by: str | None
    assignable_by: tuple[str, ...]  # the agents that may hand it work; empty: any
    status: str
    status_since: datetime
    status_why: str
    status4: str  # the same in the older words: idle, busy, working, offline
    status6: str  # and in those: offline, ready, working, restarting, dead, dead_failed_revive
    leases: int
    accepted: int
    waiting: int
    stalled: int
    timeout_us: int
    beat_at: datetime | None
    beat_interval_us: int
    joined_at: datetime | None
    left_at: datetime | None
    suspect_at: datetime | None
    dead_at: datetime | None
    dead_why: str | None
    released_at: datetime | None
    hidden_at: datetime | None
    retired_at: datetime | None
    unreachable_since: datetime | None  # no ping could be delivered to its address: it is offered nothing
    machine: str | None
    kept_by: str | None  # the only machine whose daemon may speak for its process; "": none
    process: str | None
    process_at: datetime | None
    process_why: str | None
    pid: int | None
    last_ack_at: datetime | None
    created_at: datetime
    version: int


class MachineView(Struct, frozen=True, kw_only=True):
    """A machine, whether its daemon is heard, and since when."""

    id: int
    name: str
    connected: bool
    joined_at: datetime
    left_at: datetime | None
    beat_at: datetime
    beat_interval_us: int
    lost_at: datetime | None
    release: str | None


class TaskView(Struct, frozen=True, kw_only=True):
    """A task, its holder and why it is where it is."""

    id: int
    key: str | None
    project: str
    title: str
    description: str
    priority: int
    capabilities: tuple[str, ...]
    status: str
    status_why: str
    agent: str | None
    assignment_id: int | None
    epoch: int
    round: int
    blockers: int
    due_at: datetime | None
    policy: str
    pings_enabled: bool
    ping_interval_us: int
    last_ping_at: datetime | None
    last_ack_at: datetime | None
    unassigned_since: datetime | None
    alarmed: bool
    unfinished: tuple[str, ...]  # what of its phases and todos keeps it from being completed
    created_at: datetime
    updated_at: datetime
    version: int


class AssignmentView(Struct, frozen=True, kw_only=True):
    """An assignment, its clocks and how it came about."""

    id: int
    task_id: int
    agent: str
    epoch: int
    status: str
    end_reason: str | None
    assigned_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None
    accept_by: datetime | None
    progress_by: datetime | None
    warn_by: datetime | None
    stalled: bool
    wait_until: datetime | None
    snooze_until: datetime | None
    resume_at: datetime | None
    deadline_at: datetime | None
    ping_at: datetime | None
    attempt: int
    answered_attempt: int
    snoozes: int
    wait_kind: str | None
    wait_who: str | None
    wait_reason: str | None
    note: str | None
    exhausted: bool
    level: int
    repeats: int
    previous_id: int | None
    original_agent: str
    offered_by: str | None
    quarantined: str | None


class CommentView(Struct, frozen=True, kw_only=True):
    """A remark on a task."""

    author: str
    at: datetime
    text: str


class EscalationStepView(Struct, frozen=True, kw_only=True):
    """One step of an escalation: taken or skipped, to whom, and why."""

    assignment_id: int
    step: int
    kind: str
    outcome: str
    target: str | None
    reason: str
    at: datetime


class PingView(Struct, frozen=True, kw_only=True):
    """One ping: when it was due, when it left, when the bus had it."""

    assignment_id: int
    attempt: int
    agent: str
    due_at: datetime
    sent_at: datetime
    published_at: datetime | None


class TodoView(Struct, frozen=True, kw_only=True):
    """One thing on a task's checklist."""

    id: int
    task_id: int
    phase_id: int | None
    position: int
    text: str
    required: bool  # the task is not completed before it is done
    done: bool
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    version: int


class PhaseView(Struct, frozen=True, kw_only=True):
    """One stretch of a task's way."""

    id: int
    task_id: int
    position: int
    name: str
    status: str
    required: bool  # the task is not completed before it is done or skipped
    prompt: str
    done_definitions: str
    expected_outputs: str
    next_steps_guide: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    version: int


class ReminderView(Struct, frozen=True, kw_only=True):
    """What is to be said, to whom and when, and how often it was."""

    id: int
    text: str
    agent: str | None
    task_id: int | None
    every_us: int | None
    due_at: datetime | None
    fired: int
    fired_at: datetime | None
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    ended_by: str | None
    version: int


class TaskDetail(Struct, frozen=True, kw_only=True):
    """A task with its assignments (newest first), comments, steps, pings, plan and reminders."""

    task: TaskView
    depends_on: tuple[int, ...]
    assignments: tuple[AssignmentView, ...]
    comments: tuple[CommentView, ...]
    steps: tuple[EscalationStepView, ...]
    pings: tuple[PingView, ...] = ()
    phases: tuple[PhaseView, ...] = ()
    todos: tuple[TodoView, ...] = ()
    reminders: tuple[ReminderView, ...] = ()  # those still to come


class Lease(Struct, frozen=True, kw_only=True):
    """A lease that its agent still holds."""

    assignment: int
    task: int
    title: str
    epoch: int
    status: str
    accept_by: datetime | None
    progress_by: datetime | None
    snooze_until: datetime | None
    ping: Ping | None  # what is owed now, as a ping would say it
    description: str = ""  # where no ping says it
    note: str | None = None  # the last that its agent said of its progress
    wait_kind: str | None = None
    wait_who: str | None = None
    resume_at: datetime | None = None


class SyncView(Struct, frozen=True, kw_only=True):
    """All that an agent has to know after it was away."""

    incarnation: str
    agent: str
    session: str | None
    leases: tuple[Lease, ...]
    notices: tuple[Notice, ...] = ()


class PolicyStepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a policy."""

    kind: str
    capability: str | None = None
    who: str | None = None


class PolicyView(Struct, frozen=True, kw_only=True):
    """An escalation policy."""

    name: str
    steps: tuple[PolicyStepView, ...]
    updated_at: datetime
    version: int


def view(record: Struct, kind: type[V], **more: object) -> V:
    """Return `record` as `kind`, which names the fields to show; instants become datetimes.

    `more` are the fields that the record does not have.
    """
    take, names, timed = _fields(kind, tuple(more))
    values = list(take(record))
    for place in timed:
        if isinstance(at := values[place], int):
            values[place] = instant(at)
    return kind(**dict(zip(names, values, strict=False)), **more)  # the last value is no field's


@cache
def _fields(
    kind: type[Struct], given: tuple[str, ...]
) -> tuple[Callable[[Struct], Sequence[Any]], tuple[str, ...], tuple[int, ...]]:
    """Return what takes a record's values, their names, and the places of those that may be instants.

    A page shows many records: to find this out for each would take longer than all the rest.
    """
    names = tuple(name for name in kind.__struct_fields__ if name not in given)
    ends = ("_at", "_by", "_until", "_since")
    take = attrgetter(*names, "__class__")  # one more than is wanted: of a single name it makes no tuple
    timed = (place for place, name in enumerate(names) if name.endswith(ends) or name == "at")
    return take, names, tuple(timed)
