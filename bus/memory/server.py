"""The server of the in-memory bus: who listens where, what is stored, and what a test can do to it.

How to use it stands in `bus.memory`, which has the connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from bus.api import NO_HEADERS, Clock, Incoming
from bus.memory import api
from bus.memory.interest import Interest
from bus.memory.streams import NOBODY, SILENCE, MemoryStream, Refusal, Stored
from bus.memory.weather import Calm, Hop, Kind, Record, Weather

if TYPE_CHECKING:
    from bus.memory.connection import MemoryBus
    from bus.memory.consumers import MemoryConsumer, PullRequest
    from bus.memory.subscription import MemorySubscription

Verb = Literal["ack", "nak", "term"]


class MemoryServer:
    """One server, up from the start."""

    def __init__(
        self, clock: Clock, *, weather: Weather | None = None, rng: random.Random | None = None
    ) -> None:
        """Take the clock that stamps messages, and what chooses in a queue group."""
        self.clock = clock
        self.weather: Weather = weather or Calm()
        self.taps: list[Callable[[Record], None]] = []
        self.streams: dict[str, MemoryStream] = {}
        self.context = contextvars.Context()  # of its own timers: they are not of who asked for something
        self.up = True
        self.life = 1  # counts the starts
        self._rng = rng or random.Random(0)  # noqa: S311 - not a secret
        self._links: list[MemoryBus] = []
        self._interest: Interest[MemorySubscription] = Interest()
        self._numbers = itertools.count(1)

    # what a test can do to it

    def stop(self) -> None:
        """Go down, as at a crash: every connection is lost, and what is on the way with it."""
        self.up = False
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                consumer.halt()
        for link in list(self._links):
            link.lose()

    def start(self, *, put_back: int = 0) -> None:
        """Come up with all that was stored; connections come back by themselves.

        With `put_back` the consumers stand where they stood so many settled messages ago: those come again,
        and so does what was not settled, each as if for the first time.
        """
        self.up = True
        self.life += 1
        for stream in self.streams.values():
            stream.put_back(put_back)
            for consumer in stream.consumers.values():
                consumer.resume()
        for link in list(self._links):
            self.welcome(link)

    def cut(self, link: MemoryBus) -> None:
        """Cut one connection off until it is joined again."""
        link.cut_off = True
        link.lose()

    def join(self, link: MemoryBus) -> None:
        """Let a connection come back."""
        link.cut_off = False
        self.welcome(link)

    def abandon(self, link: MemoryBus) -> None:
        """End a connection as the crash of its process does: nobody there notices, or does anything again."""
        link.abandon()
        self.forget_link(link)
        self._links.remove(link)

    def lose(self, stream: str) -> None:
        """Lose a stream with all that is in it and all its consumers."""
        for durable in list(self.streams[stream].consumers):
            self.lose_consumer(stream, durable)
        del self.streams[stream]

    def lose_consumer(self, stream: str, durable: str) -> None:
        """Lose a consumer; those who pull from it are told."""
        consumer = self.streams[stream].consumers.pop(durable)
        asked = list(consumer.waiting)
        consumer.halt()
        for request in asked:
            request.gone()

    def repeat(self, stream: str, durable: str) -> int:
        """Deliver again what a consumer has given out and not seen settled; return how many."""
        return self.streams[stream].consumers[durable].repeat()

    # what connections ask of it

    def number(self) -> int:
        """Return a number that no other caller gets."""
        return next(self._numbers)

    def attach(self, link: MemoryBus) -> None:
        """Know a new connection."""
        self._links.append(link)
        if self.up:
            link.come_back()

    def welcome(self, link: MemoryBus) -> None:
        """Let a connection come back in its time, if it can by then."""
        asyncio.get_running_loop().call_later(
            self.weather.away_s(link.name), link.come_back, context=link.context
        )

    def forget_link(self, link: MemoryBus) -> None:
        """Drop what a connection listens to and asked for."""
        for subscription in link.subscriptions:
            self.ignore(subscription)
        for puller in link.pullers:
            self.forget_asker(puller)

    def forget_asker(self, asker: object) -> None:
        """Drop what somebody asked for."""
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                consumer.forget(asker)

    def detach(self, link: MemoryBus) -> None:
        """Forget a connection that was closed."""
        self.forget_link(link)
        if link in self._links:
            self._links.remove(link)

    def listen(self, subscription: MemorySubscription) -> None:
        """Send it what lies in its subject."""
        self._interest.add(subscription.subject, subscription.number, subscription)

    def ignore(self, subscription: MemorySubscription) -> None:
        """Send it nothing more."""
        self._interest.remove(subscription.subject, subscription.number)

    def publish(self, subject: str, data: bytes, headers: Mapping[str, str], reply: str) -> None:
        """Take a message: for who listens, for a stream, for the API; a reply says if it was for nobody."""
        if subject.startswith(api.PREFIX):
            answer = api.answer(self, subject, data)
            self._reply(reply, b"" if answer is None else answer, unheard=answer is None)
            return
        heard = self.spread(Incoming(subject=subject, data=data, headers=headers, reply=reply))
        stream = self._stream_for(subject)
        if stream is not None:
            try:
                seq, duplicate = self.store(stream, subject, data, headers)
                said = {"stream": stream.name, "seq": seq} | ({"duplicate": True} if duplicate else {})
            except Refusal as error:
                told = {"code": error.code, "err_code": error.err_code, "description": error.description}
                said = {"error": told, "stream": stream.name, "seq": 0}
            self._reply(reply, msgspec.json.encode(said))
        elif not heard:
            self._reply(reply, b"", unheard=True)

    def _reply(self, reply: str, data: bytes, *, unheard: bool = False) -> None:
        if reply:
            headers = {"Status": "503"} if unheard else NO_HEADERS
            self.spread(Incoming(subject=reply, data=data, headers=headers))

    def store_for(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Refusal | None:
        """Store what must go to a stream; return why it was not."""
        heard = self.spread(Incoming(subject=subject, data=data, headers=headers))
        found = self._stream_for(subject)
        if found is None:
            return SILENCE if heard else NOBODY
        try:
            self.store(found, subject, data, headers)
        except Refusal as error:
            return error
        return None

    def store(
        self, stream: MemoryStream, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bool]:
        """Store a message, and send it on where the stream says so; return its place, and if it was known."""
        before = stream.newest_of(subject)
        seq, stored = stream.store(subject, data, headers, self.clock.now())
        if stored is None:
            return seq, True
        self.note("stored", stored, stream=stream.name)
        if stream.republished(stored):
            origin = {
                "Nats-Stream": stream.name,
                "Nats-Subject": stored.subject,
                "Nats-Sequence": str(seq),
                "Nats-Time-Stamp": api.timestamp(stored.at_us),
                "Nats-Last-Sequence": str(before),
            }
            self.spread(Incoming(subject=stored.subject, data=data, headers={**headers, **origin}))
        return seq, False

    def spread(self, message: Incoming) -> bool:
        """Send a message to all who listen, and to one of each group; return whether there was anybody."""
        chosen: list[MemorySubscription] = []
        groups: dict[str, list[MemorySubscription]] = {}
        for one in self._interest.find(message.subject):
            (groups.setdefault(one.queue, []) if one.queue else chosen).append(one)
        chosen += [group[0] if len(group) == 1 else self._rng.choice(group) for group in groups.values()]
        for one in chosen:
            self.hand("deliver", message.subject, one.link, one.arrive, message)
        return bool(chosen)

    def _stream_for(self, subject: str) -> MemoryStream | None:
        return next((stream for stream in self.streams.values() if stream.takes(subject)), None)

    def hand(
        self, hop: Hop, subject: str, link: MemoryBus, arrive: Callable[..., None], *arguments: object
    ) -> None:
        """Send something to a connection; what arrives after that was lost is lost too."""
        delays = self.weather.fate(hop, subject, link.name)
        for delay in delays[:1] if hop == "push" else delays:
            if delay:
                asyncio.get_running_loop().call_later(
                    delay, link.if_same_life, link.life, arrive, *arguments, context=link.context
                )
            else:
                arrive(*arguments)

    def take_late(self, life: int, call: Callable[[], None]) -> None:
        """Take what was long on its way, unless the server for which it was meant is no more."""
        if self.up and self.life == life:
            call()

    def consumer(self, stream: str, durable: str) -> MemoryConsumer | None:
        """Return a consumer, if it is there."""
        found = self.streams.get(stream)
        if found is not None:
            found.expire(self.clock.now())
        return found.consumers.get(durable) if found is not None else None

    def ask(self, stream: str, durable: str, request: PullRequest) -> None:
        """Take a request for messages."""
        found = self.consumer(stream, durable)
        if found is None:
            request.gone()
        else:
            found.ask(request)

    def settle(self, stream: str, durable: str, seq: int, verb: Verb, delay_s: float) -> None:
        """Take a word about a message that was pulled."""
        found = self.consumer(stream, durable)
        if found is None:
            return
        if self.taps and seq in found.stream.messages:
            self.note(verb, found.stream.messages[seq], stream=stream)
        if verb == "nak":
            found.give_back(seq, delay_s)
        else:
            found.settle(seq)

    def note(
        self, kind: Kind, message: Stored | Incoming, *, stream: str = "", peer: str = "", delivered: int = 0
    ) -> None:
        """Tell the taps."""
        if not self.taps:
            return
        record = Record(
            kind,
            self.clock.now(),
            message.subject,
            message.data,
            message.headers,
            peer,
            stream,
            message.seq,
            delivered,
        )
        for tap in self.taps:
            tap(record)
