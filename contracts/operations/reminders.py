"""Reminders: add, list, cancel."""

from datetime import datetime

from msgspec import Struct

from contracts.limits import Id, Minutes, Name
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Params, Route
from contracts.plans import TodoText
from contracts.views import ReminderView


class AddParams(Params, frozen=True, kw_only=True):
    """A new reminder: to an agent, to the holder of a task, or, with neither, an event alone.

    It fires at `at`, in so many minutes, or after the first interval; with none of these at once.
    """

    text: TodoText
    agent: Name | None = None
    task: Id | None = None
    at: datetime | None = None
    in_minutes: Minutes | None = None
    every_minutes: Minutes | None = None


class ListParams(Page, frozen=True, kw_only=True):
    """Which reminders to list, a page at a time: those still to come, or all."""

    agent: Name | None = None
    task: Id | None = None
    all: bool = False


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of reminders by their numbers; `next` is the `after` of the following page."""

    items: tuple[ReminderView, ...]
    next: int | None


class CancelParams(Params, frozen=True, kw_only=True):
    """Which reminder fires no more."""

    reminder: Id


REMINDERS = Noun("reminder", "assigner")

OPERATIONS = (
    REMINDERS.operation(
        "add",
        AddParams,
        ReminderView,
        "Have something said at an instant, or every so often.",
        arguments=("text",),
        errors=("not_found", "conflict"),
        http=(Route("POST", "/reminders", 201),),
    ),
    REMINDERS.operation(
        "ls",
        ListParams,
        ListResult,
        "List reminders: those still to come, or all.",
        priority="look",
        errors=(),
        http=(Route("GET", "/reminders"),),
    ),
    REMINDERS.operation(
        "cancel",
        CancelParams,
        ReminderView,
        "Let a reminder fire no more.",
        arguments=("reminder",),
        http=(Route("DELETE", "/reminders/{reminder}"),),
    ),
)
