"""What is left when a schedule is over: the file, what the bus stored and said, what clients were told."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from contracts.codec import decode
from contracts.records import AuditRow
from domain.timers import Timers
from tests.simulation.history import History, Said

Row = Mapping[str, Any]
ENDS: Final = frozenset(
    {"completed", "failed", "declined", "released", "cancelled", "superseded", "timed_out", "lost"}
)
TABLES = ("agents", "tasks", "assignments", "pings", "commands", "outbox", "escalation_steps", "escalations")


class Stored(Struct, frozen=True):
    """A message that a stream took."""

    stream: str
    subject: str
    message_id: str
    data: bytes
    at_us: int


class Evidence:
    """Everything that the checks may look at."""

    def __init__(
        self,
        path: Path,
        *,
        history: History,
        stored: Sequence[Stored],
        standing: Mapping[str, Sequence[Stored]],
        now: int,
        timers: Timers,
        outages: Sequence[tuple[int, int]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Read the file; `stored` is all that streams ever took, `standing` what they hold at the end.

        `outages` are those of the bus: from when until when it was down.
        """
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            file.row_factory = sqlite3.Row
            self.tables = {name: _rows(file, f"SELECT * FROM {name}") for name in TABLES}
            self.audit = [_audit(row) for row in _rows(file, "SELECT * FROM audit ORDER BY seq")]
        self.history = history
        self.stored = stored
        self.standing = standing
        self.now = now
        self.timers = timers
        self.outages = outages
        self.notes = notes
        self.assignments: dict[int, Row] = {row["id"]: row for row in self.tables["assignments"]}
        self.commands: dict[tuple[str, str], Row] = {
            (row["actor"], row["command_id"]): row for row in self.tables["commands"]
        }
        self.of: dict[tuple[str, str], list[AuditRow]] = {}
        for fact in self.audit:
            self.of.setdefault((fact.aggregate, fact.aggregate_id), []).append(fact)

    def command(self, said: Said) -> Row | None:
        """Return the record of a command, if there is one."""
        actor = f"operator:{said.client}" if said.client == "op" else f"agent:{said.client}"
        return self.commands.get((actor, said.command_id))

    def facts(self, aggregate: str, identity: int | str) -> list[AuditRow]:
        """Return what happened to one thing, in order."""
        return self.of.get((aggregate, str(identity)), [])


def _rows(file: sqlite3.Connection, query: str) -> list[Row]:
    return [dict(row) for row in file.execute(query)]


def _audit(row: Row) -> AuditRow:
    return msgspec.convert(dict(row), AuditRow, builtin_types=(bytes,))


def said_by(data: bytes) -> dict[str, Any]:
    """Return a message's body."""
    found: dict[str, Any] = decode(data, dict[str, Any], bytes_max=len(data))
    return found
