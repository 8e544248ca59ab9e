"""Units of work: what a service asks of the store, what a decision may see and change, what comes back.

A service never awaits inside a transaction. It names keys (`Needs`); the store loads them, calls the pure
decision, writes what it returns with expected versions, commits, and only then are replies and posts sent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, structs

from contracts.errors import Problem
from contracts.messages import DeadLetter
from contracts.records import (
    Agent,
    Alarm,
    Assignment,
    Comment,
    Escalation,
    Hold,
    NoticeRow,
    PingRow,
    Policy,
    StepRow,
    Task,
)


class Post(Struct, frozen=True, kw_only=True, gc=False):
    """An outbox row: it stays until the bus has confirmed this version of it."""

    id: int = 0  # 0: not in the store yet
    slot: str | None = None  # rows of one slot replace each other: a ping has one per assignment
    stream: str  # PINGS, EVENTS or DLQ
    subject: str  # without the root
    message_id: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    ttl_s: int | None = None
    created_at: int
    version: int = 1
    assignment_id: int | None = None  # of a ping: what to read again before a late send
    attempt: int | None = None


class Cast(Struct, frozen=True, kw_only=True, gc=False):
    """A core message after the commit, best effort."""

    subject: str  # without the root
    body: bytes


class Fact(Struct, frozen=True, kw_only=True, gc=False):
    """One change: becomes an audit row and an event under the same id."""

    aggregate: str  # task, assignment, agent, policy, system
    id: str
    event: str  # past tense
    version: int  # of the aggregate after the change
    actor: str  # agent:<name>, operator:<name> or rollcall:<service>
    cause: str | None = None
    data: Mapping[str, Any] = {}


class Changes(Struct, frozen=True, kw_only=True):
    """What a decision wants written; records of version 0 are inserted, others updated at their version."""

    agents: tuple[Agent, ...] = ()
    tasks: tuple[Task, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    policies: tuple[Policy, ...] = ()
    steps: tuple[StepRow, ...] = ()
    pings: tuple[PingRow, ...] = ()
    comments: tuple[Comment, ...] = ()
    notices: tuple[NoticeRow, ...] = ()
    dependencies: tuple[tuple[int, int], ...] = ()  # (task, depends on)
    facts: tuple[Fact, ...] = ()
    posts: tuple[Post, ...] = ()
    casts: tuple[Cast, ...] = ()
    answer: Struct | None = None
    wakes: frozenset[str] = frozenset()


class Lookup(Struct, frozen=True, kw_only=True):
    """A named read query with its parameters; its rows stand in `View.rows` under the lookup itself."""

    query: str
    params: tuple[tuple[str, object], ...] = ()


class Needs(Struct, frozen=True, kw_only=True):
    """The keys a decision needs.

    A key brings its company: an assignment its task, holder, giver, whom it waits for, and escalation; a task
    its open assignment (with company) and its policy; an escalation or policy whom its steps name.
    """

    assignments: tuple[int, ...] = ()
    tasks: tuple[int, ...] = ()
    task_keys: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    agent_ids: tuple[int, ...] = ()
    leases: bool = False  # the open assignments (with company) of the named agents
    policies: tuple[str, ...] = ()
    candidates: bool = False  # every active agent that could take work, and the main agents
    excluded: bool = False  # who may not have the loaded tasks again in this round
    dependents: bool = False  # the tasks that wait for the named ones, and what all of these wait for
    clocks: bool = False  # holds and answers_until
    alone: bool = False  # no company but an assignment's task: for what is done by the thousand
    lookups: tuple[Lookup, ...] = ()


class View(Protocol):
    """What a decision sees: the rows of its needs, as earlier units of the same transaction left them."""

    @property
    def incarnation(self) -> str:
        """The store's incarnation."""
        ...

    @property
    def assignments(self) -> Mapping[int, Assignment]:
        """Loaded assignments by id."""
        ...

    @property
    def tasks(self) -> Mapping[int, Task]:
        """Loaded tasks by id."""
        ...

    @property
    def task_ids(self) -> Mapping[str, int]:
        """Loaded tasks' ids by key."""
        ...

    @property
    def agents(self) -> Mapping[str, Agent]:
        """Loaded agents by name in lower case."""
        ...

    @property
    def escalations(self) -> Mapping[int, Escalation]:
        """Loaded escalations by id."""
        ...

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Loaded policies by name."""
        ...

    @property
    def candidates(self) -> Mapping[str, Agent]:
        """Agents that could take work, as earlier units left them, by name in lower case."""
        ...

    @property
    def main_agents(self) -> Mapping[str, Agent]:
        """Those of the candidates that are main agents."""
        ...

    @property
    def excluded(self) -> Mapping[int, frozenset[str]]:
        """By task: who declined, failed or timed out in its present round."""
        ...

    @property
    def dependents(self) -> Mapping[int, tuple[int, ...]]:
        """By task: the tasks (loaded too) that wait for it."""
        ...

    @property
    def dependencies(self) -> Mapping[int, tuple[int, ...]]:
        """By task and by each of its dependents: the tasks (loaded too) that it waits for."""
        ...

    @property
    def holds(self) -> Sequence[Hold]:
        """Stretches that count against nobody."""
        ...

    @property
    def answers_until(self) -> int | None:
        """Up to when all answers stored on the bus have been handled; None before anybody said so."""
        ...

    @property
    def rows(self) -> Mapping[Lookup, Sequence[Any]]:
        """Rows of the lookups."""
        ...

    def new_id(self, table: str) -> int:
        """Draw the next id of `assignments`, `tasks`, `agents` or `escalations`."""
        ...

    def draw(self) -> float:
        """Draw a random number from [0, 1)."""
        ...


class CommandKey(Struct, frozen=True):
    """Under what a command's answer is kept for 24 hours."""

    actor: str
    command_id: str
    digest: bytes  # of the body


class Unit(Struct, frozen=True, kw_only=True):
    """One delivery's work: loaded, decided and written in one transaction with its neighbours."""

    key: str  # for logs and dead letters
    needs: Needs
    decide: Callable[[View, int], Changes]  # raises RollcallError to refuse
    actor: str = "rollcall"
    command: CommandKey | None = None
    refusals: tuple[str, str] | None = None  # (aggregate, id) under which refusals are put on record
    reads_only: bool = False
    due: bool = False  # it was claimed: a refusal has nobody to hear it, and is a failure as any other


class Claim(Struct, frozen=True, kw_only=True):
    """Due rows taken in one statement, each decided and written in the same transaction."""

    query: str  # an UPDATE … RETURNING of `rows`, given :now, :limit and `params`
    rows: str  # assignments, tasks or agents
    decide: Callable[[View, int, int], Changes]  # (view, the row's id, now)
    needs: Needs = Needs()
    params: tuple[tuple[str, object], ...] = ()
    limit: int = 500

    def unit(self, row: int) -> Unit:
        """Return the unit of a due row: the same with its neighbours as when it is tried again alone."""
        match self.rows:
            case "assignments":
                needs = structs.replace(self.needs, assignments=(*self.needs.assignments, row))
            case "tasks":
                needs = structs.replace(self.needs, tasks=(*self.needs.tasks, row))
            case _:
                needs = structs.replace(self.needs, agent_ids=(*self.needs.agent_ids, row))
        return Unit(
            key=f"{self.rows}:{row}",
            needs=needs,
            decide=lambda view, now: self.decide(view, row, now),
            due=True,
        )


class Committed(Struct, frozen=True, kw_only=True):
    """The outcome of one unit: it is durable, or refused for good under its command id."""

    answer: bytes = b"{}"
    problem: Problem | None = None
    posts: tuple[Post, ...] = ()
    casts: tuple[Cast, ...] = ()
    wakes: frozenset[str] = frozenset()
    repeated: bool = False  # the stored answer of an earlier try


class Failed(Struct, frozen=True, kw_only=True):
    """A unit or claimed row whose decision or write threw; nothing of it was written."""

    key: str
    error: Exception
    row: int | None = None  # of a claim
    rows: str | None = None
    version: int | None = None  # of the row as it was claimed


class Stamp(Struct, frozen=True, kw_only=True):
    """A process says that it lives, and on which server its bus is."""

    process: str
    service: str
    now: int
    server: str | None  # the server's instance, "" if it has not said so; None: this process has no live bus
    away: bool = False  # the bus was away since the last stamp of this process that was written
    gap_us: int = 0  # a longer gap in everybody's stamps may be a hold
    vitals: bytes | None = None  # how its services are, as JSON; None: what was said before stands


class StoreFaultError(Exception):
    """The store cannot do its work now (locked, full, gone); nothing was written, no message is to blame."""


class Ledger(Protocol):
    """What the runtime asks of a store. Every method may raise StoreFaultError; then nothing was written."""

    async def run(self, units: Sequence[Unit], now: int) -> list[Committed | Failed]:
        """Do the units in order in one transaction (those that only read: on a read connection)."""
        ...

    async def claim(self, claim: Claim, now: int) -> list[Committed | Failed]:
        """Do what is due in one transaction; fewer results than the limit: nothing more is due."""
        ...

    async def confirm(self, posts: Sequence[Post], now: int) -> Sequence[Post]:
        """Delete outbox rows that the bus has confirmed, each at the version that was sent.

        Returns those of a slot that had a newer word meanwhile, which may have been sent before this one.
        """
        ...

    async def restate(self, posts: Sequence[Post], now: int) -> None:
        """Let the mailbox be told again what holds for the assignments of these posts."""
        ...

    async def bury(self, post: Post, letter: DeadLetter | None, now: int) -> Committed:
        """Put a letter in the place of an outbox row that the bus refuses for good, and say so."""
        ...

    async def unsent(self, older_than: int, limit: int) -> list[Post]:
        """Return outbox rows created before `older_than`, oldest first."""
        ...

    async def current(self, posts: Sequence[Post]) -> list[Post]:
        """Return those of the posts that still stand in the outbox at the same version."""
        ...

    async def due_at(self, query: str) -> int | None:
        """Return the earliest due instant by a named query."""
        ...

    async def quarantine(self, row: Failed, now: int) -> Committed:
        """Take a row whose decision throws out of the due columns, with reason, dead letter and event.

        A row that changed since it was claimed is left: another decision may be right for what it is now.
        """
        ...

    async def begin_refill(self, born: str) -> None:
        """Note when the stream of events was created; an unknown one has to be filled from the audit."""
        ...

    async def refill_page(self, limit: int) -> tuple[list[Post], int] | None:
        """Return the next events to publish again and the number of the last; None when there are none."""
        ...

    async def refilled(self, until: int) -> None:
        """Say up to which number the events have been published again."""
        ...

    async def stamp(self, stamp: Stamp) -> None:
        """Say that this process lives; a gap in which agents could perhaps not answer becomes a hold."""
        ...

    async def vitals(self, process: str, vitals: bytes, now: int) -> None:
        """Say how the services of a process are, and nothing of its bus; one never stamped says nothing."""
        ...

    async def alarm(self, standing: Sequence[Alarm], now: int) -> Committed:
        """Let exactly these alarms stand; each is announced once when it begins and once when it is over."""
        ...

    async def hold(self, hold: Hold) -> None:
        """Let a stretch of time count against nobody."""
        ...

    async def answered(self, until: int, stamp: Stamp) -> None:
        """Say up to when the answers on the bus have been handled; stamps first, in the same transaction."""
        ...

    async def forget(self, table: str, before: int, limit: int) -> int:
        """Delete at most `limit` rows of `table` older than `before`; return how many went."""
        ...

    async def checkpoint(self) -> None:
        """Fold the write-ahead log into the store's file."""
        ...

    async def release(self, table: str, row: int, now: int) -> Committed:
        """Put a quarantined row back to work."""
        ...
