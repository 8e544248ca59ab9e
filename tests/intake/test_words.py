"""What can be counted in a text, and what is taken out of it."""

import pytest

from domain.intake import words
from domain.intake.secrets import GONE, without_secrets


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("takes 30 min", 30),
        ("takes 2h", 120),
        ("1.5 hours", 90),
        ("1,5h", 90),
        ("2-3 hours of work", 180),
        ("half an hour", 30),
        ("an hour", 60),
        ("two days", 2_880),
        ("a few weeks", 30_240),
        ("10 min, then 3 hours", 180),
        ("minutes", 0),
        ("the hour", 0),
        ("at 3 o'clock", 0),
        ("4 people", 0),
        ("3x", 0),
        ("٣x hours", 0),
    ],
)
def test_a_length_of_time_is_read(text: str, minutes: float) -> None:
    assert words.read(text).minutes == minutes


def test_sentences_questions_and_points() -> None:
    text = words.read("Hi Ada! See:\n- one\n* two\n3) three. Really?")
    assert text.points == 3
    assert text.question
    assert text.sentences[0] == ("hi", "ada")
    assert text.sentences[-1] == ("really", "?")
    assert not words.read("Really? No.").question
    assert not words.read("...").question
    assert words.read("Fix  THE\tdoor").folded == words.read("fix the door").folded


SECRETS = [
    "rcl_admin_" + "a" * 43 + "_0123abcd",
    "whsec_" + "b" * 32,
    "SUA" + "B" * 55,
    "eyJhbGciOiJIUzI1NiIsInR5.cGF5bG9hZA.c2ln",
    "AKIA" + "Q" * 16,
    "ghp_" + "c" * 36,
    "sk-" + "d" * 40,
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ==\n-----END EC PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_taken_out(secret: str) -> None:
    assert without_secrets(f"use {secret} now") == f"use {GONE} now"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password: hunter22", f"password: {GONE}"),
        ('{"api_key": "abcdef12"}', f'{{"api_key": "{GONE}"}}'),
        ("Authorization: Bearer abcdef1234567", f"Authorization: Bearer {GONE}"),
        ("postgres://ada:lovelace@db.example/x", f"postgres://ada:{GONE}@db.example/x"),
        ("the password is in the safe", "the password is in the safe"),
    ],
)
def test_what_is_named_a_secret_is_taken_out(text: str, kept: str) -> None:
    assert without_secrets(text) == kept
