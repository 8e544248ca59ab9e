"""One fixed sample of every message, from which the golden vectors are written."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from contracts import messages as m
from contracts.codec import encode
from contracts.errors import Problem
from contracts.operations import answers
from contracts.views import Lease, SyncView

AT: Final = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)
LATER: Final = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
STORE: Final = "k7Qm2xV9"
COMMAND: Final = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
_ANSWER: Final[dict[str, Any]] = {
    "incarnation": STORE,
    "command_id": COMMAND,
    "session": "boot-1",
    "attempt": 2,
}

PING: Final = m.Ping(
    incarnation=STORE,
    assignment=104,
    task=17,
    attempt=2,
    epoch=1,
    status="pending",
    title="Räum die Küche auf 🧹",
    description="Line one\nline two",
    sent_at=AT,
    answer_by=LATER,
    due_at=LATER,
    exhausted=True,
    offered_by="ann",
    escalated_from="bob",
)
PROBLEM: Final = Problem(
    code="superseded",
    status=409,
    title="The lease is no longer yours: stop working on the task",
    detail="held by bob",
    fields={"assignment": "not yours"},
    state={"holder": "bob", "assignment": 105},
)
NOTICE: Final = m.Notice(kind="waited_for", assignment=104, text="bob waits for you", at=AT)
LEASE: Final = Lease(
    assignment=104,
    task=17,
    title="Räum die Küche auf 🧹",
    epoch=1,
    status="pending",
    accept_by=LATER,
    progress_by=None,
    snooze_until=None,
    ping=PING,
)
WAITING: Final = Lease(
    assignment=105,
    task=18,
    title="Frag Carol",
    epoch=2,
    status="waiting",
    accept_by=None,
    progress_by=LATER,
    snooze_until=None,
    ping=None,
    description="Which colour?",
    note="half way",
    wait_kind="human",
    wait_who="carol",
    resume_at=LATER,
)
PROCESS: Final = m.ProcessFacts(
    agent="ann",
    state="restarting",
    pid=4711,
    session="boot-1",
    since=AT,
    exits=2,
    why="exit code 137",
    capabilities=("writing",),
)
SAMPLES: Final[tuple[Struct, ...]] = (
    PING,
    m.Withdrawn(
        incarnation=STORE,
        assignment=104,
        task=17,
        status="failed",
        end_reason="superseded",
        holder="bob",
        sent_at=AT,
    ),
    m.Ack(**_ANSWER),
    m.Progress(note="half way", **_ANSWER),
    m.Wait(on="human", who="carol", reason="a decision", resume_at=LATER, **_ANSWER),
    m.Resume(**_ANSWER),
    m.Snooze(minutes=45, reason="lunch", **_ANSWER),
    m.Unsnooze(**_ANSWER),
    m.Decline(reason="not my field", **_ANSWER),
    m.Complete(result="shipped", **_ANSWER),
    m.Fail(reason="no disk", final=True, **_ANSWER),
    m.Release(reason="going home", **_ANSWER),
    m.Outcome(
        assignment=104,
        kind="ack",
        accepted=False,
        already=True,
        status="acknowledged",
        command_id=COMMAND,
        deferred=True,
        problem=PROBLEM,
    ),
    NOTICE,
    m.Beat(session="boot-1", interval_s=10, seq=7),
    m.Vital(
        service="pinger",
        process="812-3fa9c1",
        at=AT,
        ticked_at=AT,
        lag_s=1.5,
        waiting=3,
        loops=(m.LoopVital(name="pings", ticked_at=AT, lag_s=1.5, waiting=3),),
    ),
    PROCESS,
    m.MachineBeat(session="boot-9", interval_s=10, seq=7, processes=(PROCESS,)),
    m.Order(verb="restart", deadline=LATER, command_id=COMMAND, by="operator:ann", reason="it hangs"),
    m.Ordered(agent="ann", accepted=True, state="restarting", why="told to stop"),
    m.Event(
        seq=9,
        at=AT,
        actor="agent:ann",
        aggregate="assignment",
        id="104",
        event="acknowledged",
        version=3,
        incarnation=STORE,
        cause=COMMAND,
        data={"attempt": 2},
    ),
    m.DeadLetter(
        source="message",
        stream="ROLLCALL_ACKS",
        consumer="pinger",
        subject="rollcall.v1.ack.ann.104",
        reason="malformed: not readable as JSON",
        tries=1,
        at=AT,
        body="",
        body_base64="/w==",
        row=5,
    ),
    m.TaskSpec(
        title="Write it down",
        description="All of it",
        key="doc-1",
        project="docs",
        priority="P1",
        capabilities=("writing",),
        depends_on=("doc-0",),
        due_at=LATER,
        ping_interval_minutes=15,
        accept_minutes=20,
        policy="gentle",
        estimate_hours=1.5,
    ),
    PROBLEM,
    answers.HandoffParams(
        command_id=COMMAND,
        assignment=104,
        to="bob",
        capability="writing",
        reason="you know it better",
        incarnation=STORE,
        session="boot-1",
    ),
    answers.HandoffResult(assignment=105, agent="bob"),
    answers.NextResult(status="due", lease=LEASE),
    answers.JoinParams(command_id=COMMAND, session="boot-1", interval_s=10, capabilities=("writing",)),
    answers.LeaveParams(command_id=COMMAND, session="boot-1"),
    answers.LeaveResult(leases=1),
    SyncView(incarnation=STORE, agent="ann", session="boot-1", leases=(LEASE, WAITING), notices=(NOTICE,)),
)


class Vector(Struct, frozen=True, kw_only=True):
    """One message: its name, its text on the wire, and what that text says."""

    name: str
    json: str
    fields: dict[str, object]


def vectors() -> Iterator[tuple[str, str]]:
    """Yield the name and text of each file."""
    for sample in SAMPLES:
        name = type(sample).__name__
        text = encode(sample).decode()
        vector = Vector(name=name, json=text, fields=msgspec.json.decode(text))
        file = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        yield f"{file}.json", msgspec.json.format(encode(vector), indent=2).decode() + "\n"
