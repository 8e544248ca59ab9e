"""Rows of the store: immutable, with instants as integer microseconds since the epoch (UTC).

None of them crosses the wire (views do). Those that are read by the thousand are `array_like`: a row becomes
a record by the order of its columns, without their names. None can be part of a circle, so the collector need
not look for one (`gc=False`): it took a tenth of the time where records are made by the thousand.
"""

from typing import Literal

from msgspec import Struct

AgentKind = Literal["main_agent", "sub_agent"]
Beats = Literal["required", "none"]
AgentStatus = Literal[
    "dead_failed_revive",
    "dead",
    "restarting",
    "offline",
    "suspect",
    "stalled",
    "waiting",
    "working",
    "busy",
    "ready",
]
"""In the order in which they are looked for: the first that fits the facts is the status."""
ProcessState = Literal["running", "restarting", "stopped", "gone", "failed"]
"""The daemon's word on an agent's process: `stopped` was meant, `gone` was not, `failed` is given up."""
TaskStatus = Literal["todo", "in_progress", "done", "failed", "cancelled"]
AssignmentStatus = Literal["pending", "acknowledged", "waiting", "snoozed", "completed", "failed"]
EndReason = Literal[
    "completed",
    "failed",
    "declined",
    "released",
    "cancelled",
    "superseded",
    "timed_out",
    "lost",
    "unreachable",
]
WaitKind = Literal["human", "lock", "peer", "rate_limit", "external"]
StepKind = Literal["retry", "peer", "main", "notify"]

OPEN_STATUSES: tuple[AssignmentStatus, ...] = ("pending", "acknowledged", "waiting", "snoozed")
NOT_AGAIN: tuple[EndReason, ...] = ("declined", "released", "failed", "timed_out", "lost", "unreachable")
"""Ends after which an agent may not have the task again in its round; load_excluded names them too."""
ENDED_TASKS: tuple[TaskStatus, ...] = ("done", "failed", "cancelled")


class Agent(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Who can hold a promise. `status` is the stored projection of the facts beside it."""

    id: int
    name: str
    kind: AgentKind = "sub_agent"
    capabilities: tuple[str, ...] = ()
    capacity: int = 1
    timeout_us: int
    beats: Beats = "required"
    endpoint_url: str | None = None
    active: bool = True
    quarantined: bool = False
    paused: bool = False
    draining: bool = False
    flag_reason: str | None = None  # why the operator set the last of these
    flagged_by: str | None = None
    retired_at: int | None = None
    assignable_by: tuple[str, ...] = ()  # the agents that may hand it work; empty: any, and operators always
    created_at: int
    session: str | None = None
    joined_at: int | None = None
    left_at: int | None = None
    beat_at: int | None = None
    beat_interval_us: int = 30_000_000
    silent_at: int | None = None  # when the monitor has to judge it (again); None while nobody listens
    suspect_at: int | None = None  # since when its beats are missed
    dies_at: int | None = None  # its turn in the row behind a brake that lets go
    dead_at: int | None = None
    dead_why: str | None = None
    released_at: int | None = None  # when the leases of the dead were released
    hidden_at: int | None = None  # when the record became a tombstone: kept, but not listed
    machine: str | None = None  # whose daemon speaks for its process
    unreachable_since: int | None = None  # no ping could be delivered to its address, often enough in a row
    kept_by: str | None = None  # the only machine whose daemon may; "": none; None: the first that does
    process: ProcessState | None = None
    process_at: int | None = None
    process_why: str | None = None
    pid: int | None = None
    leases: int = 0  # open assignments
    accepted: int = 0  # of these acknowledged
    waiting: int = 0  # of these waiting
    asking: int = 0  # of the waiting: for a human; meanwhile no text of ours may reach its prompt
    stalled: int = 0  # of the acknowledged: past their warn clock without progress
    status: AgentStatus = "offline"
    status_since: int
    status_why: str = "registered"
    last_ack_at: int | None = None
    successes: int = 0
    failures: int = 0
    progress_latency_us: int = 0
    revoked_at: int | None = None  # since when nothing lets it in: its credentials and tokens ended
    version: int = 0


class Task(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One piece of work; at most one open assignment."""

    id: int
    key: str | None = None  # the importer's own name for it, unique
    project: str = ""
    title: str
    description: str = ""
    priority: int = 2  # 0 is the most urgent
    capabilities: tuple[str, ...] = ()
    due_at: int | None = None
    status: TaskStatus = "todo"
    status_why: str = ""
    pings_enabled: bool = True
    ping_interval_us: int
    accept_us: int | None = None  # None: the agent's own timeout
    warn_us: int | None = None  # None: the house's
    act_us: int | None = None
    policy: str = "default"
    round: int = 1
    epoch: int = 0
    failures: int = 0
    blockers: int = 0  # dependencies not yet done
    assign_at: int | None = None  # when the assigner has to look at it (again)
    unassigned_since: int | None = None
    alarmed: bool = False  # the alarm for its age in todo was raised
    assignment_id: int | None = None  # the open one
    agent: str | None = None  # its holder
    due_noticed: bool = False
    last_ping_at: int | None = None
    last_ack_at: int | None = None
    created_at: int
    updated_at: int
    version: int = 0
    unfinished: tuple[str, ...] = ()  # by name: what is required of its plan, and open


class Assignment(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A lease: one agent's promise about one task. Its id is the fencing token."""

    id: int
    task_id: int
    agent: str
    epoch: int
    round: int
    status: AssignmentStatus = "pending"
    end_reason: EndReason | None = None
    assigned_at: int
    accepted_at: int | None = None
    ended_at: int | None = None
    accept_us: int  # the three clocks' lengths, fixed when the lease was made
    warn_us: int
    act_us: int
    accept_by: int | None = None
    progress_by: int | None = None
    warn_by: int | None = None  # when an acknowledged lease without progress is stalled
    wait_until: int | None = None
    snooze_until: int | None = None
    resume_at: int | None = None
    due_at: int | None = None  # the task's due date until its one notice was sent
    paused_us: int | None = None  # what is left of the running clock while snoozed or waiting
    deadline_at: int | None = None  # the earliest of all of these: the escalator's index
    ping_interval_us: int
    pings_enabled: bool = True
    ping_at: int | None = None  # the pinger's index
    attempt: int = 0  # pings so far
    answered_attempt: int = 0
    last_ping_at: int | None = None
    snoozes: int = 0
    snooze_reason: str | None = None
    wait_kind: WaitKind | None = None
    wait_who: str | None = None
    wait_reason: str | None = None
    wait_notices: int = 0
    backoffs: int = 0  # waits for a rate limit in a row that named no end
    note: str | None = None
    progressed_at: int | None = None
    stalled: bool = False
    deferred: bool = False
    unreachable_at: int | None = None  # since when nothing could be delivered to its holder, often enough
    repeats: int = 0
    exhausted: bool = False
    escalation_id: int | None = None
    step: int | None = None  # the policy step that made this row
    level: int = 0  # how often the task was escalated when this row was made
    previous_id: int | None = None
    original_agent: str
    offered_by: str | None = None
    restate_at: int | None = None  # when the mailbox was found to hold an older word than the newest
    quarantined: str | None = None  # why its decision could not be made
    version: int = 0


class Machine(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A computer whose daemon runs agents and speaks for their processes."""

    id: int
    name: str
    session: str  # which life of the daemon
    joined_at: int
    left_at: int | None = None
    beat_at: int
    beat_interval_us: int = 30_000_000
    silent_at: int | None = None  # when its beats will have been missed; None while nobody listens
    connected: bool = True
    lost_at: int | None = None  # since when its beats are missed
    release: str | None = None  # of the daemon's software
    version: int = 0


class Brake(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A hold on deaths, because too many fell silent at once: `fleet`, or `machine:<name>`."""

    id: int
    scope: str
    began_at: int
    members: int  # how many could have fallen silent, and how many did
    silent: int
    look_at: int | None = None  # when the monitor has to look whether it may end
    canary_since: int | None = None  # since when our own beats are heard without a gap
    canary_at: int | None = None
    released_at: int | None = None  # since when it lets go, one death at a time
    released_why: str | None = None
    next_death_at: int | None = None
    ended_at: int | None = None
    end_reason: str | None = None
    version: int = 0


class Frozen(Struct, frozen=True, kw_only=True, gc=False):
    """An operator's word that nothing new is offered anywhere."""

    since: int
    by: str
    reason: str


class PolicyStep(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One step of an escalation policy."""

    kind: StepKind
    capability: str | None = None  # what a `peer` must be able to do; None: what the task needs
    who: str | None = None  # whom `notify` tells; None: the main agent


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """An escalation policy: data that is copied onto each escalation when it starts."""

    name: str
    steps: tuple[PolicyStep, ...]
    updated_at: int
    version: int = 0


class Escalation(Struct, frozen=True, kw_only=True, gc=False):
    """A running escalation of one task in one round, with its own copy of the policy."""

    id: int
    task_id: int
    round: int
    policy: str
    steps: tuple[PolicyStep, ...]
    position: int = 0  # the next step to try
    taken: int = 0  # bit n is set: step n moved or told somebody; the others up to `position` were skipped
    started_at: int
    ended_at: int | None = None
    end_reason: str | None = None
    version: int = 0


class StepRow(Struct, frozen=True, kw_only=True, gc=False):
    """What became of one policy step for one assignment; unique by both."""

    assignment_id: int
    step: int
    kind: StepKind
    outcome: Literal["taken", "skipped"]
    target: str | None
    reason: str
    successor_id: int | None
    at: int


class PingRow(Struct, frozen=True, kw_only=True, gc=False):
    """One ping of the history; unique by assignment and attempt."""

    assignment_id: int
    attempt: int
    agent: str
    incarnation: str
    due_at: int
    sent_at: int
    published_at: int | None = None


class Doubt(Struct, frozen=True, kw_only=True, gc=False):
    """A ping that may have come after the word that replaced it; unique by assignment and attempt."""

    assignment_id: int
    attempt: int
    subject: str  # under which it was or will be sent, without the root
    message_id: str
    ask_at: int  # when the mailbox is to be asked
    asked: int = 0  # times


class Comment(Struct, frozen=True, kw_only=True, gc=False):
    """A remark on a task, by a person, an agent or Rollcall itself."""

    task_id: int
    author: str
    at: int
    text: str


class NoticeRow(Struct, frozen=True, kw_only=True, gc=False):
    """What an agent is told without having asked; `sync` lists the open ones."""

    agent: str
    assignment_id: int
    kind: str
    text: str
    at: int


class AuditRow(Struct, frozen=True, kw_only=True, gc=False):
    """One change: the event log from which ROLLCALL_EVENTS is refilled."""

    seq: int
    at: int
    actor: str
    aggregate: str
    aggregate_id: str
    event: str
    aggregate_version: int
    cause: str | None
    incarnation: str
    data: bytes  # JSON


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """A stretch of time in which nobody could answer, or which never was (a clock that stepped)."""

    start_at: int
    end_at: int


class Tally(Struct, frozen=True, kw_only=True, gc=False):
    """How many rows stand under one word."""

    name: str
    count: int


class Figures(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody has to look at, and the oldest instants that are still to be served."""

    exhausted: int
    quarantined: int
    outbox: int
    outbox_at: int | None
    ping_at: int | None
    deadline_at: int | None


class Process(Struct, frozen=True, kw_only=True, gc=False):
    """A process, when it last lived, and when and on which server it last had a live bus."""

    id: str
    service: str
    started_at: int
    alive_at: int
    bus_ok_at: int | None
    server: str | None
    vitals_at: int | None = None  # when its vitals were read
    vitals: bytes | None = None  # JSON: a Vital of each of its services


class Due(Struct, frozen=True, kw_only=True, gc=False):
    """The oldest instants that are still to be served."""

    ping_at: int | None
    deadline_at: int | None
    outbox_at: int | None


class Alarm(Struct, frozen=True, kw_only=True, gc=False):
    """Something that is wrong with the house itself, and since when; it goes when that is mended."""

    name: str
    since: int
    detail: str
    fix: str
