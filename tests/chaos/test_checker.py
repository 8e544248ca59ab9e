"""The checker finds each broken promise, by that promise alone, and nothing wrong with a good history."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from tests.chaos.checker import PROMISES, check
from tests.chaos.evidence import ROOT, Evidence, Told
from tests.chaos.history import Door, Entry, History, Type

LIFE = "life"
Plant = Callable[[Evidence], None]


def entry(type_: Type, op: str, command: str, value: str = "", door: Door = "request", **more: Any) -> Entry:
    given: dict[str, Any] = {"process": "a1", "key": f"{ROOT}.cmd.agent.a1.{op}", **more}
    return Entry(at_us=1, type=type_, op=op, door=door, command=command, value=value, **given)


def said(
    op: str, command: str, door: Door, *replies: str, type_: Type = "ok", who: str = "a1"
) -> list[Entry]:
    """Return a question that was answered so often."""
    return [
        line
        for reply in replies
        for line in (
            entry("invoke", op, command, "{}", door, process=who),
            entry(type_, op, command, reply, door, process=who),
        )
    ]


def outcome(op: str, command: str, status: str, **more: Any) -> str:
    return json.dumps(
        {"assignment": 1, "kind": op, "accepted": True, "status": status, "command_id": command} | more
    )


PROBLEM = json.dumps({"code": "already_final", "status": 409, "title": "It has ended"})
LATE = json.dumps(
    {"code": "superseded", "status": 409, "title": "Stop", "state": {"end_reason": "timed_out"}}
)
ACKED = outcome("ack", "c1", "acknowledged")
COMPLETED = outcome("complete", "c2", "completed", assignment=2)
CREATED = json.dumps({"created": [1]})
POISON = "{junk-1-"


def fact(
    seq: int, who: str, what: str, number: int, event: str, cause: str | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": seq,
        "actor": who,
        "aggregate": what,
        "aggregate_id": str(number),
        "event": event,
        "aggregate_version": seq,
        "cause": cause,
        "incarnation": LIFE,
        "data": json.dumps(more).encode(),
    }


def event(row: dict[str, Any]) -> Told:
    names = ("seq", "actor", "aggregate", "event", "incarnation", "cause")
    body = {name: row[name] for name in names} | {
        "id": row["aggregate_id"],
        "version": row["aggregate_version"],
        "data": json.loads(row["data"]),
    }
    subject = f"{ROOT}.evt.{row['aggregate']}.{row['aggregate_id']}.{row['event']}"
    return Told(subject, json.dumps(body).encode(), f"evt:{LIFE}:{row['seq']}")


def ping(assignment: int, attempt: int, agent: str = "a1", title: str = "task") -> Told:
    body = {
        "kind": "ping",
        "incarnation": LIFE,
        "assignment": assignment,
        "attempt": attempt,
        "title": title,
    }
    return Told(f"{ROOT}.ping.{agent}.{assignment}", json.dumps(body).encode())


def command(who: str, name: str, answer: str, problem: str | None = None) -> dict[str, Any]:
    return {
        "actor": who,
        "command_id": name,
        "answer": answer.encode(),
        "problem": problem and problem.encode(),
    }


def lease(
    number: int, agent: str, epoch: int, reason: str | None, previous: int | None = None
) -> dict[str, Any]:
    return {
        "id": number,
        "task_id": 1,
        "agent": agent,
        "epoch": epoch,
        "status": "completed" if reason == "completed" else "failed",
        "end_reason": reason,
        "assigned_at": number,
        "accept_us": 10,
        "accepted_at": 2 if reason == "timed_out" else None,
        "progressed_at": None,
        "act_us": 10,
        "ended_at": number * 10,
        "previous_id": previous,
    }


def good() -> Evidence:
    """Return a whole small history: a1 accepts and falls silent, Ruto finishes; poison and repeats too."""
    audit = [
        fact(1, "operator:op", "task", 1, "created", "c0"),
        fact(2, "rollcall:assigner", "assignment", 1, "assigned", task=1, agent="a1"),
        fact(3, "agent:a1", "assignment", 1, "acknowledged", "c1", task=1, status="acknowledged"),
        fact(4, "rollcall:escalator", "assignment", 1, "timed_out", task=1),
        fact(5, "rollcall:escalator", "assignment", 2, "assigned", task=1, agent="Ruto"),
        fact(6, "rollcall:escalator", "assignment", 1, "escalated", task=1),
        fact(7, "agent:Ruto", "assignment", 2, "completed", "c2", task=1),
        fact(8, "agent:Ruto", "task", 1, "completed", "c2"),
        fact(9, "agent:a1", "assignment", 1, "refused", "c3"),
    ]
    letter = {"subject": f"{ROOT}.ack.a1.1", "body": POISON}
    junk = {"process": "stranger", "key": f"{ROOT}.ack.a1.1"}
    return Evidence(
        history=[
            *said("task-import", "c0", "request", CREATED, who="op"),
            *said("ack", "c1", "stream", '{"seq":1}', '{"seq":2}'),
            *said("ack", "c1", "request", ACKED, ACKED),
            entry("invoke", "complete", "c2", "{}", process="Ruto"),
            entry("unknown", "complete", "c2", process="Ruto"),
            *said("complete", "c2", "request", COMPLETED, who="Ruto"),
            *said("release", "c3", "request", PROBLEM, type_="fail"),
            entry("invoke", "progress", "c4", "{}", "stream", key=f"{ROOT}.ack.a1.1", wall_us=11),
            entry("ok", "progress", "c4", "", "stream", key=f"{ROOT}.ack.a1.1", wall_us=13),
            entry("invoke", "junk", "junk-1-", POISON, "stream", **junk),
            entry("ok", "junk", "junk-1-", "", "stream", **junk),
            entry(
                "invoke", "junk", "junk-2-", "junk-2-", process="stranger", key=f"{ROOT}.evt.task.9.created"
            ),
        ],
        tables={
            "agents": [{"name": "a1", "leases": 0}, {"name": "Ruto", "leases": 0}],
            "tasks": [{"id": 1, "status": "done", "status_why": ""}],
            "assignments": [lease(1, "a1", 1, "timed_out"), lease(2, "Ruto", 2, "completed", previous=1)],
            "pings": [
                {"incarnation": LIFE, "assignment_id": number, "attempt": 1, "agent": "a1"}
                for number in (1, 2)
            ],
            "audit": audit,
            "commands": [
                command("operator:op", "c0", CREATED),
                command("agent:a1", "c1", ACKED),
                command("agent:Ruto", "c2", COMPLETED),
                command("agent:a1", "c3", "", PROBLEM),
                command("agent:a1", "c4", "", LATE),
            ],
            "outbox": [],
            "escalation_steps": [{"assignment_id": 1, "step": 1, "successor_id": 2}],
        },
        heard=[
            event(audit[0]),
            ping(1, 1),
            ping(2, 1, "Ruto"),
            Told(f"{ROOT}.answer.a1.1", ACKED.encode()),
            Told(f"{ROOT}.evt.task.9.created", b"junk-2-"),
        ],
        events=[event(row) for row in audit],
        letters=[Told(f"{ROOT}.dlq.ROLLCALL_ACKS.answers", json.dumps(letter).encode())],
    )


def add_fact(seen: Evidence, *, published: bool = True, **row: Any) -> None:
    """Let one more thing have happened, and be told."""
    found = copy.deepcopy(seen.tables["audit"][-1]) | {"seq": 10, "at": 10} | row
    seen.tables["audit"].append(found)
    if published:
        seen.events = [*seen.events, event(found)]


def lose_an_answer(seen: Evidence) -> None:
    del seen.tables["commands"][1]


def refuse_without_a_reason(seen: Evidence) -> None:
    seen.tables["commands"][3]["problem"] = b"{}"
    seen.history = [line for line in seen.history if line.command != "c3"] + said(
        "release", "c3", "request", "{}", type_="fail"
    )


def forget_the_effect(seen: Evidence) -> None:
    seen.tables["audit"][2]["cause"] = None
    seen.events = [event(row) for row in seen.tables["audit"]]


def do_it_twice(seen: Evidence) -> None:
    seen.tables["audit"].insert(3, seen.tables["audit"][2] | {"seq": 10})
    seen.events = [event(row) for row in seen.tables["audit"]]


def do_what_was_refused(seen: Evidence) -> None:
    seen.tables["audit"][3] |= {"event": "released", "cause": "c3", "actor": "agent:a1"}
    seen.tables["assignments"][0]["end_reason"] = "released"
    seen.events = [event(row) for row in seen.tables["audit"]]


def answer_in_two_ways(seen: Evidence) -> None:
    seen.history = [*seen.history, *said("ack", "c1", "request", outcome("ack", "c1", "snoozed"))]


def tell_another_outcome(seen: Evidence) -> None:
    other = outcome("ack", "c1", "pending").encode()
    seen.heard = [*seen.heard, Told(f"{ROOT}.answer.a1.1", other)]


def keep_another_answer(seen: Evidence) -> None:
    seen.tables["commands"][2]["answer"] = outcome("complete", "c2", "completed", assignment=3).encode()


def give_it_to_two(seen: Evidence) -> None:
    audit = seen.tables["audit"]
    audit[3], audit[4] = audit[4], audit[3]  # given away before it was taken


def skip_an_epoch(seen: Evidence) -> None:
    seen.tables["assignments"][1]["epoch"] = 3


def tell_what_was_not_committed(seen: Evidence) -> None:
    row = fact(99, "agent:a1", "task", 1, "commented")
    seen.heard = [*seen.heard, event(row)]


def tell_it_otherwise(seen: Evidence) -> None:
    row = seen.tables["audit"][2] | {"data": b'{"status":"snoozed"}'}
    seen.heard = [*seen.heard, event(row)]


def keep_it_to_oneself(seen: Evidence) -> None:
    seen.events = seen.events[1:]


def publish_it_twice(seen: Evidence) -> None:
    seen.events = [*seen.events, seen.events[0]]


def leave_no_successor(seen: Evidence) -> None:
    seen.tables["assignments"][1]["previous_id"] = None


def take_a_step_twice(seen: Evidence) -> None:
    seen.tables["escalation_steps"].append({"assignment_id": 1, "step": 2, "successor_id": 2})


def rob_somebody(seen: Evidence) -> None:
    last = seen.history[-4]
    assert last.wall_us == 13
    seen.history = [structs.replace(line, wall_us=11) if line is last else line for line in seen.history]


def rob_who_never_accepted(seen: Evidence) -> None:
    seen.tables["assignments"][0] |= {"accepted_at": None, "accept_us": 100}


def ping_with_two_contents(seen: Evidence) -> None:
    seen.heard = [*seen.heard, ping(1, 1, title="another")]


def ping_twice(seen: Evidence) -> None:
    seen.heard = [*seen.heard, ping(1, 1)]


def ping_without_a_record(seen: Evidence) -> None:
    seen.heard = [*seen.heard, ping(1, 2)]


def stand_elsewhere(seen: Evidence) -> None:
    seen.tables["tasks"][0]["status"] = "failed"


def speak_after_the_end(seen: Evidence) -> None:
    add_fact(
        seen, event="snoozed", cause=None, actor="rollcall:pinger", data=b'{"status":"timed_out","task":1}'
    )


def lose_the_poison(seen: Evidence) -> None:
    seen.letters = []


def end_with_a_post(seen: Evidence) -> None:
    seen.tables["outbox"].append({"message_id": "evt:life:3"})


def end_with_a_lease_too_many(seen: Evidence) -> None:
    seen.tables["agents"][0]["leases"] = 1


def end_in_limbo(seen: Evidence) -> None:
    add_fact(seen, aggregate="task", event="reopened", cause=None)
    seen.tables["tasks"][0]["status"] = "todo"


def tear_the_file(seen: Evidence) -> None:
    seen.integrity = "row 7 missing from index audit_aggregate"


BAD: dict[str, tuple[Plant, ...]] = {
    "nothing_lost": (lose_an_answer, refuse_without_a_reason),
    "effects_once": (forget_the_effect, do_it_twice, do_what_was_refused),
    "same_answer": (answer_in_two_ways, tell_another_outcome, keep_another_answer),
    "one_owner": (give_it_to_two, skip_an_epoch),
    "no_event_without_commit": (tell_what_was_not_committed, tell_it_otherwise),
    "no_commit_without_event": (keep_it_to_oneself, publish_it_twice),
    "one_successor": (leave_no_successor, take_a_step_twice),
    "nobody_robbed": (rob_somebody, rob_who_never_accepted),
    "one_content": (ping_with_two_contents,),
    "pings_once": (ping_twice, ping_without_a_record),
    "folds": (stand_elsewhere, speak_after_the_end),
    "poison_is_kept": (lose_the_poison,),
    "all_came_to_rest": (end_with_a_post, end_with_a_lease_too_many, end_in_limbo),
    "file_is_sound": (tear_the_file,),
}


def broken(seen: Evidence) -> list[str]:
    return [name for name, faults in check(seen).items() if faults]


def test_a_good_history_is_good() -> None:
    assert not broken(good())


def test_every_promise_has_a_history_that_breaks_it() -> None:
    assert BAD.keys() == PROMISES.keys()


@pytest.mark.parametrize(
    ("promise", "plant"),
    [(promise, plant) for promise, plants in BAD.items() for plant in plants],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_bad_history_is_found_by_the_promise_that_it_breaks(promise: str, plant: Plant) -> None:
    seen = good()
    plant(seen)
    assert broken(seen) == [promise]


def test_only_the_last_word_counts_as_acknowledged() -> None:
    history = History()
    asked = entry("invoke", "ack", "c1")
    for type_ in ("invoke", "unknown", "invoke", "ok", "invoke", "ok"):
        history.add(asked, type_)
    assert history.acknowledged == 1
    assert [line.type for line in history.entries][-1] == "ok"
