"""What is wrong is said in words, at every field of every operation, however it was said."""

from typing import Any

import pytest

from contracts.codec import decode, encode
from contracts.errors import InvalidError
from contracts.operations import ALL, BY_NAME, Operation
from services.gateway import reading

WRONG: list[Any] = [
    None,
    True,
    -1,
    10**18,
    2.5,
    "",
    "\x00",
    "no such",
    "\u2028" * 20_000,
    [],
    ["\x00"],
    [-1],
    {},
]
WORDS = ("Expected", "Invalid", "regex", "enum", "str`", "int`", "null`", "of another form")


def said(operation: Operation) -> list[str]:
    """Return all that is said about wrong values of an operation, in a body, an address and on the bus."""
    found: list[str] = []
    for name in reading._readers(operation.params):
        for value in WRONG:
            try:
                reading.built(operation, {name: value})
            except InvalidError as error:
                found += error.fields.values()
            try:
                decode(encode({name: value}), operation.params, bytes_max=10**9)
            except InvalidError as error:
                found.append(error.detail)
            if isinstance(value, str):
                try:
                    reading.built(operation, {name: reading.Text(value)})
                except InvalidError as error:
                    found += error.fields.values()
    return found


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
def test_no_word_of_the_language_it_is_written_in(operation: Operation) -> None:
    assert [text for text in said(operation) if any(word in text for word in WORDS)] == []


def test_what_is_allowed_is_named_and_the_nearest_name() -> None:
    wrong = {
        "name": "a b",
        "kind": "sub_agnt",
        "capacity": "x",
        "timeout_minutes": 2.5,
        "capabilities": ["ok", "not ok"],
        "endpoint_url": "",
    }
    with pytest.raises(InvalidError) as refused:
        reading.built(BY_NAME["agent.add"], {**wrong, "beats": reading.Text("x"), "nam": 1})
    assert refused.value.fields == {
        "name": "must be 1 to 63 letters, digits, _ or -",
        "kind": "must be one of main_agent, sub_agent; did you mean sub_agent?",
        "capacity": "must be a whole number, not text",
        "timeout_minutes": "must be a whole number, not a number with a fraction",
        "capabilities": "must be 1 to 63 letters, digits, _ or - - at `[1]`",
        "endpoint_url": "must be an address such as https://agent.example/hooks",
        "beats": "must be one of none, required",
        "nam": "is not known; did you mean name?",
    }


def test_what_is_wrong_further_in_is_named_with_its_place() -> None:
    with pytest.raises(InvalidError, match=r"tasks\[0\]\.priority: must be one of P0, P1, P2, P3"):
        decode(b'{"tasks":[{"title":"x","priority":"P8"}]}', BY_NAME["task.import"].params)
