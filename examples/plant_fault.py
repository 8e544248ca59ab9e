"""Tamper with the evidence of a run, so that the checker has something to find.

Usage: plant_fault.py FAULT STORE RECORDING; without STORE it only says whether it knows the fault.
"""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

Lines = list[str]

STORE = {
    "lost-answer": """DELETE FROM commands WHERE command_id =
        (SELECT cause FROM audit WHERE event = 'acknowledged' AND cause IS NOT NULL LIMIT 1)""",
    "double-owner": """UPDATE assignments SET ended_at = ended_at + 1000000
        WHERE id = (SELECT previous_id FROM assignments WHERE previous_id IS NOT NULL LIMIT 1)""",
    "lost-successor": "UPDATE assignments SET previous_id = NULL WHERE previous_id IS NOT NULL",
    "wrong-heir": """UPDATE assignments SET agent = (SELECT name FROM agents WHERE kind = 'sub_agent' LIMIT 1)
        WHERE previous_id IS NOT NULL""",
    "undone-task": "UPDATE tasks SET status = 'todo' WHERE id = (SELECT max(id) FROM tasks)",
    "early-task": """UPDATE assignments SET assigned_at = 1
        WHERE task_id = (SELECT max(task_id) FROM task_dependencies)""",
    "wrong-hands": "UPDATE agents SET capabilities = '[]'",
    "lost-event": """INSERT INTO audit SELECT seq + 1000000, at, actor, aggregate, aggregate_id, event,
        aggregate_version, cause, incarnation, data FROM audit WHERE event = 'completed' LIMIT 1""",
}


def subject_of(line: str) -> str:
    """Return the subject of a recorded message."""
    return str(json.loads(line)["subject"])


def is_ping(line: str) -> bool:
    """Tell whether the line is a ping as an agent hears it."""
    return ".v1.ping." in subject_of(line) and json.loads(json.loads(line)["data"])["kind"] == "ping"


def without_a_ping(lines: Lines) -> Lines:
    """Leave out one ping."""
    found = next(line for line in lines if is_ping(line))
    return [line for line in lines if line != found]


def with_a_ping_twice(lines: Lines) -> Lines:
    """Repeat one ping."""
    return [*lines, next(line for line in lines if is_ping(line))]


def with_a_phantom(lines: Lines) -> Lines:
    """Add an event that nobody committed."""
    found = json.loads(next(line for line in lines if ".v1.evt." in subject_of(line)))
    found["data"] = json.dumps({**json.loads(found["data"]), "seq": 1_000_000})
    return [*lines, json.dumps(found)]


def without_answers(lines: Lines) -> Lines:
    """Leave out every answer, as if the store had made them up."""
    return [line for line in lines if ".v1.ack." not in subject_of(line)]


RECORDING: dict[str, Callable[[Lines], Lines]] = {
    "missing-ping": without_a_ping,
    "double-ping": with_a_ping_twice,
    "phantom-event": with_a_phantom,
    "invented-answer": without_answers,
}


def plant(fault: str, store: Path, recording: Path) -> None:
    """Tamper; raise if there was nothing to tamper with."""
    if fault in STORE:
        database = sqlite3.connect(store)
        changed = database.execute(STORE[fault]).rowcount
        database.commit()
        database.close()
        if changed < 1:
            sys.exit(f"{fault}: nothing was changed")
    else:
        lines = recording.read_text("utf-8").splitlines()
        recording.write_text("\n".join(RECORDING[fault](lines)) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in STORE | RECORDING:
        sys.exit(f"unknown fault; known are {', '.join(sorted(STORE | RECORDING))}")
    if sys.argv[2:]:
        plant(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
