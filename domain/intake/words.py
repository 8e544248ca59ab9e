"""Taking a text apart: sentences of plain words, and what can be counted in them."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

WORDS_MAX: Final = 2_000  # what comes after these is kept, but not looked at
WORD_CHARS_MAX: Final = 40
MINUTES: Final = {
    "min": 1,
    "mins": 1,
    "minute": 1,
    "minutes": 1,
    "h": 60,
    "hr": 60,
    "hrs": 60,
    "hour": 60,
    "hours": 60,
    "d": 1_440,
    "day": 1_440,
    "days": 1_440,
    "week": 10_080,
    "weeks": 10_080,
}
_ONE: Final = {"a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "half": 0.5, "few": 3.0}
_NUMBER_CHARS_MAX: Final = 6
_PIECE: Final = re.compile(r"[^\W_]+(?:[.,'_/-][^\W_]+)*|[.!?;\n]")
_POINT: Final = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_COMPACT: Final = re.compile(r"(\d{1,6}(?:[.,]\d{1,3})?)([a-z]{1,7})")
_ENDS: Final = frozenset(".!?;\n")


class Text(Struct, frozen=True):
    """A text as the rules see it."""

    sentences: tuple[tuple[str, ...], ...]  # words in lower case; a question ends with the word `?`
    points: int  # lines that are items of a list

    @property
    def question(self) -> bool:
        """Whether it ends as a question."""
        return bool(self.sentences) and self.sentences[-1][-1] == "?"

    @property
    def folded(self) -> str:
        """The words alone: equal for texts that differ only in how they are written."""
        return "\n".join(" ".join(sentence) for sentence in self.sentences)

    @property
    def minutes(self) -> float:
        """The longest time that it names, in minutes."""
        return max((found for words in self.sentences for found in _times(words)), default=0)


def read(text: str) -> Text:
    """Take a text apart; what cannot be seen is taken out, so that it hides no word."""
    plain = fold(text)
    return Text(tuple(_sentences(plain)), len(_POINT.findall(plain)))


def fold(text: str) -> str:
    """Return the text in one way of writing: composed, in lower case, without invisible characters."""
    composed = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return "".join(character for character in composed if unicodedata.category(character) != "Cf")


def _sentences(plain: str) -> Iterator[tuple[str, ...]]:
    words: list[str] = []
    for count, piece in enumerate(_PIECE.finditer(plain)):
        if count >= WORDS_MAX:
            break
        word = piece[0][:WORD_CHARS_MAX]
        if word not in _ENDS:
            words.append(word)
        elif words:
            yield (*words, "?") if word == "?" else tuple(words)
            words = []
    if words:
        yield tuple(words)


def _times(words: tuple[str, ...]) -> Iterator[float]:
    """Yield the lengths of time in a sentence, in minutes: `30 min`, `2h`, `an hour`, `half a day`."""
    for place, word in enumerate(words):
        compact = _COMPACT.fullmatch(word)
        if compact and compact[2] in MINUTES:
            yield _number(compact[1]) * MINUTES[compact[2]]
        if word in MINUTES and place:
            yield _amount(words[max(0, place - 2) : place]) * MINUTES[word]


def _amount(before: tuple[str, ...]) -> float:
    """Return how many units are meant by the one or two words before the unit."""
    last = before[-1].rpartition("-")[2]  # of 2-3 hours the longer
    if last[:1].isdigit():
        return _number(last)
    if last in _ONE:
        half = before[0] == "half" and last in ("a", "an")
        return 0.5 if half else _ONE[last]
    return 0


def _number(text: str) -> float:
    try:
        return float(text[:_NUMBER_CHARS_MAX].replace(",", "."))
    except ValueError:
        return 0
