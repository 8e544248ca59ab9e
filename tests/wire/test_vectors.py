"""The golden vectors: what crosses the wire stays what it was."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from contracts import messages
from contracts.codec import decode, encode
from rollcall.generate_vectors import SAMPLES

VECTORS = sorted((Path(__file__).parents[2] / "contracts/vectors").glob("*.json"))
KINDS: dict[str, type[Struct]] = {type(sample).__name__: type(sample) for sample in SAMPLES}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_vector_is_read_and_written_as_it_was(path: Path) -> None:
    vector = read(path)
    message = decode(vector["json"].encode(), KINDS[vector["name"]])
    assert json.loads(encode(message)) == vector["fields"]
    assert encode(message).decode() == vector["json"]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_what_a_newer_sender_adds_is_ignored(path: Path) -> None:
    vector = read(path)
    newer = json.dumps(vector["fields"] | {"added_later": {"deep": [1]}}).encode()
    assert encode(decode(newer, KINDS[vector["name"]])).decode() == vector["json"]


def test_every_message_has_a_vector() -> None:
    on_the_wire = {
        name
        for name, kind in vars(messages).items()
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == messages.__name__
    }
    without = {"AnswerFields", "LoopVital", "NewTask", "AgentSpec"}  # parts of others, and not sent yet
    assert {read(path)["name"] for path in VECTORS} == set(KINDS) >= on_the_wire - without


def test_every_field_of_a_sample_says_something() -> None:
    silent = [
        f"{type(sample).__name__}.{field.name}"
        for sample in SAMPLES
        for field in msgspec.structs.fields(sample)
        if getattr(sample, field.name) == field.default
    ]
    assert silent == ["DeadLetter.body", "Problem.retryable", "Problem.retry_after_s", "NextResult.retry"]


def test_a_changed_vector_is_noticed() -> None:
    vector = read(next(path for path in VECTORS if path.stem == "ping"))
    changed = vector["json"].replace('"attempt":2', '"attempt":3')
    assert json.loads(encode(decode(changed.encode(), messages.Ping))) != vector["fields"]
