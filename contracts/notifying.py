"""What people are told: conditions that hold, the ways in which they are told, and what was sent."""

from typing import Final, Literal, get_args

from msgspec import Struct

Kind = Literal[
    "exhausted",
    "quarantined",
    "human",
    "unassigned",
    "draft",
    "due",
    "unreachable",
    "told",
    "dead",
    "unrecoverable",
    "brake",
    "alarm",
    "flood",
    "channel",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
URGENT: Final[frozenset[Kind]] = frozenset({"exhausted", "quarantined", "unrecoverable", "alarm", "brake"})
"""What breaks into quiet hours."""

Way = Literal["log", "webhook", "ntfy", "mail", "slack"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
"""Where people are told beside the list itself."""

MINUTE_US: Final = 60_000_000
THROTTLES: Final = ((1, MINUTE_US), (5, 15 * MINUTE_US), (11, 60 * MINUTE_US))
"""So many messages in so long a time, for each way; what has to wait is told together."""


class Holding(Struct, frozen=True, kw_only=True, gc=False):
    """A condition that holds now, as the store has it."""

    key: str  # equal for as long as it is the same condition, also where that turns worse
    kind: Kind
    task_id: int | None
    subject: str  # whom or what it is about: an agent, a scope, a service
    why: str
    asked: int  # pings without an answer
    since: int


class NotificationRow(Struct, frozen=True, kw_only=True, gc=False):
    """A condition that began, or that is over."""

    id: int
    key: str
    kind: Kind
    task_id: int | None
    subject: str
    why: str
    at: int  # since when it holds, or, of an end, when that was
    over: bool = False  # it says that another one is over
    of: int | None = None  # which; of one that turned into another kind, the first
    ended_at: int | None = None  # when the condition was over


class WayRow(Struct, frozen=True, kw_only=True, gc=False):
    """How far people were told in one way."""

    way: Way
    told: int  # the number of the last notification in it
    sent: tuple[int, ...] = ()  # when messages went, of the last hour
    leased_until: int = 0  # somebody is sending
    next_at: int = 0  # not before
    tries: int = 0  # that failed in a row
    why: str = ""  # the last one


class SendRow(Struct, frozen=True, kw_only=True, gc=False):
    """A message that was sent, or could not be, with the receiver's answer."""

    way: Way
    at: int
    title: str
    items: int
    test: bool
    ok: bool
    answer: str


class ReaderRow(Struct, frozen=True, kw_only=True, gc=False):
    """How far somebody has read the list."""

    name: str
    seen: int


class NotificationTally(Struct, frozen=True, kw_only=True, gc=False):
    """The list at a glance."""

    newest: int
    open: int
    unread: int


class Job(Struct, frozen=True, kw_only=True):
    """A message to be sent; `until` is the number of the last notification in it."""

    way: Way
    until: int
    items: int
    title: str
    lines: tuple[str, ...]
    link: str
    urgent: bool
    message_id: str
    test: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """What the receiver said."""

    ok: bool
    text: str


class Receivers(Struct, frozen=True, kw_only=True):
    """Who is told; what is empty is no way."""

    log: bool = True
    webhook_url: str = ""
    webhook_key: str = ""  # whsec_…; signed as Standard Webhooks
    ntfy_url: str = ""  # with the topic as its path
    ntfy_token: str = ""
    slack_url: str = ""
    mail_server: str = ""  # smtp://user:password@host:587, or smtps://
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()


class Manner(Struct, frozen=True, kw_only=True):
    """How people want to be told."""

    link: str = ""  # of the dashboard
    content: bool = False  # whether words of agents and people may be in it
    quiet: bool = False  # whether it is quiet now
