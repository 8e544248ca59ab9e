"""Decide from the evidence alone whether the promises were kept. Pure functions; no code of the product.

Each promise yields a line for each time it was broken.
"""

from __future__ import annotations

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec

from tests.chaos.evidence import Evidence, Row, Told
from tests.chaos.history import ANSWERS, Entry, acknowledged

Faults = Iterator[str]
Promise = Callable[[Evidence], Faults]

PAST: Final = {
    "ack": "acknowledged",
    "progress": "progressed",
    "wait": "waiting",
    "resume": "resumed",
    "snooze": "snoozed",
    "unsnooze": "unsnoozed",
    "decline": "declined",
    "complete": "completed",
    "fail": "failed",
    "release": "released",
    "task-cancel": "cancelled",
    "task-assign": "assigned",
    "task-import": "created",
}
ENDS: Final = frozenset(
    {
        "completed",
        "failed",
        "declined",
        "released",
        "cancelled",
        "superseded",
        "timed_out",
        "lost",
        "unreachable",
    }
)
TASK_ENDS: Final = {"completed": "done", "failed": "failed", "cancelled": "cancelled"}
SAID: Final = frozenset(PAST[op] for op in ANSWERS)
NONCE: Final = re.compile(rb"junk-[0-9]+-")


def actor(entry: Entry) -> str:
    """Return under whom the store files a client's commands."""
    return f"{'agent' if entry.op in ANSWERS else 'operator'}:{entry.process}"


@cache
def parsed(text: str) -> Any:
    """Read JSON; a history repeats itself."""
    return msgspec.json.decode(text)


def commands(seen: Evidence) -> dict[tuple[str, str], Row]:
    """Return the answers that the store keeps, by (actor, command id)."""
    return {(row["actor"], row["command_id"]): row for row in seen.tables["commands"]}


def text_of(blob: Any) -> str:
    """Return a stored answer as it goes over the wire."""
    return blob.decode() if isinstance(blob, bytes) else str(blob or "")


def nothing_lost(seen: Evidence) -> Faults:
    """Every acknowledged answer and command is in the store, with its effect or a stated refusal."""
    kept = commands(seen)
    for (process, command), told in acknowledged(seen.history).items():
        if told[0].op == "junk":
            continue
        row = kept.get((actor(told[0]), command))
        if row is None:
            yield f"{told[0].op} {command} of {process} was acknowledged, and is not in the store"
        elif row["problem"] is not None and not parsed(text_of(row["problem"])).get("code"):
            yield f"{told[0].op} {command} of {process} is refused without a reason"


def effects_once(seen: Evidence) -> Faults:
    """Every accepted answer has its effect exactly once, each refused one none, whatever was sent again."""
    effects = Counter(
        (row["aggregate"], row["actor"], row["cause"], row["event"])
        for row in seen.tables["audit"]
        if row["cause"]
    )
    kept = commands(seen)
    asked = {(actor(entry), entry.command): entry for entry in seen.history if entry.command}
    for (who, command), entry in asked.items():
        row = kept.get((who, command))
        if row is None or entry.op not in PAST:
            continue
        aggregate = "assignment" if entry.op in ANSWERS or entry.op == "task-assign" else "task"
        found = effects[aggregate, who, command, PAST[entry.op]]
        wanted = _wanted(entry, row)
        if found != wanted:
            yield f"{entry.op} {command} of {entry.process} has {found} effects, not {wanted}"


def _wanted(entry: Entry, row: Row) -> int:
    if row["problem"] is not None:
        return 0
    answer = parsed(text_of(row["answer"]))
    if entry.op in ANSWERS:
        return 0 if answer.get("already") else 1
    return len(answer["created"]) if entry.op == "task-import" else 1


def same_answer(seen: Evidence) -> Faults:
    """Whoever asks again under one command id gets the same answer, by whichever door."""
    kept = commands(seen)
    for (process, command), told in acknowledged(seen.history).items():
        replies = {(entry.type, entry.value) for entry in told if entry.door == "request"}
        if len(replies) > 1:
            yield f"{told[0].op} {command} of {process} was answered in {len(replies)} ways"
        row = kept.get((actor(told[0]), command))
        if row is None or told[0].op == "junk":
            continue
        stored = (
            ("ok", text_of(row["answer"])) if row["problem"] is None else ("fail", text_of(row["problem"]))
        )
        if len(replies) == 1 and replies != {stored}:
            yield f"{told[0].op} {command} of {process}: the store keeps another answer"
    yield from _outcomes(seen, kept)


def _outcomes(seen: Evidence, kept: dict[tuple[str, str], Row]) -> Faults:
    for told in seen.heard_on("answer"):
        body = told.body
        row = kept.get((f"agent:{told.tokens[1]}", str(body.get("command_id"))))
        if row is None or body.get("accepted") is None:
            continue
        if row["problem"] is None:
            equal = body == parsed(text_of(row["answer"]))
        else:
            equal = body.get("problem") == parsed(text_of(row["problem"]))
        if not equal:
            yield f"the outcome of {body['command_id']} on the bus is not the one in the store"


def one_owner(seen: Evidence) -> Faults:
    """No task ever had two open assignments, at no commit; epochs count up one by one."""
    yield from _owners_over_time(seen)
    leases: dict[int, list[Row]] = defaultdict(list)
    for row in seen.tables["assignments"]:
        leases[row["task_id"]].append(row)
    for task, rows in leases.items():
        for earlier, later in pairwise(sorted(rows, key=lambda row: int(row["epoch"]))):
            if later["epoch"] != earlier["epoch"] + 1:
                yield f"task {task}: after epoch {earlier['epoch']} came {later['epoch']}"
            if earlier["ended_at"] is None:
                yield f"task {task}: assignment {later['id']} was given while {earlier['id']} is open"


def _owners_over_time(seen: Evidence) -> Faults:
    holder: dict[Any, str] = {}
    for row in seen.tables["audit"]:
        if row["aggregate"] != "assignment":
            continue
        task, lease = data(row).get("task"), row["aggregate_id"]
        if row["event"] == "assigned":
            if task in holder:
                yield f"task {task} was assigned (audit {row['seq']}) while {holder[task]} was open"
            holder[task] = lease
        elif row["event"] in ENDS and holder.get(task) == lease:
            del holder[task]


def data(row: Row) -> Row:
    """Return what an audit row says."""
    found: Row = parsed(text_of(row["data"]))
    return found


def no_event_without_commit(seen: Evidence) -> Faults:
    """Every event on the bus is word for word a committed audit row."""
    kept = {f"evt:{row['incarnation']}:{row['seq']}": row for row in seen.tables["audit"]}
    strange = _by_strangers(seen)
    for told in (*seen.heard_on("evt"), *seen.events):
        row = kept.get(told.id)
        if row is None:
            if (told.subject, told.data) not in strange:
                yield f"{told.id or told.subject} was published, and is not in the audit"
        elif not _says(told, row):
            yield f"{told.id} says something else than the audit"


def _says(told: Told, row: Row) -> bool:
    body, tokens = told.body, told.tokens
    names = ("seq", "actor", "aggregate", "event", "incarnation", "cause")
    return (
        tokens[1:] == [row["aggregate"], row["aggregate_id"], row["event"]]
        and body.get("id") == row["aggregate_id"]
        and body.get("version") == row["aggregate_version"]
        and body.get("data", {}) == data(row)
        and all(body.get(name) == row[name] for name in names)
    )


def _by_strangers(seen: Evidence) -> set[tuple[str, bytes]]:
    """Return what the history says was sent by somebody who may not: it is not the product's word."""
    return {
        (entry.key, entry.value.encode("latin-1"))
        for entry in seen.history
        if entry.op == "junk" and entry.type == "invoke"
    }


def no_commit_without_event(seen: Evidence) -> Faults:
    """Every committed audit row is on the bus in the end, once."""
    stored = Counter(told.id for told in seen.events)
    for row in seen.tables["audit"]:
        count = stored[f"evt:{row['incarnation']}:{row['seq']}"]
        if count != 1:
            yield f"audit {row['seq']} ({row['event']}) is {count} times in the stream of events"


def one_successor(seen: Evidence) -> Faults:
    """Each missed clock that moved a task has one successor, and each step was taken once."""
    after = Counter(row["previous_id"] for row in seen.tables["assignments"])
    for row in seen.tables["assignments"]:
        if row["end_reason"] == "timed_out" and after[row["id"]] != 1:
            yield f"assignment {row['id']} timed out and has {after[row['id']]} successors"
    taken = Counter(row["successor_id"] for row in seen.tables["escalation_steps"] if row["successor_id"])
    for successor, count in taken.items():
        if count != 1:
            yield f"assignment {successor} is the successor of {count} steps"


def nobody_robbed(seen: Evidence) -> Faults:
    """No answer is refused for a missed clock that the bus had taken before that clock ran out."""
    kept = commands(seen)
    leases = {str(row["id"]): row for row in seen.tables["assignments"]}
    for entry in seen.history:
        row = kept.get((f"agent:{entry.process}", entry.command))
        if row is None or row["problem"] is None or (entry.type, entry.door) != ("ok", "stream"):
            continue
        problem, lease = parsed(text_of(row["problem"])), leases.get(entry.key.rpartition(".")[2])
        late = problem["code"] == "superseded" and problem["state"]["end_reason"] == "timed_out"
        if late and lease is not None and entry.wall_us < _soonest(lease):
            early = (_soonest(lease) - entry.wall_us) / 1e6
            yield f"{entry.op} {entry.command} was on the bus {early:.3f} s early, and was refused as late"


def _soonest(lease: Row) -> int:
    """Return an instant before which no clock of the lease can have run out."""
    if lease["accepted_at"] is None:
        return int(lease["assigned_at"] + lease["accept_us"])
    return int(max(lease["accepted_at"], lease["progressed_at"] or 0) + lease["act_us"])


def one_content(seen: Evidence) -> Faults:
    """No attempt of a ping was heard with two contents."""
    contents: dict[tuple[str, int, int], set[bytes]] = defaultdict(set)
    for attempt, told in _pings(seen):
        contents[attempt].add(told.data)
    for attempt, bodies in contents.items():
        if len(bodies) > 1:
            yield f"attempt {attempt[2]} of assignment {attempt[1]} was heard with {len(bodies)} contents"


def pings_once(seen: Evidence) -> Faults:
    """No attempt is heard twice by a plain subscriber, and none that is not in the history of pings."""
    heard = Counter((attempt, told.data) for attempt, told in _pings(seen))
    for (attempt, _), count in heard.items():
        if count > 1:
            yield f"attempt {attempt[2]} of assignment {attempt[1]} was heard {count} times"
    sent = {(row["incarnation"], row["assignment_id"], row["attempt"]) for row in seen.tables["pings"]}
    for attempt in {attempt for attempt, _ in heard} - sent:
        yield f"attempt {attempt[2]} of assignment {attempt[1]} was heard, and is not in the history"


def _pings(seen: Evidence) -> Iterator[tuple[tuple[str, int, int], Told]]:
    strange = _by_strangers(seen)
    sent = {(subject.replace(".in.ping.", ".ping."), body) for subject, body in strange}
    for told in seen.heard_on("ping"):
        if (body := told.body).get("kind") == "ping" and (told.subject, told.data) not in sent:
            yield (body["incarnation"], body["assignment"], body["attempt"]), told


def folds(seen: Evidence) -> Faults:
    """Every task and assignment stands as the audit alone says, and nobody speaks after its end."""
    tasks: dict[int, str] = {}
    leases: dict[int, str] = {}
    for row in seen.tables["audit"]:
        if row["aggregate"] == "task":
            _fold_task(tasks, row)
        elif row["aggregate"] == "assignment":
            lease, before = int(row["aggregate_id"]), leases.get(int(row["aggregate_id"]))
            if before in ENDS and row["event"] in SAID | ENDS:
                yield f"assignment {lease} {row['event']} (audit {row['seq']}) after it had ended: {before}"
            _fold_lease(tasks, leases, row)
    for row in seen.tables["tasks"]:
        if tasks.get(row["id"]) != row["status"]:
            yield f"task {row['id']} is {row['status']}; by the audit it is {tasks.get(row['id'])}"
    for row in seen.tables["assignments"]:
        status = row["end_reason"] or row["status"]
        if leases.get(row["id"]) != status:
            yield f"assignment {row['id']} is {status}; by the audit it is {leases.get(row['id'])}"


def _fold_task(tasks: dict[int, str], row: Row) -> None:
    task, event = int(row["aggregate_id"]), row["event"]
    if event in ("created", "returned", "reopened"):
        tasks[task] = "todo"
    elif event in TASK_ENDS:
        tasks[task] = TASK_ENDS[event]


def _fold_lease(tasks: dict[int, str], leases: dict[int, str], row: Row) -> None:
    lease, event, said = int(row["aggregate_id"]), row["event"], data(row)
    if event == "assigned":
        leases[lease] = "pending"
        tasks[said["task"]] = "in_progress"
    elif event in ENDS:
        leases[lease] = event
    elif "status" in said:
        leases[lease] = said["status"]


def poison_is_kept(seen: Evidence) -> Faults:
    """Every message that nobody can read and the bus has stored is kept as a dead letter."""
    kept: set[bytes] = set()
    for told in seen.letters:
        letter = told.body
        body = str(letter.get("body", "")).encode() + base64.b64decode(letter.get("body_base64", ""))
        kept.update(NONCE.findall(body))
    sent = {entry.command: entry for entry in seen.history if entry.op == "junk" and entry.type == "invoke"}
    for entry in seen.history:
        if entry.op == "junk" and entry.type == "ok" and ".ack." in entry.key:
            nonce = NONCE.findall(sent[entry.command].value.encode("latin-1"))[0]
            if nonce not in kept:
                yield f"{nonce.decode()} on {entry.key} is in no dead letter"


def all_came_to_rest(seen: Evidence) -> Faults:
    """In the end every task is ended, nobody holds anything, and nothing waits to be published."""
    for row in seen.tables["tasks"]:
        if row["status"] not in TASK_ENDS.values():
            yield f"task {row['id']} is still {row['status']}: {row['status_why']}"
    open_leases = Counter(row["agent"] for row in seen.tables["assignments"] if row["ended_at"] is None)
    for row in seen.tables["agents"]:
        if row["leases"] != open_leases[row["name"]]:
            yield f"{row['name']} is counted with {row['leases']} leases and holds {open_leases[row['name']]}"
    for row in seen.tables["outbox"]:
        yield f"{row['message_id']} was never published"


def file_is_sound(seen: Evidence) -> Faults:
    """SQLite finds nothing wrong with the store's file."""
    if seen.integrity != "ok":
        yield seen.integrity


PROMISES: Final[dict[str, Promise]] = {
    promise.__name__: promise
    for promise in (
        nothing_lost,
        effects_once,
        same_answer,
        one_owner,
        no_event_without_commit,
        no_commit_without_event,
        one_successor,
        nobody_robbed,
        one_content,
        pings_once,
        folds,
        poison_is_kept,
        all_came_to_rest,
        file_is_sound,
    )
}


def check(seen: Evidence) -> dict[str, list[str]]:
    """Return for each promise how it was broken."""
    return {name: list(promise(seen)) for name, promise in PROMISES.items()}
