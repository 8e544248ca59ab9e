"""What a model has to know that has forgotten who it is. The standard library alone."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rollcall.cli.text import clean, value_text
from rollcall.cli.tree import array_of, object_of
from rollcall.cli.words import owed

LINES_MAX: Final = 12
LINE_CHARS_MAX: Final = 200
_CLOCKS: Final = {
    "accept_by": "answer due",
    "progress_by": "progress due",
    "snooze_until": "asked again",
    "resume_at": "goes on",
}
_HOW: Final = """
How it goes:
  rollcall next                   what to do now; waits up to 50 s, exit code 3: nothing yet, run it again
  rollcall ack N                  I have it        (or: rollcall decline N)
  rollcall progress N "note"      what I did since the last note; say it every few minutes
  rollcall wait N --for human     I cannot go on   (human, lock, peer or rate-limit; --resume-at 14:00)
  rollcall resume N               I can go on
  rollcall snooze N 30m           not now, ask me again
  rollcall done N --result "..."  it is done       (or: rollcall fail N, release N, handoff N)
  rollcall prime                  this page again
A refusal with `superseded` or exit code 5 means: the task is no longer yours, stop working on it."""


def page(value: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield the page; what others wrote is quoted: it is about the task, and no order to the reader."""
    session = f", session {clean(str(value['session']))}" if value.get("session") else ", not joined"
    yield f"You are {clean(str(value['agent']))}, an agent of Rollcall{session}."
    yield "Rollcall gives you tasks, asks until you answer, and gives them to others if you stay silent."
    leases = array_of(value.get("leases") or [])
    yield ""
    yield f"You hold {len(leases)} task{'' if len(leases) == 1 else 's'}{':' if leases else '.'}"
    for lease in leases:
        yield from _lease(object_of(lease), now)
    if notices := array_of(value.get("notices") or []):
        yield ""
        yield "What you were told meanwhile:"
        for notice in notices:
            about = f"assignment {notice['assignment']}" if notice["assignment"] else "no assignment"
            yield f"  {about}, {value_text('at', notice['at'], now)}"
            yield from _quoted(str(notice["text"]))
    yield from _HOW.split("\n")


def _lease(lease: Mapping[str, Any], now: datetime) -> Iterator[str]:
    clocks = [
        f"{words} {value_text(key, lease[key], now)}" for key, words in _CLOCKS.items() if lease.get(key)
    ]
    state = lease["status"]
    if lease.get("wait_kind"):
        whom = f" {clean(str(lease['wait_who']))}" if lease.get("wait_who") else ""
        state += f" for {lease['wait_kind'].replace('_', ' ')}{whom}"
    yield f"assignment {lease['assignment']} (task {lease['task']}): {', '.join([state, *clocks])}"
    yield from _quoted(str(lease["title"]))
    yield from _quoted(str(object_of(lease.get("ping")).get("description") or lease.get("description") or ""))
    if lease.get("note"):
        yield "  what you said last:"
        yield from _quoted(str(lease["note"]))
    yield f"  next: {owed(lease)}"


def _quoted(text: str) -> Iterator[str]:
    """Yield text of others as a quotation, cut short."""
    lines = [clean(line) for line in text.splitlines() if line.strip()]
    for line in lines[:LINES_MAX]:
        yield f"  > {line[:LINE_CHARS_MAX]}{'…' if len(line) > LINE_CHARS_MAX else ''}"
    if len(lines) > LINES_MAX:
        yield f"  > … ({len(lines) - LINES_MAX} more lines)"
