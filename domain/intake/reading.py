"""What the rules make of a text: the first rule of which all is there decides."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from contracts.intake import Rule
from domain.intake import words
from domain.intake.phrases import spoken
from domain.intake.rules import Book
from domain.intake.saying import Saying
from domain.intake.secrets import without_secrets
from domain.intake.words import Text

SHOWN_MAX = 3  # phrases of which the words are shown
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


def read(book: Book, saying: Saying, *, about: Callable[[Rule], bool]) -> Reading:
    """Hold the rules against what was said, in their order, until one fits.

    `about` says whether there is a task that an update could be about; without one the next rules are asked.
    """
    seen = _seen(book, saying)
    tried: list[Tried] = []
    for rule in book.rules:
        missing = next(_missing(rule, seen), None)
        if missing is None and rule.then == "update" and not about(rule):
            missing = NO_TASK
        why = missing or ", ".join(_there(rule, seen)) or "it fits whatever is said"
        tried.append(Tried(rule=rule.name, fits=missing is None, why=why))
        if missing is None:
            return Reading(rule=rule, why=why, tried=tuple(tried))
    return Reading(rule=None, why=NO_RULE, tried=tuple(tried))


class _Seen(Struct, frozen=True):
    """What was said, with all that the rules may look for in it."""

    saying: Saying
    text: Text
    found: frozenset[str]
    actions: int


def _seen(book: Book, saying: Saying) -> _Seen:
    text = words.read(saying.text)
    actions = max(len(book.actions.find(text)), text.points)
    return _Seen(saying, text, book.phrases.find(text), actions)


def _missing(rule: Rule, seen: _Seen) -> Iterator[str]:
    """Yield what keeps the rule from fitting."""
    saying, text, found = seen.saying, seen.text, seen.found
    if rule.senders and not _is_sender(rule.senders, saying):
        yield f"it is not for {saying.sort} {saying.name}"
    if rule.channels and saying.channel.lower() not in (one.lower() for one in rule.channels):
        yield f"it is not for channel {saying.channel}"
    in_it = (phrase for phrase in rule.none if phrase in found)
    yield from (f"{_words(phrase, saying)} stands in it" for phrase in in_it)
    if rule.any and not found.intersection(rule.any):
        yield "none of its phrases stands in it"
    yield from (f"“{phrase}” does not stand in it" for phrase in rule.all if phrase not in found)
    if rule.question is not None and rule.question is not text.question:
        yield "it ends as a question" if text.question else "it ends as no question"
    if rule.actions is not None and seen.actions < rule.actions:
        yield f"{seen.actions} actions, fewer than {rule.actions}"
    if rule.minutes is not None and text.minutes < rule.minutes:
        yield f"it names no {rule.minutes} minutes"


def _there(rule: Rule, seen: _Seen) -> Iterator[str]:
    """Yield what made the rule fit: the words found, but of many phrases those of the first few."""
    there = [phrase for phrase in (*rule.any, *rule.all) if phrase in seen.found]
    yield from dict.fromkeys(_words(phrase, seen.saying) for phrase in there[:SHOWN_MAX])
    if rule.question is not None:
        yield "a question" if rule.question else "no question"
    if rule.actions is not None:
        yield f"{seen.actions} actions"
    if rule.minutes is not None:
        yield f"{seen.text.minutes:g} minutes"


def _words(phrase: str, saying: Saying) -> str:
    """Return the words that a phrase stands for in what was said; of a secret the phrase, for it is kept."""
    return f"“{spoken(phrase, words.read(without_secrets(saying.text))) or phrase}”"


def _is_sender(senders: Sequence[str], saying: Saying) -> bool:
    return not {f"{saying.sort}s", saying.name.lower()}.isdisjoint(one.lower() for one in senders)
