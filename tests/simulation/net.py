"""The simulator's clock and its network: the in-memory bus, and everything that was said on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bus import streams
from bus.memory import MemoryBus, MemoryServer, Record
from tests.simulation.evidence import Stored

if TYPE_CHECKING:
    import random

    from bus.memory import Weather
    from tests.simulation.loop import VirtualLoop

START: Final = 1_800_000_000_000_000
ROOT: Final = "rollcall.v1"
TOPOLOGY: Final = streams.topology(ROOT)


class SimClock:
    """The wall clock and the monotonic one, both the loop's."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Begin on an afternoon in January 2027."""
        self._loop = loop

    def now(self) -> int:
        """Return microseconds since the epoch."""
        return START + self._loop.us

    def monotonic(self) -> float:
        """Return seconds since the loop began."""
        return self._loop.time()


class Net:
    """One server and all connections to it, by the names of their processes."""

    def __init__(self, clock: SimClock, weather: Weather, dice: random.Random) -> None:
        """Begin up and empty."""
        self.server = MemoryServer(clock, weather=weather, rng=dice)
        self.server.taps.append(self._note)
        self.stored: list[Stored] = []
        self.again = 0  # deliveries of what had been settled
        self.raised: list[str] = []  # whoever handles messages has to cope with all of them
        self._settled: set[tuple[str, int]] = set()
        self._links: dict[str, MemoryBus] = {}

    async def connect(self, name: str) -> MemoryBus:
        """Return a new connection; raises BusUnavailable while the server is down."""
        self._links[name] = bus = await MemoryBus.open(self.server, name=name)
        return bus

    def abandon(self, name: str) -> None:
        """Forget the connection of a process that was killed."""
        if name in self._links:
            self.server.abandon(self._links.pop(name))

    def cut(self, name: str) -> None:
        """Cut a process off."""
        if name in self._links:
            self.server.cut(self._links[name])

    def join(self, name: str) -> None:
        """Let it come back."""
        if name in self._links:
            self.server.join(self._links[name])

    def down(self) -> None:
        """Kill the server."""
        if self.server.up:
            self.server.stop()

    def up(self, *, put_back: int = 0) -> None:
        """Start it again; its consumers forget so many of their latest acks."""
        if not self.server.up:
            self.server.start(put_back=put_back)

    def lose(self, stream: str) -> bool:
        """Lose a stream, if it is there."""
        there = stream in self.server.streams
        if there:
            self.server.lose(stream)
        return there

    def repeat(self, stream: str, durable: str) -> int:
        """Deliver again what was delivered and not settled; return how much."""
        found = self.server.streams.get(stream)
        return self.server.repeat(stream, durable) if found is not None and durable in found.consumers else 0

    def standing(self, short: str) -> Sequence[Stored]:
        """Return what a stream holds now."""
        name = TOPOLOGY.name(short)
        found = self.server.streams.get(name)
        if found is None:
            return []
        return [
            Stored(
                short,
                message.subject,
                message.headers.get("Nats-Msg-Id", ""),
                bytes(message.data),
                message.at_us,
            )
            for message in found.messages.values()
        ]

    def _note(self, record: Record) -> None:
        if record.kind == "stored":
            short = record.stream.rpartition("_")[2]
            identity = record.headers.get("Nats-Msg-Id", "")
            self.stored.append(Stored(short, record.subject, identity, bytes(record.data), record.at_us))
        elif record.kind == "ack":
            self._settled.add((record.stream, record.seq))
        elif record.kind == "raised":
            self.raised.append(f"a handler of {record.peer} raised on {record.subject}")
        elif record.kind == "pulled":
            self.again += (record.stream, record.seq) in self._settled
