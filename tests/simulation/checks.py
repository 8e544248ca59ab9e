"""What must hold at the end of every schedule, whatever happened in it: each breach in a line."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from contracts.events import event_id
from contracts.records import OPEN_STATUSES, AuditRow
from tests.simulation.evidence import ENDS, Evidence, Row, said_by
from tests.simulation.words import (
    in_peace_nobody_is_pinged,
    nothing_goes_round_a_word,
    waits_cost_nothing,
)

Check = Callable[[Evidence], Iterator[str]]
TICK_US: Final = 1_000_000
LATE_US: Final = 2 * TICK_US + TICK_US  # two ticks and a second
OUTAGE_US: Final = (
    10 * TICK_US
)  # a shorter one may be none: services look once a second, and have a gap of six
FAR_US: Final = 600 * TICK_US  # no clock of the schedules is so long
STALE_US: Final = 15 * TICK_US  # the relay sweeps what is older than ten seconds
ASKED_FOR: Final = frozenset({"ack", "progress", "complete", "wait", "snooze", "decline", "release", "fail"})


def answered_is_recorded(seen: Evidence) -> Iterator[str]:
    """I1: whatever was answered OK, or refused for good, stands in the store with that very answer."""
    for said in seen.history.said:
        if said.told not in ("ok", "refused"):
            continue
        row = seen.command(said)
        if row is None:
            yield f"{said.client} was told {said.told} about {said.command_id}, and nothing is on record"
        elif (row["problem"] is None) != (said.told == "ok"):
            yield f"{said.client} was told {said.told} about {said.command_id}, the record says otherwise"


def answers_are_equal(seen: Evidence) -> Iterator[str]:
    """P2: a command that is asked again is answered again, word by word."""
    for (client, command), tries in seen.history.tries().items():
        replies = {said.reply for said in tries if said.told in ("ok", "refused")}
        if len(replies) > 1:
            yield f"{client} was given {len(replies)} answers to {command}: {sorted(replies)}"


def done_once(seen: Evidence) -> Iterator[str]:
    """P2: no command had its effect twice, and each that was accepted had it."""
    count = Counter(
        (fact.cause, fact.aggregate, fact.aggregate_id, fact.event) for fact in seen.audit if fact.cause
    )
    for (cause, aggregate, identity, event), times in count.items():
        if times > 1 and event != "status_changed":
            yield f"{aggregate} {identity} {event} {times} times by command {cause}"
    titles = Counter(row["title"] for row in seen.tables["tasks"])
    yield from (f"task {title!r} was made {times} times" for title, times in titles.items() if times > 1)
    causes = {fact.cause for fact in seen.audit}
    for said in seen.history.said:
        if said.kind not in ASKED_FOR or said.told != "ok" or said_by(said.reply).get("already"):
            continue
        if said.command_id not in causes:
            yield f"{said.kind} {said.command_id} of {said.client} was accepted and left no trace"


def stored_is_handled(seen: Evidence) -> Iterator[str]:
    """Whatever answer the bus took is on record in the end."""
    for said in seen.history.said:
        if said.stored_at and seen.command(said) is None:
            yield f"{said.kind} {said.command_id} of {said.client} was stored on the bus and never handled"


def one_owner(seen: Evidence) -> Iterator[str]:
    """I2: by its audit no task ever had two open assignments."""
    open_now: dict[str, set[str]] = {}
    for fact in seen.audit:
        if fact.aggregate != "assignment":
            continue
        row = seen.assignments[int(fact.aggregate_id)]
        holders = open_now.setdefault(str(row["task_id"]), set())
        if fact.event == "assigned":
            holders.add(fact.aggregate_id)
        elif fact.event in ENDS:
            holders.discard(fact.aggregate_id)
        if len(holders) > 1:
            yield f"task {row['task_id']} had the open assignments {sorted(holders)} at audit {fact.seq}"


def ended_is_ended(seen: Evidence) -> Iterator[str]:
    """I6: nothing happens to an assignment after its end but refusals."""
    for number in seen.assignments:
        ended: AuditRow | None = None
        for fact in seen.facts("assignment", number):
            if ended is not None and fact.event != "refused" and fact.at > ended.at:
                yield f"assignment {number} {fact.event} ({fact.seq}) after it {ended.event} ({ended.seq})"
            if fact.event in ENDS:
                ended = fact


def versions_grow(seen: Evidence) -> Iterator[str]:
    """I11: two changes never start from the same version."""
    for (aggregate, identity), facts in seen.of.items():
        changes = [fact for fact in facts if fact.event != "refused"]
        for before, after in pairwise(changes):
            if after.aggregate_version < before.aggregate_version:
                yield f"{aggregate} {identity}: {after.aggregate_version} after {before.aggregate_version}"


def rows_follow_audit(seen: Evidence) -> Iterator[str]:
    """I11: the rows are what the audit says."""
    for row in seen.tables["assignments"]:
        ends = [fact.event for fact in seen.facts("assignment", row["id"]) if fact.event in ENDS]
        if ends != ([] if row["end_reason"] is None else [row["end_reason"]]):
            yield f"assignment {row['id']} ended {row['end_reason']}, its audit says {ends}"
    held = Counter(row["agent"] for row in seen.tables["assignments"] if row["ended_at"] is None)
    for agent in seen.tables["agents"]:
        if agent["leases"] != held[agent["name"]]:
            yield f"{agent['name']} counts {agent['leases']} leases and holds {held[agent['name']]}"


def one_successor(seen: Evidence) -> Iterator[str]:
    """I7: whatever ended has one successor at most."""
    counts = Counter(row["previous_id"] for row in seen.tables["assignments"] if row["previous_id"])
    yield from (
        f"assignment {number} has {times} successors" for number, times in counts.items() if times > 1
    )


def nothing_is_late(seen: Evidence) -> Iterator[str]:
    """I3: in the quiet at the end no clock has been due for longer than two ticks and a second."""
    limit = seen.now - LATE_US
    in_peace = {agent["name"] for agent in seen.tables["agents"] if agent["asking"] or agent["paused"]}
    for row in seen.tables["assignments"]:
        for clock in ("ping_at", "deadline_at"):
            held = clock == "ping_at" and row["agent"] in in_peace
            if row[clock] is not None and row[clock] < limit and not held:
                yield f"{clock} of assignment {row['id']} is due for {(seen.now - row[clock]) / 1e6:.1f} s"
            if row[clock] is not None and row[clock] > seen.now + FAR_US:
                yield f"{clock} of assignment {row['id']} is {(row[clock] - seen.now) / 1e6:.0f} s away"
    for task in seen.tables["tasks"]:
        if task["assign_at"] is not None and task["assign_at"] < limit:
            yield f"task {task['id']} wants an owner for {(seen.now - task['assign_at']) / 1e6:.1f} s"


def nothing_is_forgotten(seen: Evidence) -> Iterator[str]:
    """I8: whatever is unfinished has a clock, or is waiting for something that has."""
    for task in seen.tables["tasks"]:
        if task["status"] == "todo" and task["assign_at"] is None and not task["blockers"]:
            yield f"task {task['id']} is in todo and nobody will look at it"
        if task["status"] == "in_progress":
            row = seen.assignments.get(task["assignment_id"])
            if row is None or row["ended_at"] is not None:
                yield f"task {task['id']} is in progress with nobody"
            elif row["deadline_at"] is None:
                yield f"assignment {row['id']} is {row['status']} and runs no clock"
            elif row["quarantined"] is not None:
                yield f"assignment {row['id']} was quarantined: {row['quarantined']}"


def pings_keep_their_pace(seen: Evidence) -> Iterator[str]:
    """I4: no pings in a burst; none to whoever ended, or owes nothing while it snoozes or waits."""
    bodies = [said_by(message.data) for message in seen.stored if message.stream == "PINGS"]
    stored = {(body["assignment"], body["attempt"]) for body in bodies if body["kind"] == "ping"}
    pings: dict[int, list[Row]] = {}
    for ping in sorted(seen.tables["pings"], key=lambda row: (row["assignment_id"], row["attempt"])):
        pings.setdefault(ping["assignment_id"], []).append(ping)
    for number, sent in pings.items():
        row = seen.assignments[number]
        if [ping["attempt"] for ping in sent] != list(range(1, row["attempt"] + 1)):
            yield f"assignment {number} is at attempt {row['attempt']}, its pings are {len(sent)}"
        facts = [*seen.facts("assignment", number), *seen.facts("task", row["task_id"])]
        heard = [ping for ping in sent if (number, ping["attempt"]) in stored]
        for before, after in pairwise(heard):
            told = any(before["sent_at"] <= fact.at <= after["sent_at"] for fact in facts)
            told = told or _said_late(seen, number, before, after)
            gap_us = after["sent_at"] - before["sent_at"]
            if gap_us < seen.timers.ping_first_us - TICK_US and not told:
                yield f"assignment {number}: attempt {after['attempt']} {gap_us} us after the last"
        ended_at = next(
            (fact.at for fact in facts if fact.event in ENDS and fact.aggregate == "assignment"), None
        )
        for ping in sent:
            if ended_at is not None and ping["sent_at"] > ended_at:
                yield f"assignment {number} was pinged after its end"


def _said_late(seen: Evidence, number: int, before: Row, after: Row) -> bool:
    """Tell whether an older word came after a ping, or may have, so that it had to be said again (ADR 16)."""
    earlier = [
        ping
        for ping in seen.tables["pings"]
        if ping["assignment_id"] == number and ping["attempt"] < after["attempt"]
    ]
    unknown = any((ping["published_at"] or seen.now) - ping["sent_at"] > TICK_US for ping in earlier)
    return unknown or any(
        message.stream == "PINGS"
        and message.subject.endswith(f".{number}")
        and before["sent_at"] <= message.at_us <= after["sent_at"]
        and said_by(message.data).get("attempt") != before["attempt"]
        for message in seen.stored
    )


def attempts_are_heard_once(seen: Evidence) -> Iterator[str]:
    """P8: an attempt is stored once, with one content, and each on record was stored."""
    bodies: dict[tuple[str, int, int], set[bytes]] = {}
    times: Counter[tuple[str, int, int]] = Counter()
    for message in seen.stored:
        body = said_by(message.data) if message.stream == "PINGS" else {}
        if body.get("kind") == "ping":
            key = (body["incarnation"], body["assignment"], body["attempt"])
            bodies.setdefault(key, set()).add(message.data)
            times[key] += 1
    for key, found in bodies.items():
        if len(found) > 1 or times[key] > 1:
            yield f"attempt {key[1:]} was stored {times[key]} times with {len(found)} contents"
    for ping in seen.tables["pings"]:
        key = (ping["incarnation"], ping["assignment_id"], ping["attempt"])
        if ping["published_at"] is not None and key not in bodies:
            yield f"attempt {key[1:]} is noted as published, and the bus never had it"
        latest = seen.assignments[ping["assignment_id"]]["attempt"] == ping["attempt"]
        if ping["published_at"] is None and latest and _owes(seen.assignments[ping["assignment_id"]]):
            yield f"attempt {key[1:]} is still owed and was never published"
    for key in bodies.keys() - {
        (row["incarnation"], row["assignment_id"], row["attempt"]) for row in seen.tables["pings"]
    }:
        yield f"attempt {key[1:]} was published, and never committed"


def _owes(row: Row) -> bool:
    return row["status"] in ("pending", "acknowledged") and row["attempt"] > row["answered_attempt"]


def mailbox_is_true(seen: Evidence) -> Iterator[str]:
    """Whatever the bus heard last about an assignment is the store's word."""
    last = {message.subject: message for message in seen.stored if message.stream == "PINGS"}
    for message in last.values():
        body = said_by(message.data)
        row = seen.assignments[body["assignment"]]
        if body["kind"] == "ping" and not _owes(row):
            yield f"the mailbox asks for attempt {body['attempt']} of {row['id']}, which owes nothing"


def events_are_the_audit(seen: Evidence) -> Iterator[str]:
    """I5: what is committed is on the bus in the end, and nothing else ever was."""
    audit = {event_id(fact) for fact in seen.audit}
    ever = {message.message_id for message in seen.stored if message.stream == "EVENTS"}
    now = {message.message_id for message in seen.standing["EVENTS"]}
    yield from (f"event {identity} was published and never committed" for identity in sorted(ever - audit))
    yield from (f"event {identity} is missing on the bus" for identity in sorted(audit - now))


def outbox_is_empty(seen: Evidence) -> Iterator[str]:
    """I5: in the quiet at the end nothing waits to be published."""
    for post in seen.tables["outbox"]:
        if post["created_at"] < seen.now - STALE_US:
            yield f"{post['message_id']} waits for {(seen.now - post['created_at']) / 1e6:.0f} s"


def nobody_is_robbed(seen: Evidence) -> Iterator[str]:
    """Whatever answer was on the bus before its deadline counts, however late it is handled."""
    for said in seen.history.said:
        row = seen.assignments.get(said.target)
        if not said.stored_at or said.kind not in ASKED_FOR or row is None or row["agent"] != said.client:
            continue
        if row["end_reason"] != "timed_out" or row["accepted_at"] is not None or row["snoozes"]:
            continue
        asked_at = min(
            (ping["sent_at"] for ping in seen.tables["pings"] if ping["assignment_id"] == row["id"]),
            default=None,
        )
        if asked_at is not None and said.stored_at < asked_at + row["accept_us"]:
            yield (
                f"assignment {row['id']} timed out at {row['ended_at']} though {said.kind} was on the bus at "
                f"{said.stored_at}, before its accept-by"
            )


def outages_count_against_nobody(seen: Evidence) -> Iterator[str]:
    """Time in which the bus was down is added to the promises that ran meanwhile."""
    long = [(began, ended) for began, ended in seen.outages if ended - began > OUTAGE_US]
    for row in seen.tables["assignments"]:
        if row["end_reason"] != "timed_out" or row["accepted_at"] is not None or row["snoozes"]:
            continue
        began = row["assigned_at"]
        away = sum(max(0, min(until, row["ended_at"]) - max(since, began)) for since, until in long)
        if away and row["ended_at"] - began < row["accept_us"] + away - LATE_US:
            yield (
                f"assignment {row['id']} timed out after {(row['ended_at'] - began) / 1e6:.1f} s, "
                f"{away / 1e6:.1f} s of which nobody could answer"
            )


def nobody_alive_is_suspected(seen: Evidence) -> Iterator[str]:
    """I9: in the quiet at the end whoever beats is not suspected."""
    for agent in seen.tables["agents"]:
        listened = agent["beats"] == "required" and agent["silent_at"] is not None
        beats = (agent["beat_at"] or 0) > seen.now - 3 * agent["beat_interval_us"]
        if listened and beats and agent["suspect_at"] is not None:
            yield f"{agent['name']} beats and is suspect"


def no_poison(seen: Evidence) -> Iterator[str]:
    """No message is poison here, no row throws, and no process ends by itself."""
    for message in seen.stored:
        if message.stream == "DLQ":
            yield f"dead letter: {message.data.decode()[:300]}"
    yield from seen.notes


def statuses_are_legal(seen: Evidence) -> Iterator[str]:
    """Whatever is in progress is held, and nothing else is."""
    for task in seen.tables["tasks"]:
        if (task["status"] == "in_progress") != (task["assignment_id"] is not None):
            yield f"task {task['id']} is {task['status']} with assignment {task['assignment_id']}"
    for row in seen.tables["assignments"]:
        if (row["status"] in OPEN_STATUSES) != (row["ended_at"] is None):
            yield f"assignment {row['id']} is {row['status']} and ended at {row['ended_at']}"


CHECKS: Final[tuple[Check, ...]] = (
    answered_is_recorded,
    answers_are_equal,
    done_once,
    stored_is_handled,
    one_owner,
    ended_is_ended,
    versions_grow,
    rows_follow_audit,
    one_successor,
    nothing_is_late,
    nothing_is_forgotten,
    pings_keep_their_pace,
    attempts_are_heard_once,
    mailbox_is_true,
    events_are_the_audit,
    outbox_is_empty,
    nobody_is_robbed,
    outages_count_against_nobody,
    nothing_goes_round_a_word,
    waits_cost_nothing,
    in_peace_nobody_is_pinged,
    nobody_alive_is_suspected,
    no_poison,
    statuses_are_legal,
)


def breaches(seen: Evidence) -> list[str]:
    """Return every breach of every promise, each with the name of the check."""
    return [f"{check.__name__}: {breach}" for check in CHECKS for breach in check(seen)]
