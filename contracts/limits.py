"""Every limit of the product in one place; the border checks them, the inside relies on them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$(?!\n)"
"""Names of agents, machines, operators, policies and capabilities: a subject token, never a dot.

`$` alone would let a last newline through.
"""

TEXT_PATTERN: Final = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
"""Text for people: no control characters but tab and line feed."""

MESSAGE_BYTES_MAX: Final = 64 * 1024
MACHINE_BYTES_MAX: Final = 256 * 1024  # facts of many processes
TITLE_CHARS_MAX: Final = 200
NOTE_CHARS_MAX: Final = 2_000
DESCRIPTION_CHARS_MAX: Final = 10_000  # four bytes each: a ping carries it, within 64 KiB
PROJECT_CHARS_MAX: Final = 100
CAPABILITIES_MAX: Final = 64
DEPENDENCIES_MAX: Final = 256
IMPORT_TASKS_MAX: Final = 200
IMPORT_BYTES_MAX: Final = 256 * 1024
PAGE_ITEMS_MAX: Final = 500
PLACE_CHARS_MAX: Final = 160  # of where a page of names begins
SNOOZE_MINUTES_MAX: Final = 480
SNOOZES_MAX: Final = 3
WAIT_DAYS_MAX: Final = 30
FAILURES_MAX: Final = 3
HANDLER_TRIES_MAX: Final = 5
WAITING_MAX: Final[Mapping[str, int]] = MappingProxyType(
    {"answer": 65_536, "order": 2_000, "work": 1_000, "look": 500}
)
"""Commands of each priority that one service of one process has in hand at most; the next ones get 429."""
BEATING_MAX: Final = 262_144
"""Agents whose beats one process has in hand at most: the newest of each of their last sessions."""
SESSIONS_HEARD_MAX: Final = 4
PROCESSES_MAX: Final = 500
"""Processes that one machine's daemon speaks for."""
BEAT_SECONDS_MAX: Final = 3_600
"""The longest interval between beats: what is said to be longer counts as this."""
POLICY_STEPS_MAX: Final = 16
PREVIEW_TASKS_MAX: Final = 50
MINUTES_MAX: Final = 60 * 24 * 366
INT_MAX: Final = 2**63 - 1
INSTANT_MAX: Final = 32_503_680_000_000_000
"""The year 3000 in microseconds: an instant that people name can still be added to, and shown."""


Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="1 to 63 letters, digits, _ or -")]
Id = Annotated[int, Meta(ge=1, le=INT_MAX)]
Count = Annotated[int, Meta(ge=0, le=INT_MAX)]
Minutes = Annotated[int, Meta(ge=1, le=MINUTES_MAX)]
SnoozeMinutes = Annotated[int, Meta(ge=1, le=SNOOZE_MINUTES_MAX)]
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_CHARS_MAX, pattern=TEXT_PATTERN)]
Note = Annotated[str, Meta(max_length=NOTE_CHARS_MAX, pattern=TEXT_PATTERN)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX, pattern=TEXT_PATTERN)]
Project = Annotated[str, Meta(max_length=PROJECT_CHARS_MAX, pattern=TEXT_PATTERN)]
CommandId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_:.-]+$(?!\n)",
        description="1 to 64 letters, digits, _, :, . or -",
    ),
]
Token = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$(?!\n)",
        description="1 to 64 letters, digits, _ or -",
    ),
]
Capabilities = Annotated[tuple[Name, ...], Meta(max_length=CAPABILITIES_MAX)]
Givers = Annotated[tuple[Name, ...], Meta(max_length=CAPABILITIES_MAX)]
PageSize = Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX)]
Dependencies = Annotated[tuple[Token, ...], Meta(max_length=DEPENDENCIES_MAX)]
