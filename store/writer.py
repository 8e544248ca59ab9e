"""What units decided, as statements in an order that the schema allows."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import ne
from typing import Any

from msgspec import UNSET, Struct, structs

from contracts.codec import encode
from contracts.events import event_post
from contracts.records import AuditRow
from contracts.work import Changes, Fact, Post, Unit
from store.doubts import doubt
from store.rows import CommandRow, binder, columns
from store.sql import Query, narrowed
from store.statements import Course, Fetch, Write, exactly, listed
from store.view import Life
from store.working_set import WorkingSet

# Tables in the order in which they refer to each other, and the name of one of their records.
_RECORDS = {
    "agents": "agent",
    "policies": "policy",
    "tasks": "task",
    "escalations": "escalation",
    "assignments": "assignment",
    "machines": "machine",
    "brakes": "brake",
}
_ADDED = (
    "insert_step",
    "insert_ping",
    "insert_comment",
    "insert_notice",
    "insert_command",
    "insert_audit",
)


Binder = Callable[[Any], tuple[Any, ...]]


class Standing(Struct):
    """A post of this transaction; it is replaced when a later unit writes the same slot."""

    post: Post
    replaced: bool = False


class Prepared(Struct, frozen=True, kw_only=True):
    """A unit's changes, with all that could throw done."""

    changes: Changes
    answer: bytes
    rows: tuple[tuple[str, tuple[Any, ...]], ...]
    audit: tuple[AuditRow, ...]
    events: tuple[Post, ...]


class Writer:
    """Collects what the units of one transaction want written, and writes it."""

    def __init__(self, catalogue: Mapping[str, Query], rows: WorkingSet, life: Life) -> None:
        """Start with nothing to write."""
        self._queries = catalogue
        self._set = rows
        self._life = life
        self._bind: dict[str, Binder] = _binders(catalogue)
        self._added: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _ADDED}
        self._dependencies: list[tuple[int, int]] = []
        self._posts: list[Standing] = []
        self._slots: dict[str, Standing] = {}  # of the whole transaction
        self._waiting: dict[str, Standing] = {}  # of these not written yet
        self._meta: dict[str, str] = {}
        self.dirty = False

    def prepare(self, unit: Unit, changes: Changes, now: int) -> Prepared:
        """Do all that can throw, without leaving a trace: bodies, audit rows, events."""
        last = self._life.last_ids.get("audit", 0)
        cause = unit.command.command_id if unit.command else None
        audit = tuple(
            self._audit_row(fact, last + place, cause, now) for place, fact in enumerate(changes.facts, 1)
        )
        return Prepared(
            changes=changes,
            answer=b"{}" if changes.answer is None else encode(changes.answer),
            rows=tuple((row.query, self._bind[row.query](row.record)) for row in changes.rows),
            audit=audit,
            events=tuple(event_post(row) for row in audit),
        )

    def accept(self, prepared: Prepared) -> list[Standing]:
        """Take a unit's changes; nothing here throws but a version that has passed."""
        changes, added, bind = prepared.changes, self._added, self._bind
        self._set.accept(changes)
        self.dirty = True
        if changes.frozen is not UNSET:
            self._life.frozen = changes.frozen
            self._meta["frozen"] = encode(changes.frozen).decode()
        added["insert_step"].extend(map(bind["insert_step"], changes.steps))
        added["insert_ping"].extend(map(bind["insert_ping"], changes.pings))
        added["insert_comment"].extend(map(bind["insert_comment"], changes.comments))
        added["insert_notice"].extend(map(bind["insert_notice"], changes.notices))
        for query, row in prepared.rows:
            added.setdefault(query, []).append(row)
        added["insert_audit"].extend(map(bind["insert_audit"], prepared.audit))
        self._dependencies.extend(changes.dependencies)
        if prepared.audit:
            self._life.last_ids["audit"] = prepared.audit[-1].seq
        return [self._stand(post) for post in (*changes.posts, *prepared.events)]

    def answered(self, row: CommandRow) -> None:
        """Keep the answer of a command."""
        self.dirty = True
        self._added["insert_command"].append(self._bind["insert_command"](row))

    def flush(self) -> Course[None]:
        """Write everything; raises StatementError when something of it may not be."""
        self.dirty = False
        for table, one in _RECORDS.items():
            new, changed = self._set.tables[table].changed()
            yield from self._update(f"update_{one}", changed)  # first: a lease ends before another is made
            yield from self._put(f"insert_{one}", [self._bind[f"insert_{one}"](record) for record in new])
        if self._dependencies:
            rows, self._dependencies = [*self._dependencies], []
            yield Write(self._queries["insert_dependency"], rows)
        for name, added in self._added.items():
            self._added[name] = []
            yield from self._put(name, added)
        if self._meta:
            meta, self._meta = self._meta, {}
            yield Write(self._queries["set_meta"], [*meta.items()])
        yield from self._flush_posts()

    def _put(self, name: str, rows: Sequence[tuple[Any, ...]]) -> Course[None]:
        if rows:
            yield from exactly(self._queries[name], rows)

    def _update(self, name: str, changed: Sequence[tuple[Any, Any]]) -> Course[None]:
        """Update records at the versions they had, each by a statement that writes only what changed."""
        query = self._queries[name]
        alike: dict[tuple[bool, ...], list[tuple[Any, Any]]] = {}
        for record, before in changed:
            flags = tuple(map(ne, structs.astuple(record), structs.astuple(before)))
            alike.setdefault(flags, []).append((record, before))
        for flags, pairs in alike.items():
            narrow, bind = _narrowed(query, flags)
            yield from exactly(narrow, [(*bind(record), before.version) for record, before in pairs])

    def _flush_posts(self) -> Course[None]:
        updates: list[tuple[Any, ...]] = []
        if self._waiting:
            slots, self._waiting = self._waiting, {}
            standing = yield Fetch(self._queries["load_slots"], listed(list(slots)))
            yield from doubt(self._queries, [row[3:] for row in standing], self._life.now)
            for slot, post_id, version, *_ in standing:
                found = slots.pop(slot)
                found.post = structs.replace(found.post, id=post_id, version=version + 1)
                updates.append((*self._bind["update_post"](found.post), version))
            self._posts.extend(slots.values())
        yield from self._put("update_post", updates)
        posts, self._posts = self._posts, []
        for found in posts:
            found.post = structs.replace(found.post, id=self._life.next_id("outbox"), version=1)
        bind = self._bind["insert_post"]
        yield from self._put("insert_post", [bind(found.post) for found in posts])

    def _audit_row(self, fact: Fact, seq: int, cause: str | None, now: int) -> AuditRow:
        return AuditRow(
            seq=seq,
            at=now,
            actor=fact.actor,
            aggregate=fact.aggregate,
            aggregate_id=fact.id,
            event=fact.event,
            aggregate_version=fact.version,
            cause=fact.cause or cause,
            incarnation=self._life.incarnation,
            data=encode(fact.data),
        )

    def _stand(self, post: Post) -> Standing:
        standing = Standing(post)
        if post.slot is None:
            self._posts.append(standing)
        else:
            before = self._slots.get(post.slot)
            if before is not None:
                before.replaced = True
            self._slots[post.slot] = self._waiting[post.slot] = standing
        return standing


def posts_of(standing: Sequence[Standing]) -> tuple[Post, ...]:
    """Return those posts that stand at the end of the transaction."""
    return tuple(found.post for found in standing if not found.replaced)


@cache
def _narrowed(query: Query, changed: tuple[bool, ...]) -> tuple[Query, Binder]:
    """Return the update of these fields of its record, and what takes their values out of one."""
    if query.source is None:
        raise TypeError(f"{query.name} takes no record")
    fields = zip(columns(query.source), changed, strict=True)
    narrow = narrowed(query, [name for name, differs in fields if differs])
    return narrow, binder(query.source, [param for param in narrow.params if param != "expected"])


_bound: dict[int, dict[str, Binder]] = {}


def _binders(catalogue: Mapping[str, Query]) -> dict[str, Binder]:
    """Return what takes each writing query's parameters out of a record, all but `expected`."""
    found = _bound.get(id(catalogue))
    if found is None:
        found = _bound[id(catalogue)] = {
            name: binder(query.source, [param for param in query.params if param != "expected"])
            for name, query in catalogue.items()
            if query.source is not None
        }
    return found
