"""The assignment machine as a table: every event in every status; an empty cell is a refusal."""

from typing import Literal, get_args

from contracts.errors import AlreadyFinalError, NotAllowedNowError
from contracts.records import OPEN_STATUSES, Assignment, AssignmentStatus, EndReason

Word = Literal[
    "handoff",
    "cancel",
    "reassign",
    "accept_by_missed",
    "progress_by_missed",
    "unreachable",
    "warn_missed",
    "wait_over",
    "wait_limit_missed",
    "snooze_over",
    "due_missed",
    "repeat_due",
    "lost",
]
"""What happens to an assignment without its holder's word."""
Said = Literal[
    "ack",
    "progress",
    "wait",
    "resume",
    "snooze",
    "unsnooze",
    "decline",
    "complete",
    "fail",
    "release",
]
"""What its holder can say."""
Target = Literal[
    "acknowledged", "waiting", "snoozed", "completed", "failed", "restored", "same", "already", "policy"
]
"""Where a cell leads.

`restored`: back to pending or acknowledged, as it was accepted before or not. `same`: the status stays.
`already`: accepted, and nothing new. `policy`: failed when a step moves the task on, else the status stays.
"""

SAID: tuple[Said, ...] = get_args(Said)
WORDS: tuple[Word, ...] = get_args(Word)
STATUSES: tuple[AssignmentStatus, ...] = get_args(AssignmentStatus)
EVENTS: tuple[Said | Word, ...] = (*SAID, *WORDS)


def _open(target: Target) -> dict[AssignmentStatus, Target]:
    return dict.fromkeys(OPEN_STATUSES, target)


TABLE: dict[Said | Word, dict[AssignmentStatus, Target]] = {
    "ack": {
        "pending": "acknowledged",
        "acknowledged": "already",
        "waiting": "already",
        "snoozed": "acknowledged",
    },
    "progress": {"pending": "acknowledged", "acknowledged": "same"},
    "wait": {"pending": "waiting", "acknowledged": "waiting"},
    "resume": {"acknowledged": "already", "waiting": "acknowledged"},
    "snooze": {"pending": "snoozed", "acknowledged": "snoozed"},
    "unsnooze": {"pending": "already", "acknowledged": "already", "snoozed": "restored"},
    "decline": {"pending": "failed", "snoozed": "failed"},
    "complete": _open("completed"),
    "fail": _open("failed"),
    "release": _open("failed"),
    "handoff": _open("failed"),
    "cancel": _open("failed"),
    "reassign": _open("failed"),
    "accept_by_missed": {"pending": "policy"},
    "progress_by_missed": {"acknowledged": "policy"},
    "unreachable": {"pending": "policy", "acknowledged": "policy"},
    "warn_missed": {"acknowledged": "same"},
    "wait_over": {"waiting": "acknowledged"},
    "wait_limit_missed": {"waiting": "same"},
    "snooze_over": {"snoozed": "restored"},
    "due_missed": _open("same"),
    "repeat_due": {"pending": "same", "acknowledged": "same"},
    "lost": _open("failed"),
}

END_REASONS: dict[Said | Word, EndReason] = {
    "decline": "declined",
    "complete": "completed",
    "fail": "failed",
    "release": "released",
    "handoff": "superseded",
    "cancel": "cancelled",
    "reassign": "superseded",
    "accept_by_missed": "timed_out",
    "progress_by_missed": "timed_out",
    "unreachable": "unreachable",
    "lost": "lost",
}


def allowed(status: AssignmentStatus) -> list[str]:
    """Return what a holder may say in this status."""
    return [said for said in SAID if status in TABLE[said]]


def target(row: Assignment, event: Said | Word) -> Target:
    """Return where the event leads, or refuse it with the present state and what may be done."""
    found = TABLE[event].get(row.status)
    if found is not None:
        return found
    if row.end_reason is not None:
        raise AlreadyFinalError(
            f"assignment {row.id} has ended: {row.end_reason}", status=row.status, end_reason=row.end_reason
        )
    raise NotAllowedNowError(
        f"assignment {row.id} is {row.status}: no {event} now",
        status=row.status,
        allowed=allowed(row.status),
    )
