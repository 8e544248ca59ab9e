"""Phrases are found where they stand, in time that grows with the words and with nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidError
from domain.intake import words
from domain.intake.phrases import Phrases, spoken


def found(phrase: str, text: str) -> bool:
    return bool(Phrases([phrase, "never there"]).find(words.read(text)))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("fix", "please fix it"),
        ("Fix", "FIX it"),
        ("fix it", "please fix it"),
        ("deploy*", "deploying now"),
        ("fix|repair* door", "repairing door"),
        ("fix .. door", "fix the old front door"),
        ("fix .. door", "fix door"),
        ("^ fix", "Wait. Fix it."),
        ("task #", "see task 12"),
        ("how ?", "but how?"),
        ("track this", "t\u200brack \u202ethis"),  # what cannot be seen hides no word
        ("fix", "\uff46\uff49\uff58 it"),  # nor do letters of another width
        ("a .. b .. c", "a x b y c"),
        ("doesn't", "it doesn\u2019t start"),
    ],
)
def test_a_phrase_is_found(phrase: str, text: str) -> None:
    assert found(phrase, text)
    assert spoken(phrase, words.read(text))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("fix", "prefix suffix fixed"),
        ("fix it", "fix. It"),
        ("fix it", "fix about it"),
        ("fix .. door", "fix this. The door"),
        ("fix .. door", "door to fix"),
        ("^ fix", "please fix"),
        ("task #", "task one"),
        ("how ?", "how!"),
        ("deploy*", "redeploy"),
        ("a b", "a a c b"),
    ],
)
def test_a_phrase_is_not_found_elsewhere(phrase: str, text: str) -> None:
    assert not found(phrase, text)
    assert not spoken(phrase, words.read(text))


def test_the_end_of_one_phrase_is_no_beginning_of_the_next() -> None:
    assert Phrases(["a", "^ b"]).find(words.read("a b")) == {"a"}


@pytest.mark.parametrize("phrase", ["", "^", "a ..", ".. a", "(a+)+$", "a|", "**", "a " * 13, "[a-z]"])
def test_what_is_no_phrase_is_refused_with_a_word_how_to_write_one(phrase: str) -> None:
    with pytest.raises(InvalidError, match="write words"):
        Phrases([phrase])


WORDS = st.sampled_from(["a", "b", "c", "ab", "?"])


def naive(items: list[str], sentence: list[str]) -> bool:
    """Find the phrase by trying all that could be: slow, and easy to believe."""

    def fits(item: int, word: int) -> bool:
        if item == len(items):
            return True
        if items[item] == "..":
            return any(fits(item + 1, later) for later in range(word, len(sentence)))
        return word < len(sentence) and items[item] == sentence[word] and fits(item + 1, word + 1)

    return any(fits(0, start) for start in range(len(sentence)))


@given(
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from([[], [".."]]),
    st.lists(WORDS, min_size=1, max_size=3),
    st.lists(st.sampled_from(["a", "b", "c", "ab"]), max_size=8),
)
def test_it_finds_what_trying_everything_finds(
    first: list[str], gap: list[str], then: list[str], said: list[str]
) -> None:
    items = [*first, *gap, *then]
    phrase, text = " ".join(items), words.read(" ".join(said))
    assert found(phrase, " ".join(said)) == naive(items, said) == bool(spoken(phrase, text))


def test_no_text_makes_it_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word is looked at once: counted in steps, as time would say nothing here."""
    phrases = Phrases(["a .. a .. a .. a .. a .. b"] + [f"a .. a|b a .. c{n}" for n in range(200)])
    looked: list[str] = []
    mask = phrases._mask

    def noted(word: str) -> int:
        looked.append(word)
        return mask(word)

    monkeypatch.setattr(phrases, "_mask", noted)
    assert not phrases.find(words.read("a " * 4_000))
    assert looked == ["a"]
    assert sum(map(len, words.read("a " * 4_000).sentences)) == words.WORDS_MAX
