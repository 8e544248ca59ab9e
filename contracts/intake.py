"""What people and agents say in plain words: the rules that read it, and the record of what became of it."""

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from contracts.limits import TEXT_PATTERN

SAID_CHARS_MAX: Final = 8_000  # quoted whole in a task's description
RULES_BYTES_MAX: Final = 48 * 1024  # with the rest of its message below 64 KiB
RULES_MAX: Final = 64
PHRASES_MAX: Final = 512  # of all rules together
PHRASE_WORDS_MAX: Final = 12
WINDOW_MINUTES_MAX: Final = 60 * 24 * 30

Outcome = Literal["created", "updated", "ignored", "capped", "refused"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
Then = Literal["create", "update", "ignore"]
Start = Literal["never", "operators", "always"]
Priority = Literal["P0", "P1", "P2", "P3"]
Same = Literal["text", "sender", "channel"]
Sort = Literal["agent", "operator"]

Said = Annotated[str, Meta(min_length=1, max_length=SAID_CHARS_MAX, pattern=TEXT_PATTERN)]
Rules = Annotated[str, Meta(max_length=RULES_BYTES_MAX)]


class PlainWords(Struct, frozen=True, kw_only=True):
    """What somebody says, as JSON."""

    text: Said


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule: what it looks for, and what is done; all that it looks for has to be there."""

    name: str
    then: Then
    why: str = ""  # for people
    any: tuple[str, ...] = ()  # phrases, of which one is enough
    all: tuple[str, ...] = ()  # phrases that all have to be there
    none: tuple[str, ...] = ()  # phrases that may not be there
    senders: tuple[str, ...] = ()  # names, or `agents` and `operators`
    channels: tuple[str, ...] = ()
    question: bool | None = None  # whether it ends as a question
    actions: int | None = None  # so many different actions are named, or points listed
    minutes: int | None = None  # so much time is named
    priority: Priority = "P2"
    capabilities: tuple[str, ...] = ()
    project: str = "intake"
    due: str = ""  # a length of time from now: 4h, 2d
    start: Start = "never"  # else it is a draft, which an operator assigns or cancels
    same: Same = "text"  # what makes two messages the same thing; in an update `sender` is any task of theirs
    window: str = "24h"  # for so long


class Rulebook(Struct, frozen=True, kw_only=True):
    """All rules in their order, and the words that count as actions."""

    rules: tuple[Rule, ...]
    actions: tuple[str, ...] = ()


class RulebookRow(Struct, frozen=True, kw_only=True, gc=False):
    """One version of the rules, as somebody wrote them; the newest counts."""

    version: int
    text: str
    set_at: int
    set_by: str


class IntakeRow(Struct, frozen=True, kw_only=True, gc=False):
    """What was said, and what became of it."""

    id: int
    at: int
    sort: Sort
    name: str  # of who said it
    channel: str
    text: str  # its beginning, without secrets
    outcome: Outcome
    rule: str | None = None
    reason: str = ""
    task_id: int | None = None
    same: str | None = None  # what makes another message the same thing

    @property
    def sender(self) -> str:
        """Who said it, as it stands in the audit."""
        return f"{self.sort}:{self.name}"


class MadeRow(Struct, frozen=True, kw_only=True, gc=False):
    """An open task that came in this way."""

    id: int
    at: int
    same: str
    task_id: int
    own: bool  # made of what this very sender said


class IntakePace(Struct, frozen=True, kw_only=True, gc=False):
    """How fast it comes: when the oldest of so many was, as many as there may be in a minute or an hour."""

    said_at: int | None  # of this sender's messages
    made_at: int | None  # of what was made or changed for this sender
    made_by_all_at: int | None
    capped_at: int | None  # when this sender was last at its limit


class IntakeLimits(Struct, frozen=True, kw_only=True):
    """How much may come."""

    said_per_minute: int = 60  # messages of one sender
    made_per_minute: int = 5  # tasks made or changed for one sender
    made_per_hour: int = 200  # for all of them
