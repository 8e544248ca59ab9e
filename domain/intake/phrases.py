"""Finding phrases: all of them at once, in time that grows with the number of words and with nothing else.

A phrase is words with spaces between them. Each place may hold a word (`deploy`), a beginning (`deploy*`), or
several of these (`fix|repair*`); `..` lets other words of the same sentence stand between, `^` begins a
sentence, `#` is any number, `?` ends a question. There is no way to go back over words already seen: the
places of all phrases are the bits of one number, which moves on by a shift and a mask for each word.
"""

import re
from collections.abc import Sequence
from typing import Final

from contracts.errors import InvalidError
from contracts.intake import PHRASE_WORDS_MAX
from domain.intake.words import Text, fold

GAP: Final = ".."
BEGIN: Final = "^"
NUMBER: Final = "#"
_WORD: Final = re.compile(r"[^\W_]+(?:[.,'_/-][^\W_]+)*\*?|\?|#")
FORM: Final = "write words, with word*, one|other, .. between them, ^ before the first, # for a number or ?"


class Phrases:
    """Phrases, ready to be looked for."""

    def __init__(self, phrases: Sequence[str]) -> None:
        """Prepare them; raises InvalidError for one that is none."""
        self._words: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        self._anywhere = self._at_first = self._kept = 0
        self._ends: dict[str, int] = {}
        bit = 1
        for phrase in dict.fromkeys(phrases):
            bit = self._add(phrase, bit)
        self._all_ends = sum(self._ends.values())
        self._inside = ~self._all_ends  # the end of one phrase leads into no other
        self._longest = max(map(len, self._beginnings), default=0)

    def _add(self, phrase: str, bit: int) -> int:
        items = fold(phrase).split()
        if items and items[0] == BEGIN:
            self._at_first |= bit
            items = items[1:]
        else:
            self._anywhere |= bit
        if not items or GAP in (items[0], items[-1]) or len(items) > PHRASE_WORDS_MAX:
            raise InvalidError(f"{phrase!r} is no phrase of 1 to {PHRASE_WORDS_MAX} words: {FORM}")
        last = 0
        for item in items:
            if item == GAP:
                self._kept |= last
                continue
            for word in item.split("|"):
                self._spell(phrase, word, bit)
            last, bit = bit, bit << 1
        self._ends[phrase] = last
        return bit

    def _spell(self, phrase: str, word: str, bit: int) -> None:
        if not _WORD.fullmatch(word):
            raise InvalidError(f"{phrase!r}: {word!r} means nothing here: {FORM}")
        known = self._beginnings if word.endswith("*") else self._words
        word = word.removesuffix("*")
        known[word] = known.get(word, 0) | bit

    def find(self, text: Text) -> frozenset[str]:
        """Return those that stand in the text."""
        found = 0
        masks: dict[str, int] = {}
        for sentence in text.sentences:
            state, begin = 0, self._at_first
            for word in sentence:
                mask = masks.get(word)
                if mask is None:
                    mask = masks[word] = self._mask(word)
                entered = ((state & self._inside) << 1) | self._anywhere | begin
                state = (entered & mask) | (state & self._kept)
                found |= state & self._all_ends
                begin = 0
        return frozenset(phrase for phrase, end in self._ends.items() if found & end)

    def _mask(self, word: str) -> int:
        """Return the places where this word may stand."""
        mask = self._words.get(word, 0)
        if word[0].isdigit():
            mask |= self._words.get(NUMBER, 0)
        for length in range(1, min(len(word), self._longest) + 1):
            mask |= self._beginnings.get(word[:length], 0)
        return mask


def spoken(phrase: str, text: Text) -> str:
    """Return the words of a text that a phrase stands for, the first of them, `…` where others stand between.

    Empty where it does not stand there. This looks at a word as often as the phrase has words: it is for
    showing a phrase that was found, and not for finding.
    """
    items = fold(phrase).split()
    first = items[:1] == [BEGIN]
    parts = [part.split() for part in " ".join(items[first:]).split(GAP)]
    for sentence in text.sentences:
        said: list[str] = []
        place = 0
        for part in parts:
            starts = range(1) if first and not said else range(place, len(sentence) - len(part) + 1)
            found = next((at for at in starts if _stands(part, sentence[at : at + len(part)])), None)
            if found is None:
                break
            place = found + len(part)
            said.append(" ".join(sentence[found:place]))
        else:
            return " … ".join(said).replace(" ?", "?")
    return ""


def _stands(part: Sequence[str], there: Sequence[str]) -> bool:
    return len(part) == len(there) and all(map(_is_one_of, part, there))


def _is_one_of(item: str, word: str) -> bool:
    return any(
        word.startswith(one[:-1])
        if one.endswith("*")
        else (word[0].isdigit() if one == NUMBER else word == one)
        for one in item.split("|")
    )
