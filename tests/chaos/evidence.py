"""What a run leaves behind: the history of its clients, the tables of the store, and what the bus said."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests.chaos.history import Entry

ROOT: Final = "rollcall.v1"
TABLES: Final = (
    "agents",
    "tasks",
    "assignments",
    "pings",
    "audit",
    "commands",
    "outbox",
    "escalation_steps",
)
Row = dict[str, Any]


class Told(Struct, frozen=True):
    """One message of the bus."""

    subject: str
    data: bytes
    id: str = ""  # Nats-Msg-Id

    @property
    def tokens(self) -> list[str]:
        """The words of the subject after the root."""
        return self.subject.removeprefix(f"{ROOT}.").split(".")

    @property
    def body(self) -> Row:
        """The body, or nothing if it is no JSON object."""
        try:
            body = msgspec.json.decode(self.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}


class Evidence(Struct, kw_only=True):
    """All that the checker looks at."""

    history: Sequence[Entry]
    tables: dict[str, list[Row]]
    heard: Sequence[Told]  # what a plain subscriber heard: events, pings, outcomes
    events: Sequence[Told]  # what the stream of events holds at the end
    letters: Sequence[Told]  # what the stream of dead letters holds at the end
    mailboxes: Sequence[Told] = ()  # what the stream of pings holds at the end
    integrity: str = "ok"  # what SQLite says of the file

    def stale_mailboxes(self) -> int:
        """Count the mailboxes whose last word is a ping about what has ended."""
        ended = {row["id"] for row in self.tables["assignments"] if row["ended_at"] is not None}
        pings = (told.body for told in self.mailboxes)
        return sum(body.get("kind") == "ping" and body.get("assignment") in ended for body in pings)

    def heard_on(self, word: str) -> list[Told]:
        """Return what was heard on the subjects that begin so."""
        return [told for told in self.heard if told.subject.startswith(f"{ROOT}.{word}.")]


def integrity(path: Path) -> str:
    """Let SQLite examine the file, and return what it says."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as file:
        found = [str(row[0]) for row in file.execute("PRAGMA integrity_check(3)")]
        found += [f"{row[0]} {row[1]} names nothing" for row in file.execute("PRAGMA foreign_key_check")]
        return "; ".join(found[:3])


def tables(path: Path) -> dict[str, list[Row]]:
    """Read the store's file with other eyes than the store's own."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as file:
        file.row_factory = sqlite3.Row
        return {name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")] for name in TABLES}
