"""The rows that a transaction works on, as its earlier units left them.

Keys are wanted, loaded in bulk, and what a loaded row brings along is wanted in turn. Changes are laid over
what was loaded, so that a row is written once however many units changed it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from msgspec import Struct, structs

from contracts.records import NOT_AGAIN, Agent, Assignment, Brake, Escalation, Machine, Policy, Task
from contracts.work import Changes, Needs
from store.errors import VersionConflictError
from store.rows import reader
from store.sql import Query
from store.statements import Course, Fetch, listed

Record = Agent | Task | Assignment | Escalation | Policy | Machine | Brake
Key = int | str

# Loads in the order in which they are asked for; each names the table that its rows go to.
LOADS: dict[str, str] = {
    "load_leases": "assignments",
    "load_assignments": "assignments",
    "load_task_keys": "tasks",
    "load_tasks": "tasks",
    "load_dependents": "",
    "load_dependencies": "",
    "load_relatives": "tasks",
    "load_excluded": "",
    "load_agent_ids": "agents",
    "load_agents": "agents",
    "load_machine_ids": "machines",
    "load_machines": "machines",
    "load_escalations": "escalations",
    "load_policies": "policies",
}
_QUERY_NAMES = {"load_relatives": "load_tasks"}
"""Relatives are tasks that bring no company: else the whole web of dependencies would be loaded."""
_OWN_LOADS = {
    "assignments": "load_assignments",
    "tasks": "load_tasks",
    "agents": "load_agents",
    "escalations": "load_escalations",
    "policies": "load_policies",
    "machines": "load_machines",
}
KEY_PLACES = {
    "assignments": 0,
    "tasks": 0,
    "agents": 1,
    "escalations": 0,
    "policies": 0,
    "machines": 1,
    "brakes": 0,
}  # of the key in a row


NAMED = frozenset({"agents", "machines"})  # rows that stand under their name in lower case


def key_of(table: str, record: Any) -> Key:
    """Return the key under which a record stands."""
    if table in NAMED:
        return str(record.name).lower()
    key: Key = record.name if table == "policies" else record.id
    return key


# What of a record says which others belong to it, and in which side tables it stands.
_RELATIONS = {
    "assignments": attrgetter(
        "agent", "task_id", "round", "offered_by", "wait_who", "escalation_id", "end_reason", "ended_at"
    ),
    "tasks": attrgetter("key", "policy", "assignment_id"),
    "agents": attrgetter("kind", "active", "capacity", "leases", "machine"),
    "escalations": attrgetter("steps"),
    "policies": attrgetter("steps"),
    "machines": attrgetter("name"),
    "brakes": attrgetter("scope"),
}


def _relations(table: str, record: Record) -> Any:
    return _RELATIONS[table](record)


class Table(Struct):
    """The loaded rows of one table, and which of them have to be written."""

    rows: dict[Any, Any]
    broken: dict[Key, Exception]  # rows that are no records
    stored: dict[Key, Any]  # of what was changed: the record in the store, None for a new one

    def changed(self) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """Take the records to insert, and those to update, each with what it was."""
        new: list[Any] = []
        old: list[tuple[Any, Any]] = []
        for key, before in self.stored.items():
            if before is None:
                new.append(self.rows[key])
            else:
                old.append((self.rows[key], before))
        self.stored.clear()
        return new, old


class WorkingSet:
    """See the module."""

    def __init__(self, catalogue: Mapping[str, Query]) -> None:
        """Start empty; `catalogue` are the engine's queries."""
        self._queries = catalogue
        self.alone = False  # of the company of what is loaded, nobody wants more than an assignment's task
        self.holdings = False  # what the agents hold that a claim has taken is wanted
        self.hosts = False  # the machines of whatever agents are loaded are wanted
        self.tables = {name: Table({}, {}, {}) for name in KEY_PLACES}
        self.assignments: dict[int, Assignment] = self.tables["assignments"].rows
        self.tasks: dict[int, Task] = self.tables["tasks"].rows
        self.agents: dict[str, Agent] = self.tables["agents"].rows
        self.escalations: dict[int, Escalation] = self.tables["escalations"].rows
        self.policies: dict[str, Policy] = self.tables["policies"].rows
        self.task_ids: dict[str, int] = {}
        self.brakes: dict[int, Brake] = self.tables["brakes"].rows
        self.names: dict[str, dict[int, str]] = {table: {} for table in NAMED}
        self._broken_ids: dict[str, dict[int, Key]] = {table: {} for table in NAMED}
        self.leases: dict[str, set[int]] = {}  # by agent, where they were asked for
        self.excluded: dict[int, set[tuple[int, str]]] = {}
        self.dependents: dict[int, list[int]] = {}
        self.dependencies: dict[int, list[int]] = {}
        self.candidates: dict[str, Agent] = {}  # once they were asked for: whoever could take work now
        self.main_agents: dict[str, Agent] = {}  # of the candidates
        self._weighing = False
        self._braking = False
        self._asked: dict[str, set[Key]] = {name: set() for name in LOADS}
        self._wanted: dict[str, list[Key]] = {name: [] for name in LOADS}
        self._company_of_tasks: list[str] = []

    def want(self, load: str, keys: Iterable[Key]) -> None:
        """Ask for rows that were not asked for before."""
        asked, wanted = self._asked[load], self._wanted[load]
        for key in keys:
            if key not in asked:
                asked.add(key)
                wanted.append(key)

    def _want_one(self, load: str, key: Key) -> None:
        """Ask for a row as `want` does; this is the path of every record."""
        asked = self._asked[load]
        if key not in asked:
            asked.add(key)
            self._wanted[load].append(key)

    def want_needs(self, needs: Needs) -> None:
        """Ask for what a unit names."""
        names = [name.lower() for name in needs.agents]
        for load, keys in (
            ("load_assignments", needs.assignments),
            ("load_tasks", needs.tasks),
            ("load_task_keys", needs.task_keys),
            ("load_agents", names),
            ("load_agent_ids", needs.agent_ids),
            ("load_policies", needs.policies),
            ("load_machines", [name.lower() for name in needs.machines]),
            ("load_machine_ids", needs.machine_ids),
        ):
            if keys:
                self.want(load, keys)
        if needs.leases:
            self.want("load_leases", names)
        for load, asked in (
            ("load_excluded", needs.excluded),
            ("load_dependents", needs.dependents),
            ("load_dependencies", needs.dependents),
        ):
            if asked and load not in self._company_of_tasks:
                self._company_of_tasks.append(load)
                self.want(load, self.tasks)

    def load(self) -> Course[None]:
        """Load what is wanted, and what that brings along, until nothing is."""
        while any(self._wanted.values()):
            for load, table in LOADS.items():
                keys = self._wanted[load]
                if keys:
                    self._wanted[load] = []
                    rows = yield Fetch(self._queries[_QUERY_NAMES.get(load, load)], listed(keys))
                    self._take(load, table, rows, keys)

    def load_candidates(self) -> Course[None]:
        """Load whoever could take work, once."""
        if not self._weighing:
            self._weighing = True
            rows = yield Fetch(self._queries["load_candidates"])
            self.put_rows("agents", rows)

    def load_brakes(self) -> Course[None]:
        """Load the brakes that are on, once."""
        if not self._braking:
            self._braking = True
            rows = yield Fetch(self._queries["load_brakes"])
            self.put_rows("brakes", rows)

    def raise_broken(self, table: str, identity: int) -> None:
        """Raise what is wrong with the row of this id, if there is one that cannot be read."""
        if identity in self._broken_ids[table]:
            raise self.tables[table].broken[self._broken_ids[table][identity]]

    def accept(self, changes: Changes) -> None:
        """Lay a unit's changes over the rows: all of them, or none when one is not at its version."""
        staged: list[tuple[str, Key, Any, Any]] = []
        for name, changed in (
            ("agents", changes.agents),
            ("tasks", changes.tasks),
            ("assignments", changes.assignments),
            ("escalations", changes.escalations),
            ("policies", changes.policies),
            ("machines", changes.machines),
            ("brakes", changes.brakes),
        ):
            if changed:
                staged += self._stage(name, changed)
        for table, key, seen, _ in staged:
            if table == "tasks" and not seen.version:  # nobody can have known it before
                self._asked["load_excluded"].add(key)
                self._asked["load_dependents"].add(key)
                self._asked["load_dependencies"].add(key)
        for table, key, _, record in staged:
            rows = self.tables[table]
            before = rows.rows.get(key)
            rows.stored.setdefault(key, before)
            rows.rows[key] = record
            if before is None or _relations(table, before) != _relations(table, record):
                self._follow(table, key, record)
            elif table == "agents":
                self._weigh(str(key), record)  # it stands among the candidates as it was
        for task_id, depends_on in changes.dependencies:
            self._wait_for(depends_on, task_id)

    def _wait_for(self, depends_on: int, task_id: int) -> None:
        waiting = self.dependents.setdefault(depends_on, [])
        if task_id not in waiting:
            waiting.append(task_id)
        named = self.dependencies.setdefault(task_id, [])
        if depends_on not in named:
            named.append(depends_on)
        if "load_dependents" in self._company_of_tasks:
            self.want("load_relatives", (depends_on, task_id))

    def _stage(self, table: str, changed: Sequence[Any]) -> Iterator[tuple[str, Key, Any, Any]]:
        rows = self.tables[table].rows
        for record in changed:
            key = key_of(table, record)
            known = rows.get(key)
            at = 0 if known is None else known.version
            if at != record.version:
                raise VersionConflictError(f"{table} {key} was seen at {record.version} and is at {at}")
            yield table, key, record, structs.replace(record, version=record.version + 1)

    def _take(self, load: str, table: str, rows: list[Any], keys: list[Key]) -> None:
        match load:
            case "load_excluded":
                for task_id, round_, agent in rows:
                    self.excluded.setdefault(task_id, set()).add((round_, agent))
            case "load_dependents":
                for depends_on, task_id in rows:
                    self._wait_for(depends_on, task_id)
                    self.want("load_dependencies", (task_id,))
            case "load_dependencies":
                for task_id, depends_on in rows:
                    self._wait_for(depends_on, task_id)
            case "load_agent_ids":
                self.put_claimed(table, rows)
            case "load_relatives":
                self.put_rows(table, rows, follow=False)
            case "load_leases":
                self.put_rows(table, rows)
                for name in keys:  # not the rows: a unit of this transaction may have ended or added leases
                    self.leases[str(name)] = {
                        row.id
                        for row in self.assignments.values()
                        if row.ended_at is None and row.agent.lower() == name
                    }
            case _:
                self.put_rows(table, rows)

    def put_claimed(self, table: str, rows: Sequence[Any]) -> None:
        """Make records of rows that a claim has taken."""
        self.put_rows(table, rows)
        if table == "agents" and self.holdings:
            self.want("load_leases", [str(row[KEY_PLACES[table]]).lower() for row in rows])

    def put_rows(self, table: str, rows: Sequence[Any], *, follow: bool = True) -> None:
        """Make records of rows; one that is none is kept aside and hurts only whoever needs it."""
        read, place, into = _READERS[table], KEY_PLACES[table], self.tables[table]
        for row in rows:
            key = str(row[place]).lower() if table in NAMED else row[place]
            if key in into.rows:  # as a unit of this transaction left it, or as a relative
                if follow:
                    self._follow(table, key, into.rows[key])
                continue
            try:
                record = read(row)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the row
                into.broken[key] = error
                if table in NAMED:
                    self._broken_ids[table][row[0]] = key
                continue
            into.rows[key] = record
            if follow:
                self._follow(table, key, record)

    def _follow(self, table: str, key: Key, record: Any) -> None:
        """Keep the side tables true, and want what the record brings along."""
        if table in _OWN_LOADS:
            self._asked[_OWN_LOADS[table]].add(key)
        match table:
            case "assignments":
                self._follow_assignment(record)
            case "tasks":
                if record.key is not None:
                    self.task_ids[record.key] = record.id
                if self.alone:
                    return
                self._want_one("load_policies", record.policy)
                if record.assignment_id is not None:
                    self._want_one("load_assignments", record.assignment_id)
                for load in self._company_of_tasks:
                    self._want_one(load, record.id)
            case "escalations" | "policies":
                told = (step.who for step in record.steps)
                self.want("load_agents", (who.lower() for who in told if who is not None))
            case "machines":
                self.names[table][record.id] = str(key)
            case "agents":
                self.names[table][record.id] = str(key)
                self._weigh(str(key), record)
                if self.hosts and record.machine is not None:
                    self._want_one("load_machines", record.machine.lower())
            case _:
                pass  # brakes bring nobody along

    def _follow_assignment(self, record: Assignment) -> None:
        self._want_one("load_tasks", record.task_id)
        name = record.agent.lower()
        if not self.alone:
            self._want_one("load_agents", name)
            if record.offered_by is not None:
                self._want_one("load_agents", record.offered_by.lower())
            if record.wait_who is not None:
                self._want_one("load_agents", record.wait_who.lower())
            if record.escalation_id is not None:
                self._want_one("load_escalations", record.escalation_id)
        if record.end_reason in NOT_AGAIN:
            self.excluded.setdefault(record.task_id, set()).add((record.round, record.agent))
        held = self.leases.get(name)
        if held is not None:
            (held.discard if record.ended_at is not None else held.add)(record.id)

    def _weigh(self, name: str, agent: Agent) -> None:
        """Count an agent among the candidates or not, as it stands now."""
        if not self._weighing:
            return
        main = agent.kind == "main_agent"
        for among, counts in (
            (self.candidates, main or agent.leases < agent.capacity),
            (self.main_agents, main),
        ):
            if agent.active and counts:
                among[name] = agent
            else:
                among.pop(name, None)


_READERS = {
    "assignments": reader(Assignment),
    "tasks": reader(Task),
    "agents": reader(Agent),
    "escalations": reader(Escalation),
    "policies": reader(Policy),
    "machines": reader(Machine),
    "brakes": reader(Brake),
}
