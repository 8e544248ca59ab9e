"""Decide whether a run kept its promises, from the store's file and a recording of the bus alone.

Usage: check_demo.py STORE RECORDING BACKLOG [SILENT ...]. It shares no code with the product. `SILENT` are
the agents that never finish anything: what they were given must have reached a main agent.
"""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = "rollcall.v1"
Row = dict[str, Any]
Faults = Iterator[str]


class Evidence:
    """What the store and the bus say."""

    def __init__(self, store: Path, recording: Path, backlog: Path, silent: list[str]) -> None:
        """Read everything into memory."""
        database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        tables = ("agents", "tasks", "assignments", "pings", "audit", "commands", "escalation_steps")
        self.rows = {name: read(database, name) for name in tables}
        database.close()
        lines = recording.read_text("utf-8").splitlines()
        self.messages = [message(json.loads(line)) for line in lines]
        self.began_us = min(json.loads(line)["at"] for line in lines) * 1_000_000
        self.backlog: list[Row] = [json.loads(line) for line in backlog.read_text("utf-8").splitlines()]
        self.silent = silent
        self.tasks: dict[int, Row] = {row["id"]: row for row in self.rows["tasks"]}
        self.agents: dict[str, Row] = {row["name"]: row for row in self.rows["agents"]}
        self.leases: dict[int, list[Row]] = {}
        for row in sorted(self.rows["assignments"], key=lambda row: int(row["id"])):
            self.leases.setdefault(row["task_id"], []).append(row)

    def of(self, *words: str) -> Iterator[tuple[list[str], Row]]:
        """Yield (tokens, body) of the messages whose subject begins with these words."""
        for tokens, body in self.messages:
            if tokens[: len(words)] == list(words):
                yield tokens, body

    def key(self, task_id: int) -> str:
        """Return the backlog's name of a task."""
        return str(self.tasks[task_id]["key"])

    def is_main(self, agent: str) -> bool:
        """Tell whether it is a main agent."""
        return bool(self.agents[agent]["kind"] == "main_agent")


def read(database: sqlite3.Connection, table: str) -> list[Row]:
    """Return all rows of a table."""
    return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608 - names from above


def message(line: Row) -> tuple[list[str], Row]:
    """Return the words of the subject after the root, and the body."""
    tokens = str(line["subject"]).removeprefix(f"{ROOT}.").split(".")
    try:
        body = json.loads(line["data"] or "{}")
    except ValueError:
        body = {}
    return tokens, body if isinstance(body, dict) else {}


def everything_is_done(seen: Evidence) -> Faults:
    """Every task of the backlog is in the store, and done."""
    status = {row["key"]: row["status"] for row in seen.rows["tasks"]}
    for item in seen.backlog:
        if status.get(item["key"]) != "done":
            yield f"{item['key']} is {status.get(item['key'], 'missing')}"


def one_owner(seen: Evidence) -> Faults:
    """No task ever had two open assignments."""
    for task_id, rows in seen.leases.items():
        spans = sorted((row["assigned_at"], row["ended_at"] or float("inf"), row["id"]) for row in rows)
        for (_, end, first), (start, _, second) in pairwise(spans):
            if start < end:
                yield f"{seen.key(task_id)}: assignment {second} began before {first} had ended"


def pings_once(seen: Evidence) -> Faults:
    """Each ping of the history was heard by a plain subscriber, once, and no other was."""
    heard = Counter(
        (int(body["assignment"]), int(body["attempt"]))
        for _, body in seen.of("ping")
        if body.get("kind") == "ping"
    )
    sent = {(row["assignment_id"], row["attempt"]): row["published_at"] for row in seen.rows["pings"]}
    for ping, published_at in sent.items():
        # one that was never confirmed was taken back before it went out: an answer had come in between
        if heard[ping] != 1 and not (heard[ping] == 0 and published_at is None):
            yield f"assignment {ping[0]}, attempt {ping[1]}: heard {heard[ping]} times"
    for ping in heard.keys() - sent.keys():
        yield f"assignment {ping[0]}, attempt {ping[1]}: heard, but not in the history"


def answers_recorded(seen: Evidence) -> Faults:
    """Every answer that went over the bus is recorded, and nothing is recorded that did not."""
    said = {
        (f"agent:{tokens[1]}", body["command_id"]) for tokens, body in seen.of("ack") if "command_id" in body
    }
    asked = {
        (f"agent:{tokens[2]}", body["command_id"])
        for tokens, body in seen.of("cmd", "agent")
        if "command_id" in body and tokens[3] not in {"sync", "next"}
    }
    kept = {(row["actor"], row["command_id"]) for row in seen.rows["commands"]}
    for actor, command_id in sorted((said | asked) - kept):
        yield f"{command_id} of {actor} was sent, and is not in the store"
    for row in seen.rows["audit"]:
        who = (row["actor"], row["cause"])
        if row["aggregate"] == "assignment" and row["actor"].startswith("agent:") and who not in said | asked:
            yield f"{row['actor']} {row['event']} assignment {row['aggregate_id']}: nobody said so on the bus"


def silence_goes_on(seen: Evidence) -> Faults:
    """Every missed clock has one successor, or is flagged as exhausted."""
    after = Counter(row["previous_id"] for row in seen.rows["assignments"])
    for row in seen.rows["assignments"]:
        if row["end_reason"] == "timed_out" and after[row["id"]] != 1 and not row["exhausted"]:
            yield f"assignment {row['id']} timed out and has {after[row['id']]} successors"


def silent_to_main(seen: Evidence) -> Faults:
    """Whatever agents held that never finish anything went to a main agent."""
    for agent in seen.silent:
        held = [row for row in seen.rows["assignments"] if row["agent"] == agent]
        if not held:
            yield f"{agent} was never given a task"
        for row in held:
            heirs = [
                other["agent"] for other in seen.leases[row["task_id"]] if other["previous_id"] == row["id"]
            ]
            if row["end_reason"] != "timed_out" or not any(map(seen.is_main, heirs)):
                yield f"{seen.key(row['task_id'])} of {agent} ended {row['end_reason']}, then went to {heirs}"


def dependencies(seen: Evidence) -> Faults:
    """No task was assigned before those it depends on were done."""
    by_key = {row["key"]: seen.leases.get(row["id"], []) for row in seen.rows["tasks"]}
    for item in seen.backlog:
        began = min((row["assigned_at"] for row in by_key.get(item["key"], [])), default=float("inf"))
        for name in item["depends_on"]:
            ends = [row["ended_at"] for row in by_key.get(name, []) if row["end_reason"] == "completed"]
            if not ends or began < min(ends):
                yield f"{item['key']} was assigned before {name} was done"


def capabilities(seen: Evidence) -> Faults:
    """Nobody but a main agent was given what it is not capable of."""
    needs = {item["key"]: set(item["capabilities"]) for item in seen.backlog}
    for row in seen.rows["assignments"]:
        able = set(json.loads(seen.agents[row["agent"]]["capabilities"]))
        lacking = needs.get(seen.key(row["task_id"]), set()) - able
        if lacking and not seen.is_main(row["agent"]):
            yield f"{seen.key(row['task_id'])} went to {row['agent']}, who lacks {', '.join(sorted(lacking))}"


def events_match(seen: Evidence) -> Faults:
    """Every event on the bus stands in the audit, and the other way round."""
    told = {
        (body["incarnation"], body["seq"], *tokens[1:4]) for tokens, body in seen.of("evt") if "seq" in body
    }
    kept = {
        (row["incarnation"], row["seq"], row["aggregate"], row["aggregate_id"], row["event"]): row["at"]
        for row in seen.rows["audit"]
    }
    for event in sorted(told - kept.keys()):
        yield f"{' '.join(map(str, event[1:]))} was published, and is not in the audit"
    for event in sorted(event for event, at in kept.items() if event not in told and at > seen.began_us):
        yield f"{' '.join(map(str, event[1:]))} is in the audit, and was not published"


CHECKS: tuple[Callable[[Evidence], Faults], ...] = (
    everything_is_done,
    one_owner,
    pings_once,
    answers_recorded,
    silence_goes_on,
    silent_to_main,
    dependencies,
    capabilities,
    events_match,
)


def check(seen: Evidence) -> int:
    """Print a line for each promise, and return how many were broken."""
    broken = 0
    for promise in CHECKS:
        faults = list(promise(seen))
        broken += bool(faults)
        print(f"  {'BROKEN' if faults else 'kept  '}  {(promise.__doc__ or '').strip()}")
        for fault in faults[:5]:
            print(f"            {fault}")
        if len(faults) > 5:
            print(f"            and {len(faults) - 5} more")
    return broken


if __name__ == "__main__":
    store, recording, backlog = map(Path, sys.argv[1:4])
    sys.exit(1 if check(Evidence(store, recording, backlog, sys.argv[4:])) else 0)
