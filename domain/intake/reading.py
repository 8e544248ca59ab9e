"""What the rules make of a text: the first rule of which all is there decides."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from contracts.intake import Rule, Sort
from domain.intake.rules import Book
from domain.intake.words import Text

NO_RULE = "no rule is about this"
NO_TASK = "there is no open task that it is about"


class Tried(Struct, frozen=True, kw_only=True):
    """One rule held against the text."""

    rule: str
    fits: bool
    why: str


class Reading(Struct, frozen=True, kw_only=True):
    """Which rule fits, if any, and why; and the rules before it, why not."""

    rule: Rule | None
    why: str
    tried: tuple[Tried, ...]


def read(
    book: Book, text: Text, *, name: str, sort: Sort, channel: str, about: Callable[[Rule], bool]
) -> Reading:
    """Hold the rules against a text, in their order, until one fits.

    `about` says whether there is a task that an update could be about; without one the next rules are asked.
    """
    found = book.phrases.find(text)
    actions = max(len(book.actions.find(text)), text.points)
    tried: list[Tried] = []
    for rule in book.rules:
        missing = next(_missing(rule, text, found, actions, (name, sort, channel)), None)
        if missing is None and rule.then == "update" and not about(rule):
            missing = NO_TASK
        why = missing or ", ".join(_there(rule, text, found, actions)) or "it fits whatever is said"
        tried.append(Tried(rule=rule.name, fits=missing is None, why=why))
        if missing is None:
            return Reading(rule=rule, why=why, tried=tuple(tried))
    return Reading(rule=None, why=NO_RULE, tried=tuple(tried))


def _missing(
    rule: Rule, text: Text, found: frozenset[str], actions: int, place: tuple[str, Sort, str]
) -> Iterator[str]:
    """Yield what keeps the rule from fitting."""
    name, sort, channel = place
    if rule.senders and not _is_sender(rule.senders, name, sort):
        yield f"it is not for {sort} {name}"
    if rule.channels and channel.lower() not in (one.lower() for one in rule.channels):
        yield f"it is not for channel {channel}"
    yield from (f"“{phrase}” stands in it" for phrase in rule.none if phrase in found)
    if rule.any and not found.intersection(rule.any):
        yield "none of its phrases stands in it"
    yield from (f"“{phrase}” does not stand in it" for phrase in rule.all if phrase not in found)
    if rule.question is not None and rule.question is not text.question:
        yield "it ends as a question" if text.question else "it ends as no question"
    if rule.actions is not None and actions < rule.actions:
        yield f"{actions} actions, fewer than {rule.actions}"
    if rule.minutes is not None and text.minutes < rule.minutes:
        yield f"it names no {rule.minutes} minutes"


def _there(rule: Rule, text: Text, found: frozenset[str], actions: int) -> Iterator[str]:
    """Yield what made the rule fit."""
    yield from (f"“{phrase}”" for phrase in (*rule.any, *rule.all) if phrase in found)
    if rule.question is not None:
        yield "a question" if rule.question else "no question"
    if rule.actions is not None:
        yield f"{actions} actions"
    if rule.minutes is not None:
        yield f"{text.minutes:g} minutes"


def _is_sender(senders: Sequence[str], name: str, sort: Sort) -> bool:
    return f"{sort}s" in senders or name.lower() in (one.lower() for one in senders)
