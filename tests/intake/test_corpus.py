"""Two hundred messages, and what the rules that come with Rollcall make of them."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from msgspec import Struct, convert

from domain.intake import reading, rules, words
from services.intake import defaults


class Message(Struct, frozen=True):
    kind: str
    part: str
    text: str

    @property
    def becomes_a_task(self) -> bool:
        book = rules.read(defaults())
        read = reading.read(book, words.read(self.text), name="bob", sort="agent", channel="general")
        return read.rule is not None and read.rule.then == "create"


@pytest.fixture(scope="module")
def corpus() -> list[Message]:
    text = (Path(__file__).parent / "corpus.toml").read_text("utf-8")
    return convert(tomllib.loads(text)["message"], list[Message])


def figures(messages: list[Message]) -> tuple[float, float]:
    """Return precision and recall: what is made of it against what is work."""
    made = [message for message in messages if message.becomes_a_task]
    work = [message for message in messages if message.kind == "work"]
    right = len([message for message in made if message.kind == "work"])
    return right / len(made), right / len(work)


def test_the_corpus_is_what_it_says(corpus: list[Message]) -> None:
    kinds = Counter(message.kind for message in corpus)
    assert kinds == {"work": 80, "question": 40, "chatter": 40, "lookup": 20, "injection": 20}
    assert Counter(message.part for message in corpus) == {"seen": 100, "unseen": 100}
    assert len({message.text for message in corpus}) == len(corpus)


@pytest.mark.parametrize("part", ["seen", "unseen"])
def test_work_becomes_a_task_and_nothing_else_does(corpus: list[Message], part: str) -> None:
    precision, recall = figures([message for message in corpus if message.part == part])
    said = f"| {part} | {precision:.3f} | {recall:.3f} |"
    assert said in (Path(__file__).parents[2] / "docs/intake.md").read_text("utf-8")
    assert precision >= 0.95
    assert recall >= 0.9


def test_no_injection_becomes_a_task(corpus: list[Message]) -> None:
    assert not [one.text for one in corpus if one.kind == "injection" and one.becomes_a_task]
