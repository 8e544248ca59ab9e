"""What clients asked and were told, in the manner of Jepsen: invoke, then ok, fail or unknown."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

import msgspec
from msgspec import Struct

Type = Literal["invoke", "ok", "fail", "unknown"]
Door = Literal["stream", "request"]
ANSWERS = frozenset(
    {"ack", "progress", "wait", "resume", "snooze", "unsnooze", "decline", "complete", "fail", "release"}
)
"""What an agent says about an assignment; the rest is said by operators, or is junk."""


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: what one client did or learned.

    `ok` is a PubAck, or a reply that is no refusal; `fail` is a refusal for good; after `unknown` it may
    have happened or not, and the client asks again under the same command id.
    """

    at_us: int  # monotonic
    wall_us: int = 0  # the clock that the bus and the store go by
    process: str
    type: Type
    op: str
    door: Door
    key: str  # the subject
    command: str = ""
    attempt: int = 0
    value: str = ""  # invoke: the body; ok and fail: the reply as it came


class History:
    """All entries in order, in memory and in a file."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.entries: list[Entry] = []
        self._known: set[tuple[str, str]] = set()
        self._file = file

    @property
    def acknowledged(self) -> int:
        """How many answers of agents were acknowledged, each counted once."""
        return len(self._known)

    def add(self, asked: Entry, type_: Type, value: str = "") -> None:
        """Write down what became of what was asked."""
        entry = msgspec.structs.replace(
            asked, at_us=now_us(), wall_us=time.time_ns() // 1_000, type=type_, value=value
        )
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
        if type_ in ("ok", "fail") and entry.op in ANSWERS:
            self._known.add((entry.process, entry.command))


def now_us() -> int:
    """Return the monotonic clock in microseconds."""
    return time.monotonic_ns() // 1_000


def read(path: Path) -> list[Entry]:
    """Read a history from its file."""
    return [msgspec.json.decode(line, type=Entry) for line in path.read_bytes().splitlines()]


def acknowledged(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Return for each (process, command) what it was told for good."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.type in ("ok", "fail") and entry.command:
            found.setdefault((entry.process, entry.command), []).append(entry)
    return found
