"""The kinds of values that can be configured: how each is written, and what it may be."""

import re
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from contracts.limits import NAME_PATTERN

_UNITS_US: Final = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d))+")
_PIECE: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
DURATION_FORM: Final = 'a number with a unit, such as "30m", "90s", "1h30m" or "7d"'
DURATION_US_MAX: Final = 3_660 * _UNITS_US["d"]


def parse_duration(text: str) -> int:
    """Return `text` ("30m", "1h30m") as microseconds, or raise ValueError."""
    compact = text.strip().lower()
    if not _DURATION.fullmatch(compact):
        raise ValueError(DURATION_FORM)
    return sum(int(number) * _UNITS_US[unit] for number, unit in _PIECE.findall(compact))


def format_duration(us: int) -> str:
    """Return microseconds the way people write them."""
    pieces: list[str] = []
    for unit, length in reversed(_UNITS_US.items()):
        number, us = divmod(us, length)
        if number:
            pieces.append(f"{number}{unit}")
    return "".join(pieces) or "0s"


Duration = Annotated[int, Meta(ge=1, le=DURATION_US_MAX, extra={"form": DURATION_FORM, "kind": "duration"})]
Durations = Annotated[
    tuple[Duration, ...],
    Meta(min_length=1, max_length=16, extra={"form": f"a list; each {DURATION_FORM}", "kind": "durations"}),
]
Name = Annotated[
    str,
    Meta(
        pattern=rf"{NAME_PATTERN}\Z",  # in Python, $ alone lets a last newline pass
        extra={"form": "1 to 63 letters, digits, _ or -, beginning with a letter or digit"},
    ),
]
Root = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z",
        max_length=100,
        extra={"form": "words of letters, digits, _ or -, with dots between them"},
    ),
]
NatsUrl = Annotated[
    str,
    Meta(
        pattern=r"^((nats|tls|ws|wss)://[^\s/]+)?\Z",
        max_length=2_000,
        extra={"form": "an address such as nats://127.0.0.1:4222", "kind": "secret"},
    ),
]
StoreUrl = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite:///.+)?\Z",
        max_length=2_000,
        extra={"form": "an address such as sqlite:///rollcall.db", "kind": "secret"},
    ),
]
WebUrl = Annotated[
    str,
    Meta(
        pattern=r"^(https?://[^\s/]+[^\s]*)?\Z",
        max_length=2_000,
        extra={"form": "an address such as https://watch.example/ping/rollcall", "kind": "secret"},
    ),
]
ServiceName = Literal[
    "assigner",
    "pinger",
    "escalator",
    "monitor",
    "cleanup",
    "relay",
    "intake",
    "courier",
    "notifier",
    "gateway",
]
SERVICES: Final[tuple[ServiceName, ...]] = get_args(ServiceName)
Names = Annotated[
    tuple[ServiceName, ...],
    Meta(max_length=64, extra={"form": f"a list of {', '.join(SERVICES)}", "kind": "names"}),
]
Host = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Za-z.:-]{1,253}\Z",
        extra={"form": "an address or a name, such as 127.0.0.1 or 0.0.0.0"},
    ),
]
HostNames = Annotated[
    str,
    Meta(
        pattern=r"^([0-9A-Za-z.:-]{1,253}(, ?[0-9A-Za-z.:-]{1,253})*)?\Z",
        max_length=4_000,
        extra={"form": "names or addresses, with commas between them"},
    ),
]
HttpToken = Annotated[
    str,
    Meta(
        pattern=r"^([!-~]{16,512})?\Z",
        extra={"form": "at least 16 letters, digits and signs, without spaces", "kind": "secret"},
    ),
]
Networks = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?\Z")], ...],
    Meta(max_length=64, extra={"form": "a list of networks such as 10.0.0.0/8", "kind": "names"}),
]
Ports = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=65_535)], ...],
    Meta(min_length=1, max_length=64, extra={"form": "a list of numbers from 1 to 65535", "kind": "names"}),
]
Factor = Annotated[float, Meta(gt=0, le=1_000, extra={"form": "a number above 0, at most 1000"})]
Rate = Annotated[int, Meta(ge=1, le=1_000_000)]
