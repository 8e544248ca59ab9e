"""Courses about pings that may have come to their mailbox after the word that replaced them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from contracts.records import Doubt
from store.sql import Query
from store.statements import Course, Fetch, Write, bound, listed

ASK_AFTER_US: Final = 15_000_000  # beyond the relay's sweep: what follows was sent by then, if anybody could
ASKED_MAX: Final = 5
"""After 15 s, 30 s, 1 min …, 7 min 45 s in all: the server keeps no connection that is mute for six."""

Word: TypeAlias = "tuple[int | None, int | None, str, str]"  # assignment, attempt, subject, message id


def doubt(catalogue: Mapping[str, Query], words: Iterable[Word], now: int) -> Course[None]:
    """Write down that the mailboxes have to be asked about pings that were replaced.

    Other words are passed over: a ping that a late withdrawal hides is followed by others while it is owed.
    """
    rows = [(*word, now + ASK_AFTER_US, 0) for word in words if word[1] is not None]
    if rows:
        yield Write(catalogue["doubt"], rows)


def settle(catalogue: Mapping[str, Query], answers: Sequence[tuple[Doubt, bool]], now: int) -> Course[None]:
    """Take whether each mailbox holds the ping that was asked about.

    If so, the newest word is to be said again. If not, it is asked again after twice the time, for the ping
    may still come, unless the bus has had it. What somebody else has settled is left.
    """
    keys = [(found.assignment_id, found.attempt, found.ask_at) for found, _ in answers]
    rows = yield Fetch(catalogue["standing_doubts"], listed(keys))
    standing = {(assignment_id, attempt) for assignment_id, attempt in rows}
    taken = [entry for entry in answers if (entry[0].assignment_id, entry[0].attempt) in standing]
    query = catalogue["mark_restates"]
    held = [found for found, holds in taken if holds]
    yield Write(query, [bound(query, _asks(found, now)) for found in held])
    last = [(found, holds or found.asked + 1 >= ASKED_MAX) for found, holds in taken]
    query = catalogue["end_doubt"]
    yield Write(query, [bound(query, {**_key(found), "last": ends}) for found, ends in last])
    query = catalogue["ask_again"]
    yield Write(query, [bound(query, _later(found, now)) for found, ends in last if not ends])


def _key(found: Doubt) -> dict[str, object]:
    return {"assignment_id": found.assignment_id, "attempt": found.attempt}


def _asks(found: Doubt, now: int) -> dict[str, object]:
    return {**_key(found), "now": now, "status": "", "end_reason": ""}  # a ping, that is, and no withdrawal


def _later(found: Doubt, now: int) -> dict[str, object]:
    return {**_key(found), "ask_at": now + (ASK_AFTER_US << found.asked + 1)}
