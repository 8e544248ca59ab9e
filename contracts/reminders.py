"""Reminders: what is to be said at an instant, or every so often."""

from typing import Final

from msgspec import Struct

REMINDERS_MAX: Final = 10_000  # that are still to come


class Reminder(Struct, frozen=True, kw_only=True, gc=False):
    """A word to an agent, to whoever holds a task, or to whoever listens."""

    id: int
    text: str
    agent: str | None = None  # to whom; None: to the holder of the task, if there is one
    task_id: int | None = None  # about which task; with its end the reminder ends
    every_us: int | None = None  # None: once
    due_at: int | None = None  # when it fires next: the assigner's index
    fired: int = 0  # times
    fired_at: int | None = None
    created_at: int
    created_by: str
    ended_at: int | None = None
    ended_by: str | None = None
    version: int = 0


class DueReminder(Reminder, frozen=True, kw_only=True, gc=False):
    """A reminder, and where its task stands."""

    task_status: str | None
    holder: str | None
    assignment_id: int | None
