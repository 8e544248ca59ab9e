"""What can happen to a message on its way through the in-memory bus, and what is told of what happened."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

# To the server: a core message, one for a stream, a request for messages, a word about a message pulled, a
# ping. From the server: a core message, the acknowledgement of a stored one, a message that was pulled.
Hop = Literal["publish", "store", "pull", "settle", "ask", "deliver", "puback", "push"]
Kind = Literal["heard", "raised", "dropped", "stored", "pulled", "ack", "nak", "term"]
AT_ONCE: Final[Sequence[float]] = (0.0,)


class Weather(Protocol):
    """Decides what becomes of each message at each hop."""

    def fate(self, hop: Hop, subject: str, peer: str) -> Sequence[float]:
        """Return after how many seconds it arrives, once for each copy; nothing if it is lost.

        `peer` is the name of the connection. A pulled message arrives once at most: its first copy counts.
        """
        ...

    def away_s(self, peer: str) -> float:
        """Return how long a connection needs to come back once the server can be reached."""
        ...


class Calm:
    """All arrives, once and at once."""

    def fate(self, hop: Hop, subject: str, peer: str) -> Sequence[float]:
        """Return that it arrives now."""
        return AT_ONCE

    def away_s(self, peer: str) -> float:
        """Return the wait of a first try."""
        return 0.05


class Rough:
    """Loses, doubles and delays some messages; what is delayed is overtaken by what is not."""

    def __init__(
        self,
        rng: random.Random,
        *,
        lose: float = 0.0,
        double: float = 0.0,
        delay: float = 0.0,
        delay_s_max: float = 1.0,
        hops: Sequence[Hop] = ("publish", "store", "pull", "settle", "ask", "deliver", "puback", "push"),
    ) -> None:
        """Take the share (0 to 1) of messages lost, doubled and delayed, at the named hops."""
        self._rng = rng
        self._lose = lose
        self._double = lose + double
        self._delay = lose + double + delay
        self._delay_s_max = delay_s_max
        self._hops = tuple(hops)

    def fate(self, hop: Hop, subject: str, peer: str) -> Sequence[float]:
        """Draw one number for each message, and another for each delay."""
        if hop not in self._hops:
            return AT_ONCE
        drawn = self._rng.random()
        if drawn < self._lose:
            return ()
        if drawn < self._double:
            return (0.0, self._later())
        if drawn < self._delay:
            return (self._later(),)
        return AT_ONCE

    def away_s(self, peer: str) -> float:
        """Draw the wait as the real client does."""
        return self._rng.uniform(0.0, 0.2)

    def _later(self) -> float:
        return round(self._rng.uniform(0.0, self._delay_s_max), 6)


class Record(msgspec.Struct, frozen=True):
    """Something that happened, for who checks a history."""

    kind: Kind
    at_us: int  # the server's clock
    subject: str
    data: bytes = b""
    headers: Mapping[str, str] = {}
    peer: str = ""  # the connection that heard or pulled it
    stream: str = ""
    seq: int = 0
    delivered: int = 0
