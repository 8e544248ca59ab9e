"""Every message on the wire, one Struct each. Unknown fields are ignored, new ones have defaults."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from contracts.errors import Problem
from contracts.limits import (
    PROCESSES_MAX,
    Capabilities,
    CommandId,
    Count,
    Dependencies,
    Description,
    Minutes,
    Name,
    Note,
    Project,
    SnoozeMinutes,
    Title,
    Token,
)
from contracts.records import AssignmentStatus, Beats, ProcessState, WaitKind


class Ping(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ping", omit_defaults=True):
    """Rollcall to an agent: you owe an answer about this assignment."""

    incarnation: str
    assignment: int
    task: int
    attempt: int
    epoch: int
    status: AssignmentStatus
    title: str
    description: str = ""
    sent_at: datetime
    answer_by: datetime | None = None
    due_at: datetime | None = None
    exhausted: bool = False
    offered_by: str | None = None
    escalated_from: str | None = None


class Withdrawn(Struct, frozen=True, kw_only=True, tag_field="kind", tag="withdrawn", omit_defaults=True):
    """Rollcall to an agent: nothing is owed here any more (or: stop, the lease ended)."""

    incarnation: str
    assignment: int
    task: int
    status: AssignmentStatus
    end_reason: str | None = None
    holder: str | None = None
    sent_at: datetime


class AnswerFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every answer of an agent carries."""

    incarnation: Token | None = None  # required on the answer stream: a stored answer may outlive its store
    command_id: CommandId | None = None
    session: Token | None = None
    attempt: Count | None = None


class Ack(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="ack"):
    """I have it."""


class Progress(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="progress"):
    """I am getting on; only a note that differs from the last one restarts the clock."""

    note: Note


class Wait(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="wait"):
    """I cannot go on until somebody or something moves."""

    on: WaitKind
    who: Note | None = None
    reason: Note | None = None
    resume_at: datetime | None = None


class Resume(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="resume"):
    """The wait is over."""


class Snooze(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="snooze"):
    """Not now: ask again in so many minutes (1 to 480, at most three times)."""

    minutes: SnoozeMinutes = 30
    reason: Note | None = None


class Unsnooze(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="unsnooze"):
    """Now after all."""


class Decline(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="decline"):
    """Not me: give it to somebody else."""

    reason: Note | None = None


class Complete(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="complete"):
    """It is done."""

    result: Note | None = None


class Fail(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="fail"):
    """I could not do it; `final` says that nobody can."""

    reason: Note | None = None
    final: bool = False


class Release(AnswerFields, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """I give it back."""

    reason: Note | None = None


Answer = Ack | Progress | Wait | Resume | Snooze | Unsnooze | Decline | Complete | Fail | Release
ANSWERS: dict[str, type[Answer]] = {
    "ack": Ack,
    "progress": Progress,
    "wait": Wait,
    "resume": Resume,
    "snooze": Snooze,
    "unsnooze": Unsnooze,
    "decline": Decline,
    "complete": Complete,
    "fail": Fail,
    "release": Release,
}


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rollcall to an agent after the commit: what became of its answer."""

    assignment: int
    kind: str
    accepted: bool
    already: bool = False
    status: str | None = None
    command_id: str | None = None
    deferred: bool = False
    problem: Problem | None = None


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rollcall to an agent: something it did not ask about."""

    kind: str
    assignment: int  # 0: about none
    text: str
    at: datetime


class Beat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent is alive; the monitor's clock decides when."""

    session: Token | None = None
    interval_s: int = 30
    seq: Count = 0


class LoopVital(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One loop of a service: when it last came round, how late it is, and how much waits for it."""

    name: str
    ticked_at: datetime
    lag_s: float = 0.0
    waiting: Count = 0


class Vital(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One service of one process, as the process sees it.

    `lag_s` is that of the loop that is latest: behind its earliest due, or behind the moment at which it
    should have come round again. `waiting` is the depth of all its mailboxes.
    """

    service: str
    process: str
    at: datetime
    ticked_at: datetime
    lag_s: float = 0.0
    waiting: Count = 0
    loops: tuple[LoopVital, ...] = ()


class ProcessFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a daemon knows of the process of one agent."""

    agent: Name
    state: ProcessState
    pid: Count | None = None
    session: Token | None = None  # the boot id that the process was given
    since: datetime | None = None  # by the daemon's clock, which judges nobody
    exits: Count = 0  # how often it has ended lately
    capabilities: Capabilities | None = None  # of those the agent has, what this process can do; None: all
    why: Note | None = None


Processes = Annotated[tuple[ProcessFacts, ...], Meta(max_length=PROCESSES_MAX)]


class MachineBeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine's daemon is alive, and so are the processes that it says run."""

    session: Token
    interval_s: int = 30
    seq: Count = 0
    processes: Processes = ()


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rollcall to a machine's daemon: do this to an agent's process, unless it is too late."""

    verb: Literal["start", "stop", "restart"]
    deadline: datetime  # after it the order is refused
    command_id: CommandId  # the same one again is answered again, and not done twice
    by: str  # operator:<name>
    reason: Note | None = None


class Ordered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A daemon's answer to an order."""

    agent: str
    accepted: bool
    state: ProcessState | None = None  # as it stands now
    why: str = ""


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact, on `….evt.<aggregate>.<id>.<event>`: what changed, who did it, and why."""

    seq: int
    at: datetime
    actor: str
    aggregate: str
    id: str
    event: str
    version: int
    incarnation: str
    cause: str | None = None
    data: dict[str, Any] = {}


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message or row that could not be handled, with the reason; kept until somebody replays it."""

    source: Literal["message", "row"]
    stream: str
    consumer: str
    subject: str
    reason: str
    tries: int
    at: datetime
    body: str = ""  # as it came, with undecodable bytes escaped
    body_base64: str = ""
    row: int | None = None


class NewTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a task that there is not yet, alone or among others."""

    title: Title
    description: Description = ""
    key: Token | None = None
    project: Project = ""
    priority: Literal["P0", "P1", "P2", "P3"] = "P2"
    capabilities: Capabilities = ()
    depends_on: Dependencies = ()
    due_at: datetime | None = None
    ping_interval_minutes: Minutes | None = None
    accept_minutes: Minutes | None = None
    policy: Name = "default"


class TaskSpec(NewTask, frozen=True, kw_only=True):
    """A task to create; `key` makes an import idempotent and names it for `depends_on`."""

    estimate_hours: float | None = None


class AgentSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent to register."""

    name: Name
    kind: Literal["main_agent", "sub_agent"] = "sub_agent"
    capabilities: Capabilities = ()
    capacity: int | None = None
    timeout_minutes: Minutes | None = None
    beats: Beats = "required"
    endpoint_url: str | None = None
