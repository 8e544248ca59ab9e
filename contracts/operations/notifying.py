"""What people are told: list, read, test, and what was sent."""

from datetime import datetime

from msgspec import Struct

from contracts.limits import Count, PageSize
from contracts.notifying import Way
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Params, Route


class ListParams(Page, frozen=True, kw_only=True):
    """What people were told, newest first, a page at a time; `open`: only what is not over."""

    open: bool = False


class NotificationView(Struct, frozen=True, kw_only=True):
    """A condition that began, or that is over."""

    id: int
    at: datetime
    kind: str
    over: bool
    urgent: bool
    task: int | None
    subject: str
    why: str
    ended_at: datetime | None


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of the list, how many conditions are open, and how many of these whoever asks has not read."""

    items: tuple[NotificationView, ...]
    open: int
    unread: int
    next: int | None


class ReadParams(Params, frozen=True, kw_only=True):
    """Whoever asks has read up to this number, or all."""

    until: Count | None = None


class ReadResult(Struct, frozen=True, kw_only=True):
    """Up to which number it is read."""

    seen: int


class TestParams(Params, frozen=True, kw_only=True):
    """Send a message to try it, in one way or in each."""

    __test__ = False  # for pytest: it is none

    way: Way | None = None


class Tried(Struct, frozen=True, kw_only=True):
    """What the receiver answered."""

    way: str
    ok: bool
    answer: str


class TestResult(Struct, frozen=True, kw_only=True):
    """What each receiver answered."""

    __test__ = False

    items: tuple[Tried, ...]


class SentParams(Struct, frozen=True, kw_only=True):
    """What was sent last."""

    limit: PageSize = 50


class SentView(Struct, frozen=True, kw_only=True):
    """A message, and what its receiver answered."""

    at: datetime
    way: str
    ok: bool
    answer: str
    title: str
    items: int
    test: bool


class SentResult(Struct, frozen=True, kw_only=True):
    """The messages, newest first."""

    items: tuple[SentView, ...]


NOTIFICATION = Noun("notification", "notifier")

OPERATIONS = (
    NOTIFICATION.operation(
        "ls",
        ListParams,
        ListResult,
        "List what people are told: conditions that began, and that are over.",
        priority="look",
        errors=(),
        http=(Route("GET", "/notifications"),),
    ),
    NOTIFICATION.operation(
        "read",
        ReadParams,
        ReadResult,
        "Mark what people are told as read, for whoever asks.",
        errors=(),
        http=(Route("POST", "/notifications/read"),),
    ),
    NOTIFICATION.operation(
        "test",
        TestParams,
        TestResult,
        "Send a message to try it, and show what the receiver answers.",
        errors=(),
        http=(Route("POST", "/notifications/test"),),
    ),
    NOTIFICATION.operation(
        "sent",
        SentParams,
        SentResult,
        "List the messages that were sent, or could not be, with the receivers' answers.",
        priority="look",
        errors=(),
        http=(Route("GET", "/notifications/sent"),),
    ),
)
