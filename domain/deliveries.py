"""Pings over HTTP: written with the ping, tried until somebody has them, and what becomes of nobody's."""

from bisect import bisect_left
from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from contracts.codec import instant
from contracts.deliveries import Delivery, DueDelivery, Job
from contracts.records import Assignment
from contracts.work import Changes, Lookup, Row, View
from domain import assignment
from domain.draft import Draft
from domain.leases import unanswered
from domain.projection import put_agent
from domain.timers import MINUTE_US, SECOND_US, Timers

ENDPOINTS = Lookup(query="webhook_endpoints")
ROW = "due_delivery"
LEASE_US = 30 * SECOND_US  # longer than a try may take
RETRY_MAX_US = 5 * MINUTE_US
OK = 200


class Patience(Struct, frozen=True, kw_only=True):
    """How often a ping is tried, and how soon again."""

    tries: int = 5
    retry_us: int = 10 * SECOND_US  # after the first; twice as long after each


class Body(Struct, frozen=True, kw_only=True):
    """What a receiver is sent, as the first system sent it."""

    task_id: int
    task_name: str
    ping_time: str
    timeout_minutes: int


class Tried(Struct, frozen=True, kw_only=True):
    """What came of a try: the receiver's status, or why there is none."""

    id: int
    version: int
    status: int | None = None
    why: str = ""


def row(number: int) -> Lookup:
    """Return what reads a delivery with all that it says."""
    return Lookup(query=ROW, params=(("id", number),))


def failures(lease: int) -> Lookup:
    """Return what counts the failures before a try, since a ping of the lease was delivered last."""
    return Lookup(query="failed_tries", params=(("assignment", lease),))


def queue(draft: Draft, row: Assignment) -> None:
    """Write down that a ping has to go to its agent's address, if it has one."""
    known: Sequence[tuple[str, str]] = draft.view.rows.get(ENDPOINTS, ())
    place = bisect_left(known, row.agent, key=_name)
    if place == len(known) or known[place][0] != row.agent:
        return
    delivery = Delivery(
        id=draft.view.new_id("deliveries"),
        assignment_id=row.id,
        attempt=row.attempt,
        agent=row.agent,
        url=known[place][1],
        incarnation=draft.view.incarnation,
        next_at=draft.now,
        sent_at=draft.now,
    )
    draft.row(Row("insert_delivery", delivery))
    draft.wake("courier")


def take(due: DueDelivery, now: int, *, timers: Timers, patience: Patience) -> Changes:
    """Lease a due delivery for one try, or end it when nobody has to be told any more.

    The try counts from here on: of who is killed at it nobody knows what came of it.
    """
    if due.state != "queued":
        return Changes()
    over = _over(due)
    if over is not None:
        return _put(_ended(due, "given_up", over))
    if due.tries >= patience.tries:
        return _put(_ended(due, "failed", due.why or "what came of the last try is not known"))
    until = now + LEASE_US
    after = structs.replace(
        _plain(due), url=due.present_url, tries=due.tries + 1, next_at=until, leased_until=until
    )
    job = Job(
        id=due.id,
        version=due.version + 1,
        agent=due.agent,
        url=after.url,
        message_id=f"ping:{due.incarnation}:{due.assignment_id}:{due.attempt}",
        assignment=due.assignment_id,
        body=msgspec.json.encode(body(due, timers)),
        keys=_keys(due, now),
    )
    return structs.replace(_put(after), answer=job)


def settle(
    view: View, now: int, tried: Tried, found: Sequence[DueDelivery], failed: int, *, patience: Patience
) -> Changes:
    """Write what came of a try; after enough failures in a row the agent is unreachable.

    `failed` are those before, since a ping of this lease was delivered last.
    """
    due = found[0]
    if due.state != "queued" or (due.version != tried.version and tried.status != OK):
        return Changes()  # somebody else is at it, or was
    after = structs.replace(_plain(due), status=tried.status, why=tried.why, leased_until=None)
    draft = Draft(view, now, actor="rollcall:courier", timers=Timers())
    if tried.status == OK:
        after = structs.replace(after, state="delivered", next_at=None, delivered_at=now, why="")
        _reached(draft, due)
    else:
        if due.tries >= patience.tries:
            after = structs.replace(after, state="failed", next_at=None)
        else:
            after = structs.replace(after, next_at=now + _pause_us(due.tries, patience, view.draw()))
        if (failed + 1) % patience.tries == 0:
            _not_reached(draft, due, failed + 1, tried.why)
    draft.row(Row("update_delivery", structs.replace(after, version=due.version + 1)))
    return draft.changes()


def _reached(draft: Draft, due: DueDelivery) -> None:
    """Note that the agent can be told, if it could not before."""
    agent = draft.agent(due.agent)
    if agent.unreachable_since is not None:
        put_agent(draft, structs.replace(agent, unreachable_since=None))
        draft.fact(agent, "reachable", since_us=draft.now - agent.unreachable_since)
        draft.wake("assigner")


def _not_reached(draft: Draft, due: DueDelivery, count: int, why: str) -> None:
    """Let the escalator look at a lease whose holder cannot be told, and offer this holder nothing more."""
    lease, agent = draft.view.assignments.get(due.assignment_id), draft.agent(due.agent)
    if lease is None or not unanswered(lease) or due.beats != "none":
        return  # nothing is owed, or it heard the ping on the bus
    if agent.unreachable_since is None and due.url == due.present_url:
        put_agent(draft, structs.replace(agent, unreachable_since=draft.now))
        draft.fact(agent, "unreachable", assignment=lease.id, tries=count, why=why)
    if lease.repeats or lease.exhausted or lease.quarantined:
        return
    draft.put(assignment.settle(structs.replace(lease, unreachable_at=draft.now)))
    draft.fact(lease, "undelivered", task=lease.task_id, agent=lease.agent, tries=count, why=why)
    draft.comment(lease.task_id, f"{lease.agent} cannot be told: {why} ({count} tries)")
    draft.wake("escalator")


def body(due: DueDelivery, timers: Timers) -> Body:
    """Return what the receiver is sent."""
    return Body(
        task_id=due.task_id,
        task_name=due.title,
        ping_time=instant(due.sent_at).isoformat().replace("+00:00", "Z"),
        timeout_minutes=max(1, round(due.accept_us / timers.minute_us)),
    )


def _name(row: Sequence[str]) -> str:
    return row[0]


def _over(due: DueDelivery) -> str | None:
    """Return why nobody has to be told, or None."""
    if due.attempt < due.newest:
        return "a newer ping follows it"
    if due.lease not in ("pending", "acknowledged"):
        return f"the assignment is {due.lease}"
    if due.attempt <= due.answered:
        return "it was answered"
    return "the agent has no address any more" if due.present_url is None else None


def _pause_us(tries: int, patience: Patience, lot: float) -> int:
    whole = min(patience.retry_us << tries - 1, RETRY_MAX_US)
    return round(whole * (0.75 + lot / 2))  # whoever failed at one instant does not come back at one


def _keys(due: DueDelivery, now: int) -> tuple[str, ...]:
    old = due.previous if due.previous_until is not None and now < due.previous_until else None
    return tuple(key for key in (due.key, old) if key is not None)


def _ended(due: DueDelivery, state: str, why: str) -> Delivery:
    return structs.replace(_plain(due), state=state, next_at=None, leased_until=None, why=why)


def _plain(due: DueDelivery) -> Delivery:
    return Delivery(**{name: getattr(due, name) for name in Delivery.__struct_fields__})


def _put(row: Delivery) -> Changes:
    return Changes(rows=(Row("update_delivery", structs.replace(row, version=row.version + 1)),))
