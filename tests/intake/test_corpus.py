"""Two hundred messages, and what the rules that come with Rollcall make of them."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from msgspec import Struct, convert

from domain.intake import reading, rules
from domain.intake.saying import Saying
from services.intake import defaults

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/intake.md"
ENGLISH = {"terse", "trace", "mail", "markdown"}


class Message(Struct, frozen=True):
    kind: str
    text: str
    part: str = ""
    style: str = ""

    @property
    def becomes_a_task(self) -> bool:
        book = rules.read(defaults())
        saying = Saying(sort="agent", name="bob", channel="general", text=self.text)
        read = reading.read(book, saying, about=lambda _: False)
        return read.rule is not None and read.rule.then == "create"


def messages_of(name: str) -> list[Message]:
    return convert(tomllib.loads((HERE / name).read_text("utf-8"))["message"], list[Message])


@pytest.fixture(scope="module")
def corpus() -> list[Message]:
    return messages_of("corpus.toml")


@pytest.fixture(scope="module")
def others() -> list[Message]:
    return messages_of("others.toml")


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
    assert said in PAGE.read_text("utf-8")
    assert precision >= 0.95
    assert recall >= 0.9


@pytest.mark.parametrize("english", [True, False])
def test_other_languages_are_not_read_and_other_manners_are(others: list[Message], *, english: bool) -> None:
    found = [one for one in others if (one.style in ENGLISH) is english]
    made = [one for one in found if one.becomes_a_task]
    work = [one for one in found if one.kind == "work"]
    assert {one.kind for one in made} <= {"work"}
    assert f"| {len(made)} of {len(work)} |" in PAGE.read_text("utf-8")
    assert bool(made) is english


def test_who_asks_for_news_asks_for_no_work(others: list[Message]) -> None:
    assert not Message(kind="lookup", text="Can you please update me on the launch").becomes_a_task
    assert not [one.text for one in others if one.kind != "work" and one.becomes_a_task]


def test_no_injection_becomes_a_task(corpus: list[Message], others: list[Message]) -> None:
    assert not [one.text for one in (*corpus, *others) if one.kind == "injection" and one.becomes_a_task]
