"""The course of a transaction over units: load, decide each in order, write, whatever the engine."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct, structs

from contracts.codec import encode
from contracts.errors import IdempotencyMismatchError, Problem, RollcallError
from contracts.records import Frozen
from contracts.work import Changes, Claim, Committed, Fact, Failed, Lookup, Unit
from store.errors import StatementError
from store.rows import CommandRow, columns, reader
from store.sql import Query
from store.statements import Course, Fetch, Mark, bound, listed
from store.view import Life, Rng, UnitView
from store.working_set import WorkingSet
from store.writer import Standing, Writer, posts_of

log = structlog.get_logger(__name__)

Catalogue = Mapping[str, Query]
Outcome = Committed | Failed

_WRITTEN = tuple(
    name for name in Changes.__struct_fields__ if name not in {"answer", "casts", "wakes"}
)  # what a unit that only reads may not return
_LATE = 2**62  # sorts after every instant
STEP_BACK_US = 10_000_000  # above what a transaction waits for its turn; below what a clock is set back by


class _Done(Struct):
    """A unit's outcome, and its posts, whose ids are known when they are written."""

    outcome: Outcome
    standing: list[Standing] = []


class Batch:
    """Units of one transaction."""

    def __init__(self, catalogue: Catalogue, life: Life) -> None:
        """Start with nothing loaded."""
        self._queries = catalogue
        self._life = life
        self._now = life.now
        self._set = WorkingSet(catalogue)
        self._writer = Writer(catalogue, self._set, life)
        self._shared: dict[Lookup, Sequence[Any]] = {}
        self._commands: dict[tuple[str, str], CommandRow] = {}

    def write(
        self, units: Sequence[Unit], claimed: Sequence[Sequence[Any]] = (), table: str = ""
    ) -> Course[list[Outcome]]:
        """Do the units; raises StatementError when something of them may not be written.

        `claimed` are rows of `table` that need not be loaded again.
        """
        self._set.alone = all(unit.needs.alone for unit in units)
        self._set.hosts = any(unit.needs.hosts for unit in units)
        self._set.holdings = any(unit.due and unit.needs.leases for unit in units)
        if claimed:
            self._set.put_claimed(table, claimed)
        yield from self._load_commands(units)
        yield from self._load(units)
        done: list[_Done] = []
        for unit in units:
            lookups: dict[Lookup, Sequence[Any]] = {}
            if unit.needs.lookups and self._writer.dirty:
                yield from self._writer.flush()  # a lookup sees what earlier units did
            missing = yield from self._look_up(unit, lookups)
            yield from self._set.load()
            done.append(_Done(missing) if missing else self._step(unit, lookups))
        yield from self._writer.flush()
        return [_with_posts(found) for found in done]

    def read(self, units: Sequence[Unit]) -> Course[list[Outcome]]:
        """Do units that only read."""
        self._set.alone = all(unit.needs.alone for unit in units)
        self._set.hosts = any(unit.needs.hosts for unit in units)
        yield from self._load(units)
        outcomes: list[Outcome] = []
        for unit in units:
            lookups: dict[Lookup, Sequence[Any]] = {}
            missing = yield from self._look_up(unit, lookups)
            outcomes.append(missing or self._read(unit, lookups))
        return outcomes

    def _load(self, units: Sequence[Unit]) -> Course[None]:
        for unit in units:
            self._set.want_needs(unit.needs)
        if any(unit.needs.clocks for unit in units):
            rows = yield Fetch(self._queries["list_holds"])
            self._life.holds = records(self._queries["list_holds"], rows)
        if any(unit.needs.candidates for unit in units):
            yield from self._set.load_candidates()
        if any(unit.needs.brakes for unit in units):
            yield from self._set.load_brakes()
        for lookup in {lookup: None for unit in units for lookup in unit.needs.shared}:
            self._shared[lookup] = yield from self._found(lookup)
        yield from self._set.load()

    def _load_commands(self, units: Sequence[Unit]) -> Course[None]:
        keys = [(unit.command.actor, unit.command.command_id) for unit in units if unit.command]
        if keys:
            query = self._queries["load_commands"]
            rows = yield Fetch(query, listed(keys))
            for row in records(query, rows):
                self._commands[row.actor, row.command_id] = row

    def _look_up(self, unit: Unit, into: dict[Lookup, Sequence[Any]]) -> Course[Failed | None]:
        into.update((lookup, self._shared[lookup]) for lookup in unit.needs.shared)
        for lookup in unit.needs.lookups:
            try:
                into[lookup] = yield from self._found(lookup)
            except (KeyError, ValueError) as error:
                return Failed(key=unit.key, error=error)
        return None

    def _found(self, lookup: Lookup) -> Course[list[Any]]:
        query = self._queries[lookup.query]
        if not query.text.startswith("SELECT"):
            raise ValueError(f"{lookup.query} is no lookup")
        rows = yield Fetch(query, bound(query, dict(lookup.params)))
        return records(query, rows)

    def _step(self, unit: Unit, lookups: Mapping[Lookup, Sequence[Any]]) -> _Done:
        try:
            if unit.command is not None:
                before = self._commands.get((unit.command.actor, unit.command.command_id))
                if before is not None:
                    return _Done(_repeated(before, unit.command.digest))
            return self._decide(unit, lookups)
        except Exception as error:  # noqa: BLE001 - whatever a decision throws is its own unit's failure
            return _Done(Failed(key=unit.key, error=error))

    def _decide(self, unit: Unit, lookups: Mapping[Lookup, Sequence[Any]]) -> _Done:
        problem: Problem | None = None
        try:
            view = UnitView(self._set, self._life, unit.needs, lookups)
            changes = unit.decide(view, self._now)
        except RollcallError as error:
            if unit.due:
                raise
            problem = error.problem()
            changes = self._refusal(unit, problem)
        prepared = self._writer.prepare(unit, changes, self._now)
        answer = self._answer_row(unit, prepared.answer, problem)
        standing = self._writer.accept(prepared)
        if answer is not None:
            self._writer.answered(answer)
            self._commands[answer.actor, answer.command_id] = answer
        done = Committed(answer=prepared.answer, problem=problem, casts=changes.casts, wakes=changes.wakes)
        return _Done(done, standing)

    def _read(self, unit: Unit, lookups: Mapping[Lookup, Sequence[Any]]) -> Outcome:
        try:
            changes = unit.decide(UnitView(self._set, self._life, unit.needs, lookups), self._now)
            written = [name for name in _WRITTEN if getattr(changes, name)]
            if written:
                raise TypeError(f"only reads, but returned {', '.join(written)}")  # noqa: TRY301 - its own fault
            answer = b"{}" if changes.answer is None else encode(changes.answer)
            return Committed(answer=answer, casts=changes.casts, wakes=changes.wakes)
        except RollcallError as error:
            return Committed(problem=error.problem())
        except Exception as error:  # noqa: BLE001 - as in _step
            return Failed(key=unit.key, error=error)

    def _refusal(self, unit: Unit, problem: Problem) -> Changes:
        """Return what a refusal leaves behind."""
        if unit.refusals is None:
            return Changes()
        aggregate, identity = unit.refusals
        found = self._current(aggregate, identity)
        refused = Fact(
            aggregate=aggregate,
            id=identity,
            event="refused",
            version=0 if found is None else found.version,
            actor=unit.actor,
            data={"code": problem.code, "detail": problem.detail},
        )
        return Changes(facts=(refused,))

    def _current(self, aggregate: str, identity: str) -> Any:
        match aggregate:
            case "assignment" if identity.isdigit():
                return self._set.assignments.get(int(identity))
            case "task" if identity.isdigit():
                return self._set.tasks.get(int(identity))
            case "agent":
                return self._set.agents.get(identity.lower())
            case _:
                return None

    def _answer_row(self, unit: Unit, answer: bytes, problem: Problem | None) -> CommandRow | None:
        if unit.command is None or (problem is not None and problem.retryable):
            return None
        return CommandRow(
            actor=unit.command.actor,
            command_id=unit.command.command_id,
            digest=unit.command.digest,
            answer=answer,
            problem=None if problem is None else encode(problem),
            created_at=self._now,
        )


def load_life(catalogue: Catalogue, rng: Rng, now: int) -> Course[Life]:
    """Load what the store knows about itself, and the numbers it has drawn; `now` as in `look_life`."""
    life = yield from look_life(catalogue, rng, now)
    life.last_ids = dict((yield Fetch(catalogue["sequences"])))
    return life


def look_life(catalogue: Catalogue, rng: Rng, now: int) -> Course[Life]:
    """Load what the store knows about itself; `now` is the caller's, from before it had the file.

    Whoever waited for the file may have read its clock before somebody who committed meanwhile. So that the
    order of commits is the order of instants, the later one counts, unless the clock was set back.
    """
    ((last, incarnation, until, frozen),) = yield Fetch(catalogue["life"])
    return Life(
        incarnation=incarnation,
        now=last if last is not None and now < last <= now + STEP_BACK_US else now,
        answers_until=None if until is None else int(until),
        last_ids={},
        rng=rng,
        frozen=None if frozen is None else msgspec.json.decode(frozen, type=Frozen | None),
    )


def transact(
    catalogue: Catalogue,
    units: Sequence[Unit],
    now: int,
    rng: Rng,
    claimed: Sequence[Sequence[Any]] = (),
    table: str = "",
    health: int = 0,
) -> Course[list[Outcome]]:
    """Do the units as one batch; if that may not be written, each alone, so that only the guilty fail."""
    outcomes: list[Outcome] = []
    yield Mark("set", "batch")
    try:
        life = yield from load_life(catalogue, rng, now)
        life.health = health
        outcomes = yield from Batch(catalogue, life).write(units, claimed, table)
    except StatementError as error:
        yield Mark("back", "batch")
        if len(units) == 1:
            outcomes = [Failed(key=units[0].key, error=error)]
        else:
            for unit in units:
                alone = yield from transact(catalogue, [unit], now, rng, health=health)
                outcomes.extend(alone)
    yield Mark("release", "batch")
    return outcomes


def look(catalogue: Catalogue, units: Sequence[Unit], now: int, rng: Rng) -> Course[list[Outcome]]:
    """Do units that only read; one whose lookup the engine refuses fails alone."""
    outcomes: list[Outcome] = []
    try:
        life = yield from look_life(catalogue, rng, now)
        outcomes = yield from Batch(catalogue, life).read(units)
    except StatementError as error:
        if len(units) == 1:
            return [Failed(key=units[0].key, error=error)]
        for unit in units:
            alone = yield from look(catalogue, [unit], now, rng)
            outcomes.extend(alone)
    return outcomes


def take(catalogue: Catalogue, claim: Claim, now: int, rng: Rng) -> Course[list[Outcome]]:
    """Claim what is due and decide it; a row that fails keeps nothing but its claim's version."""
    query = catalogue[claim.query]
    life = yield from load_life(catalogue, rng, now)
    given = {"now": life.now, "limit": claim.limit, "until": life.answers_until, **dict(claim.params)}
    rows: list[Sequence[Any]] = yield Fetch(query, bound(query, given))
    if not rows:
        return []
    order = len(rows[0]) - len(columns(query.record)) if query.record else len(rows[0])
    rows.sort(key=lambda row: _order(row[:order]))
    ids = [row[0] for row in rows]
    units = [claim.unit(row_id) for row_id in ids]
    claimed = [] if claim.row_query else [row[order:] for row in rows]
    health = dict(claim.params).get("health", 0)
    ill = health if isinstance(health, int) else 0
    outcomes = yield from transact(catalogue, units, now, rng, claimed, claim.rows, ill)
    place = -1 if query.record is None else order + columns(query.record).index("version")
    return [
        structs.replace(outcome, row=row[0], rows=claim.rows, version=row[place])
        if isinstance(outcome, Failed)
        else outcome
        for row, outcome in zip(rows, outcomes, strict=True)
    ]


def records(query: Query, rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Return rows as the records the query declares, or as they are; an unreadable one is left out."""
    if query.record is None:
        return list(rows)
    read = _reader_of(query.record)
    found: list[Any] = []
    for row in rows:
        try:
            found.append(read(row))
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            log.warning("row.unreadable", query=query.name, reason=str(error))
    return found


_readers: dict[type[Struct], Any] = {}


def _reader_of(kind: type[Struct]) -> Any:
    found = _readers.get(kind)
    if found is None:
        found = _readers[kind] = reader(kind)
    return found


def _order(row: Sequence[Any]) -> tuple[int, ...]:
    """Order claimed rows as the claim did: by what it returns between the id and the record, nothing last."""
    return (*(_LATE if value is None else value for value in row[1:]), row[0])


def _repeated(before: CommandRow, digest: bytes) -> Committed:
    if before.digest != digest:
        return Committed(problem=IdempotencyMismatchError().problem())
    problem = None if before.problem is None else msgspec.json.decode(before.problem, type=Problem)
    return Committed(answer=before.answer, problem=problem, repeated=True)


def _with_posts(done: _Done) -> Outcome:
    if not done.standing or isinstance(done.outcome, Failed):
        return done.outcome
    return structs.replace(done.outcome, posts=posts_of(done.standing))
