"""Streams of the in-memory bus: the rules of the server, without any wire.

Ages, time to live and the duplicate window go by the instant that is passed in with each call.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bus.client import HEADER_LINE_BYTES

if TYPE_CHECKING:
    from bus.memory.consumers import MemoryConsumer

RECORD_BYTES: Final = 22  # what a message takes beside itself
SETTLED_KEPT: Final = 1_000  # of a work queue, for a crash that puts its consumer back

Config = dict[str, Any]


class Stored(msgspec.Struct, frozen=True):
    """A message in a stream."""

    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    at_us: int

    @property
    def size(self) -> int:
        """Its bytes, as the limits of a stream count them."""
        return size_of(self.data, self.headers) + RECORD_BYTES + len(self.subject)


class Refusal(Exception):
    """The server will not do this."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        """Take the codes of the real server."""
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.description = description

    @property
    def is_nobody(self) -> bool:
        """Whether nobody was there to refuse it."""
        return self is NOBODY

    @property
    def is_silence(self) -> bool:
        """Whether nothing was said: who was there listens only."""
        return self is SILENCE


NOBODY: Final = Refusal(503, 0, "no stream and nobody else")
SILENCE: Final = Refusal(503, 0, "no stream, but somebody")


def size_of(data: bytes, headers: Mapping[str, str]) -> int:
    """Return the bytes of a message with its headers."""
    lines = sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
    return len(data) + (lines + HEADER_LINE_BYTES if headers else 0)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject lies in a pattern with `*` and `>`."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":  # noqa: S105 - of a subject
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(tokens) == len(wanted)


def overlap(one: str, other: str) -> bool:
    """Whether some subject lies in both patterns."""
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(one.split(".")) == len(other.split("."))


class MemoryStream:
    """What is stored under some subjects."""

    def __init__(self, config: Config, created: str = "") -> None:
        """Start empty; `created` tells it from another of its name."""
        self.config = config
        self.created = created
        self.messages: dict[int, Stored] = {}  # in the order of their places
        self.last_seq = 0
        self.bytes = 0
        self.consumers: dict[str, MemoryConsumer] = {}
        self.settled: deque[Stored] = deque(maxlen=SETTLED_KEPT)
        self._newest: dict[str, int] = {}  # place of the newest, by subject; kept by mailboxes
        self._ids: dict[str, tuple[int, int]] = {}  # message id: (stored at, place), oldest first
        self._dying: list[tuple[int, int]] = []  # heap of (when it is forgotten, place)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config["name"])

    @property
    def is_queue(self) -> bool:
        """Whether what is settled goes."""
        return self.config.get("retention") == "workqueue"

    def takes(self, subject: str) -> bool:
        """Whether it stores this subject."""
        return any(matches(pattern, subject) for pattern in self.config["subjects"])

    def store(
        self, subject: str, data: bytes, headers: Mapping[str, str], now: int
    ) -> tuple[int, Stored | None]:
        """Store a message and return its place; without a message if it was a duplicate. Raises Refusal."""
        self.expire(now)
        if headers.get("Nats-Expected-Stream", self.name) != self.name:
            raise Refusal(400, 10_060, "expected stream does not match")
        message_id = headers.get("Nats-Msg-Id", "")
        if message_id in self._ids:
            return self._ids[message_id][1], None
        ttl_us = self._ttl_us(headers)
        size = size_of(data, headers)
        if 0 <= self.config.get("max_msg_size", -1) < size:
            raise Refusal(400, 10_054, "message size exceeds maximum allowed")
        self._make_room(size + RECORD_BYTES + len(subject))
        self.last_seq += 1
        stored = Stored(self.last_seq, self._transformed(subject), data, headers, now)
        self._add(stored)
        if message_id and self.config.get("duplicate_window", 0):
            self._ids[message_id] = (now, stored.seq)
        if ttl_us:
            heapq.heappush(self._dying, (now + ttl_us, stored.seq))
        for consumer in self.consumers.values():
            consumer.on_stored()
        return stored.seq, stored

    def _add(self, stored: Stored) -> None:
        self.messages[stored.seq] = stored
        self.bytes += stored.size
        if self.config.get("max_msgs_per_subject", -1) == 1:
            older = self._newest.get(stored.subject)
            self._newest[stored.subject] = stored.seq
            if older is not None:
                self.remove(older)

    def _ttl_us(self, headers: Mapping[str, str]) -> int:
        ttl = headers.get("Nats-TTL")
        if ttl is None:
            return 0
        if not self.config.get("allow_msg_ttl"):
            raise Refusal(400, 10_166, "per-message TTL is disabled")
        if not ttl.isdecimal() or int(ttl) < 1:
            raise Refusal(400, 10_165, "invalid per-message TTL")
        return int(ttl) * 1_000_000

    def _make_room(self, size: int) -> None:
        bytes_max, count_max = self.config.get("max_bytes", -1), self.config.get("max_msgs", -1)
        while True:
            too_many = 0 <= count_max <= len(self.messages) and count_max
            too_large = 0 <= bytes_max < self.bytes + size
            if not too_many and not too_large:
                return
            if self.config.get("discard") == "new" or not self.messages:
                raise Refusal(503, 10_077, f"maximum {'messages' if too_many else 'bytes'} exceeded")
            self.remove(next(iter(self.messages)))

    def _transformed(self, subject: str) -> str:
        transform = self.config.get("subject_transform")
        if not transform or not matches(transform["src"], subject):
            return subject
        pairs = zip(transform["src"].split("."), subject.split("."), strict=True)
        result = str(transform["dest"])
        for number, token in enumerate((token for wanted, token in pairs if wanted == "*"), 1):
            result = result.replace(f"{{{{wildcard({number})}}}}", token)
        return result

    def republished(self, stored: Stored) -> bool:
        """Whether a stored message is sent to whoever listens on its subject."""
        republish = self.config.get("republish")
        return republish is not None and matches(republish["src"], stored.subject)

    def newest_of(self, subject: str) -> int:
        """Return the place of a mailbox's newest message under an ingest subject; 0 if there is none."""
        return self._newest.get(self._transformed(subject), 0)

    def expire(self, now: int) -> None:
        """Forget what is past its time."""
        while self._dying and self._dying[0][0] <= now:
            self.remove(heapq.heappop(self._dying)[1])
        if age := self.config.get("max_age", 0) // 1000:
            for stored in self._oldest(now - age):
                self.remove(stored.seq)
        forgotten = now - self.config.get("duplicate_window", 0) // 1000
        while self._ids and self._ids[first := next(iter(self._ids))][0] <= forgotten:
            del self._ids[first]

    def _oldest(self, before: int) -> Iterator[Stored]:
        while self.messages and (first := next(iter(self.messages.values()))).at_us <= before:
            yield first

    def remove(self, seq: int) -> None:
        """Take a message out, also from its consumers."""
        stored = self.messages.pop(seq, None)
        if stored is None:
            return
        self.bytes -= stored.size
        if self._newest.get(stored.subject) == seq:
            del self._newest[stored.subject]
        for consumer in self.consumers.values():
            consumer.on_removed(seq)

    def settle(self, seq: int) -> None:
        """Take out what its consumer has settled, if it is a work queue."""
        if self.is_queue and seq in self.messages:
            self.settled.append(self.messages[seq])
            self.remove(seq)

    def put_back(self, count: int) -> None:
        """Put the last `count` settled messages back, and all consumers behind them, as a crash can."""
        back = [self.settled.pop() for _ in range(min(count, len(self.settled)))]
        for stored in back:
            self.messages[stored.seq] = stored
            self.bytes += stored.size
        self.messages = dict(sorted(self.messages.items()))
        for consumer in self.consumers.values():
            consumer.rewind(count)
