"""Courses of the small transactions around the units: confirming, stamping, quarantine, forgetting."""

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from contracts import subjects
from contracts.codec import decode, encode, instant
from contracts.events import event_post
from contracts.messages import DeadLetter, Withdrawn
from contracts.records import AuditRow, Hold
from contracts.work import Changes, Committed, Fact, Failed, Needs, Post, Stamp, Unit
from store.batch import Catalogue, load_life, records
from store.doubts import doubt
from store.statements import Course, Fetch, Write, bound, listed
from store.view import Life, Rng
from store.working_set import WorkingSet
from store.writer import Writer, posts_of

FORGOTTEN: Final = frozenset(
    {"commands", "pings", "audit", "intake", "notices", "reminders", "processes", "holds", "deliveries"}
    | {"notifications", "sends", "tokens", "credentials"}
)
AGGREGATES: Final = {
    "assignments": "assignment",
    "tasks": "task",
    "agents": "agent",
    "machines": "machine",
    "brakes": "brake",
    "reminders": "reminder",
    "deliveries": "delivery",
}
_WAKES: Final = {
    "assignments": frozenset({"pinger", "escalator"}),
    "tasks": frozenset({"assigner"}),
    "agents": frozenset({"monitor"}),
    "machines": frozenset({"monitor"}),
    "brakes": frozenset({"monitor"}),
    "reminders": frozenset({"assigner"}),
    "deliveries": frozenset({"courier"}),
}
_ACTOR: Final = "rollcall:store"
_REASON_CHARS_MAX: Final = 500
_TRIES: Final = 2  # with its neighbours, and alone


def confirm(catalogue: Catalogue, posts: Sequence[Post], now: int) -> Course[list[Post]]:
    """Delete posts at the versions that were sent; one that was replaced meanwhile stays.

    Returns those that were replaced. One that somebody else has confirmed at this very version was not: of a
    ping the history tells; of a withdrawal nobody does, and it is taken for replaced: `restate` sees that
    it says what holds. That a mailbox has to be asked about a ping is on record, should the asker be killed.
    """
    slots = [post for post in posts if post.slot is not None]
    replaced: list[Post] = []
    if slots:
        standing_ = yield from standing(catalogue, slots)
        if len(standing_) < len(slots):
            replaced = yield from _replaced(catalogue, slots, standing_)
            words = [(post.assignment_id, post.attempt, post.subject, post.message_id) for post in replaced]
            yield from doubt(catalogue, words, now)
    yield Write(catalogue["delete_post"], [(post.id, post.version) for post in posts])
    pings = [(now, post.assignment_id, post.attempt) for post in posts if post.attempt is not None]
    if pings:
        yield Write(catalogue["ping_published"], pings)
    return replaced


def _replaced(catalogue: Catalogue, slots: Sequence[Post], standing_: Sequence[Post]) -> Course[list[Post]]:
    stands = {post.id for post in standing_}
    gone = [post for post in slots if post.id not in stands]
    keys = [(post.assignment_id, post.attempt) for post in gone if post.attempt is not None]
    rows = yield Fetch(catalogue["published_pings"], listed(keys))
    published = {(assignment_id, attempt) for assignment_id, attempt in rows}
    return [post for post in gone if (post.assignment_id, post.attempt) not in published]


def restate(catalogue: Catalogue, posts: Sequence[Post], now: int) -> Course[None]:
    """Mark assignments whose mailbox may hold one of these words last, where another is the newest."""
    query = catalogue["mark_restates"]
    yield Write(query, [bound(query, {"now": now, **_said(post)}) for post in posts])


def _said(post: Post) -> dict[str, object]:
    """Return what a word of a mailbox says: which attempt asks, or how an assignment that owes nothing is."""
    said: dict[str, object] = {"assignment_id": post.assignment_id, "attempt": post.attempt or 0}
    if post.attempt is not None:
        return said | {"status": "", "end_reason": ""}
    withdrawn = decode(post.body, Withdrawn, bytes_max=len(post.body))
    return said | {"status": withdrawn.status, "end_reason": withdrawn.end_reason or ""}


def standing(catalogue: Catalogue, posts: Sequence[Post]) -> Course[list[Post]]:
    """Return those posts that stand at their versions."""
    rows = yield Fetch(catalogue["standing_posts"], listed([post.id for post in posts]))
    versions: dict[int, int] = dict(rows)
    return [post for post in posts if versions.get(post.id) == post.version]


def stamp(catalogue: Catalogue, stamp: Stamp) -> Course[None]:
    """Write a process's stamp; the gap before it becomes a hold unless agents could answer all the time."""
    if stamp.server is not None:
        yield from _close_gap(catalogue, stamp, stamp.server)
    row = {
        "id": stamp.process,
        "service": stamp.service,
        "now": stamp.now,
        "bus_ok_at": None if stamp.server is None else stamp.now,
        "server": stamp.server or None,
    }
    yield Write(catalogue["stamp_process"], [bound(catalogue["stamp_process"], row)])
    if stamp.vitals is not None:
        yield from vitals(catalogue, stamp.process, stamp.vitals, stamp.now)


def vitals(catalogue: Catalogue, process: str, said: bytes, now: int) -> Course[None]:
    """Write how the services of a process are."""
    row = {"id": process, "vitals": said, "now": now}
    yield Write(catalogue["note_vitals"], [bound(catalogue["note_vitals"], row)])


def _close_gap(catalogue: Catalogue, stamp: Stamp, server: str) -> Course[None]:
    """Judge the time since anybody had a live bus.

    Agents could answer in it when the bus that is here now was here before, and nobody of ours lived in
    between who missed it: the services were away, and answers were kept. Else the bus may have been.
    """
    query = catalogue["newest_stamps"]
    ((live_at, alive_at, same),) = yield Fetch(query, bound(query, {"server": server}))
    if live_at is None:
        return
    if max(live_at, alive_at) > stamp.now:  # the clock stepped back: what was before it was just now
        yield Write(catalogue["clamp_stamps"], [bound(catalogue["clamp_stamps"], {"now": stamp.now})])
    could_answer = same and not stamp.away and alive_at <= live_at
    if stamp.now - live_at > stamp.gap_us and not could_answer:
        yield from hold(catalogue, Hold(start_at=live_at, end_at=stamp.now))


def hold(catalogue: Catalogue, hold: Hold) -> Course[None]:
    """Write a stretch that counts against nobody."""
    yield Write(catalogue["insert_hold"], [(hold.start_at, hold.end_at)])


def answered(catalogue: Catalogue, until: int, stamped: Stamp) -> Course[None]:
    """Write up to when the answers have been handled, after the stamp.

    Who moves `answers_until` over an outage lets deadlines in it be judged: the hold must stand by then, and
    no order of independent loops, let alone of processes, would promise that.
    """
    yield from stamp(catalogue, stamped)
    row = {"key": "answers_until", "value": str(until)}
    yield Write(catalogue["set_meta"], [bound(catalogue["set_meta"], row)])


def begin_refill(catalogue: Catalogue, born: str) -> Course[None]:
    """Write that all events so far are to be published again; later ones go their usual way.

    The birth of the stream stands in the same transaction: who makes a stream may die before it is here.
    """
    noted = dict((yield Fetch(catalogue["get_meta"])))
    if noted.get("events_born") == born:
        return
    last = yield Fetch(catalogue["last_audit"])
    until = str(last[0][0] if last else 0)
    yield Write(
        catalogue["set_meta"], [("refill_after", "0"), ("refill_until", until), ("events_born", born)]
    )


def note_refill(catalogue: Catalogue, after: int) -> Course[None]:
    """Write up to which number the events have been published again."""
    yield Write(catalogue["set_meta"], [("refill_after", str(after))])


def refill_page(catalogue: Catalogue, limit: int) -> Course[tuple[list[Post], int] | None]:
    """Return the next events of a refill, if one goes on."""
    noted = dict((yield Fetch(catalogue["get_meta"])))
    if "refill_after" not in noted:
        return None
    after, until = int(noted["refill_after"]), int(noted.get("refill_until", "0"))
    query = catalogue["audit_page"]
    rows = yield Fetch(query, bound(query, {"after": after, "limit": limit}))
    found: list[AuditRow] = [row for row in records(query, rows) if row.seq <= until]
    return [event_post(row) for row in found], found[-1].seq if found else after


def end_refill(catalogue: Catalogue) -> Course[None]:
    """Write that no refill goes on, unless another has begun meanwhile."""
    page = yield from refill_page(catalogue, 1)
    if page is not None and not page[0]:
        yield Write(catalogue["end_refill"], [()])


def forget(catalogue: Catalogue, table: str, before: int, limit: int) -> Course[int]:
    """Delete a piece of what is old."""
    query = catalogue[f"forget_{table}"]
    gone: int = yield Write(query, [bound(query, {"before": before, "limit": limit})])
    return gone


def quarantine(catalogue: Catalogue, failed: Failed, now: int, rng: Rng) -> Course[Committed]:
    """Take a row out of its due columns, and say so in the audit and in a dead letter."""
    table = failed.rows or ""
    reason = f"{type(failed.error).__name__}: {failed.error}"[:_REASON_CHARS_MAX]
    letter = DeadLetter(
        source="row",
        stream=table,
        consumer="",
        subject=f"{table}.{failed.row}",
        reason=reason,
        tries=_TRIES,
        at=instant(now),
        row=failed.row,
    )
    query = catalogue[f"quarantine_{table}"]
    rows = yield Fetch(query, bound(query, {"id": failed.row, "version": failed.version, "reason": reason}))
    if not rows:
        return Committed()
    identity, version = rows[0]
    life = yield from load_life(catalogue, rng, now)
    post = Post(
        stream="DLQ",
        subject=subjects.dead_letter("rows", table),
        message_id=f"dlq:{life.incarnation}:{table}:{identity}:{version}",
        body=encode(letter),
        created_at=now,
    )
    fact = _fact(AGGREGATES[table], identity, "quarantined", version, reason=reason)
    return (yield from _state(catalogue, life, fact, post))


def bury(
    catalogue: Catalogue, post: Post, letter: DeadLetter | None, now: int, rng: Rng
) -> Course[Committed]:
    """Delete a post that no try will get through; if there is a letter, it takes its place."""
    gone: int = yield Write(catalogue["delete_post"], [(post.id, post.version)])
    if not gone:
        return Committed()  # replaced or buried meanwhile
    life = yield from load_life(catalogue, rng, now)
    posts: tuple[Post, ...] = ()
    reason = "its dead letter was refused too"
    if letter is not None:
        reason = letter.reason[:_REASON_CHARS_MAX]
        stands_for = Post(
            stream="DLQ",
            subject=subjects.dead_letter(letter.stream, letter.consumer),
            message_id=f"dlq:{life.incarnation}:outbox:{post.id}:{post.version}",
            body=encode(letter),
            created_at=now,
        )
        posts = (stands_for,)
    fact = _fact("system", "outbox", "post_refused", 0, subject=post.subject, reason=reason)
    return (yield from _state(catalogue, life, fact, *posts))


def release(catalogue: Catalogue, table: str, row: int, now: int, rng: Rng) -> Course[Committed]:
    """Put a quarantined row back into its due columns, now."""
    query = catalogue[f"release_{table}"]
    rows = yield Fetch(query, bound(query, {"id": row, "now": now}))
    if not rows:
        return Committed()
    identity, version = rows[0]
    life = yield from load_life(catalogue, rng, now)
    fact = _fact(AGGREGATES[table], identity, "put_back", version)
    done = yield from _state(catalogue, life, fact)
    return structs.replace(done, wakes=_WAKES[table])


def renew(catalogue: Catalogue, now: int, rng: Rng) -> Course[None]:
    """Begin a new life of the store; a ping that still waits for the bus is made again under it."""
    yield Write(catalogue["set_meta"], [("incarnation", draw_incarnation(rng))])
    yield Write(catalogue["repeat_unsent_pings"], [(now,)])
    yield Write(catalogue["forget_unsent_pings"], [()])
    yield Write(catalogue["forget_answers_until"], [()])
    yield Write(catalogue["forget_servers"], [()])
    life = yield from load_life(catalogue, rng, now)
    yield from _state(catalogue, life, _fact("system", "store", "restored", 0))


def draw_incarnation(rng: Rng) -> str:
    """Draw the name of a life: 16 hexadecimal digits."""
    return "".join(f"{int(rng.random() * 2**32):08x}" for _ in range(2))


def _fact(aggregate: str, identity: object, event: str, version: int, **data: str) -> Fact:
    return Fact(aggregate=aggregate, id=str(identity), event=event, version=version, actor=_ACTOR, data=data)


def _state(catalogue: Catalogue, life: Life, fact: Fact, *posts: Post) -> Course[Committed]:
    """Write a fact and posts as a unit would."""
    writer = Writer(catalogue, WorkingSet(catalogue), life)
    unit = Unit(key=f"{fact.aggregate}:{fact.id}", needs=Needs(), decide=lambda _view, _now: Changes())
    held = writer.accept(writer.prepare(unit, Changes(facts=(fact,), posts=posts), life.now))
    yield from writer.flush()
    return Committed(posts=posts_of(held))
