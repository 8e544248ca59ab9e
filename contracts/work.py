"""Units of work: what a service asks of the store, what a decision may see and change, what comes back.

A service never awaits inside a transaction. It names keys (`Needs`); the store loads them, calls the pure
decision, writes what it returns with expected versions, commits, and only then are replies and posts sent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import UNSET, Struct, UnsetType, structs

from contracts.errors import Problem
from contracts.records import (
    Agent,
    Assignment,
    Brake,
    Comment,
    Escalation,
    Frozen,
    Hold,
    Machine,
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

    aggregate: str  # task, assignment, agent, machine, brake, policy, system
    id: str
    event: str  # past tense
    version: int  # of the aggregate after the change
    actor: str  # agent:<name>, operator:<name> or rollcall:<service>
    cause: str | None = None
    data: Mapping[str, Any] = {}


class Row(Struct, frozen=True):
    """A row of a table that is not kept in memory: the named query writes it, and must touch just one.

    An update of `{changes}` finds its row at `version = :version - 1`: one that has passed fails.
    """

    query: str
    record: Struct


class Changes(Struct, frozen=True, kw_only=True):
    """What a decision wants written; records of version 0 are inserted, others updated at their version."""

    agents: tuple[Agent, ...] = ()
    tasks: tuple[Task, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    policies: tuple[Policy, ...] = ()
    machines: tuple[Machine, ...] = ()
    brakes: tuple[Brake, ...] = ()
    frozen: Frozen | UnsetType | None = UNSET  # None: thawed
    steps: tuple[StepRow, ...] = ()
    pings: tuple[PingRow, ...] = ()
    comments: tuple[Comment, ...] = ()
    notices: tuple[NoticeRow, ...] = ()
    rows: tuple[Row, ...] = ()
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
    machines: tuple[str, ...] = ()
    machine_ids: tuple[int, ...] = ()
    hosts: bool = False  # the machines of the loaded agents
    brakes: bool = False  # every brake that is on
    leases: bool = False  # the open assignments (with company) of the named agents
    policies: tuple[str, ...] = ()
    candidates: bool = False  # every active agent that could take work, and the main agents
    excluded: bool = False  # who may not have the loaded tasks again in this round
    dependents: bool = False  # the tasks that wait for the named ones, and what all of these wait for
    clocks: bool = False  # holds and answers_until
    alone: bool = False  # no company but an assignment's task: for what is done by the thousand
    lookups: tuple[Lookup, ...] = ()  # each sees what earlier units of the transaction did
    shared: tuple[Lookup, ...] = ()  # asked once for the transaction, as it begins


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
    def machines(self) -> Mapping[str, Machine]:
        """Loaded machines by name in lower case."""
        ...

    @property
    def brakes(self) -> Mapping[int, Brake]:
        """The brakes that were on when the transaction began, and those that were put on in it, by id."""
        ...

    @property
    def frozen(self) -> Frozen | None:
        """Why nothing new is offered anywhere; None while it is."""
        ...

    @property
    def health(self) -> int:
        """How ill whoever judges silence is himself: 0 (well) to 7."""
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
        """Draw the next id of a table that has such ids (store.view.DRAWN)."""
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
    rows: str  # assignments, tasks, agents, machines, brakes, or a table with a `row_query`
    decide: Callable[[View, int, int], Changes]  # (view, the row's id, now)
    needs: Needs = Needs()
    params: tuple[tuple[str, object], ...] = ()
    limit: int = 500
    row_query: str = ""  # what reads a row by its :id where the store does not keep them; see `row`

    def row(self, row: int) -> Lookup:
        """Return under what a decision finds its row in `View.rows`."""
        return Lookup(query=self.row_query, params=(("id", row),))

    def unit(self, row: int) -> Unit:
        """Return the unit of a due row: the same with its neighbours as when it is tried again alone."""
        match self.rows:
            case "assignments":
                needs = structs.replace(self.needs, assignments=(*self.needs.assignments, row))
            case "tasks":
                needs = structs.replace(self.needs, tasks=(*self.needs.tasks, row))
            case "machines":
                needs = structs.replace(self.needs, machine_ids=(*self.needs.machine_ids, row))
            case "brakes":
                needs = structs.replace(self.needs, brakes=True)
            case _ if self.row_query:
                needs = structs.replace(self.needs, lookups=(*self.needs.lookups, self.row(row)))
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
