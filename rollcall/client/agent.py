"""One agent: it joins, beats, hears its pings, answers, and comes back after every outage."""

import asyncio
import logging
import os
import random
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import nats.errors as ne
from nats.aio.msg import Msg

from rollcall.client.desk import NO_TRACE, Desk
from rollcall.client.line import Line, result_of, stored
from rollcall.client.promise import Next, Ping, Sync
from rollcall.client.wire import Closed, Notice, Problem, Refused, RollcallError, Unavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

LEAVE_S: Final = 2.0
LOOK_S: Final = 1.0  # how often the address is looked up while the bus is away
STORM_S_MAX: Final = 2.0  # who comes back after an outage comes with all the others: each waits a while
CONTESTED: Final = 4  # told so often, within so many beats, to join again: another process uses the name
CONTESTED_BEATS: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Agent:
    """One agent on the bus, for as long as its `async with` lasts."""

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        creds: str | Path | None = None,
        root: str | None = None,
        interval_s: int = 30,
        capabilities: Sequence[str] | None = None,
        patience_s: float = 60.0,
        options: Mapping[str, Any] = NO_TRACE,
    ) -> None:
        """Prepare; `patience_s` of trying ends in Unavailable, and `options` (tls, token) go to nats-py."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is not a name: 1 to 63 letters, digits, _ or -")
        self.name = name
        self._session = _given_session(name) or uuid.uuid4().hex
        self._root = root or os.environ.get("ROLLCALL_ROOT") or "rollcall.v1"
        self._complaints = f"_INBOX_{name}.beats.{self._session}"  # about beats of this run, not of another
        self._hello = {"session": self._session, "interval_s": interval_s, "capabilities": capabilities}
        self._interval_s = interval_s
        self._line = Line(
            url=url, creds=str(creds) if creds else None, patience_s=patience_s, options=options
        )
        self._desk = Desk(self)
        self._absent = asyncio.Event()
        self._came_back = False
        self._told_absent: deque[float] = deque(maxlen=CONTESTED)
        self._keeper: asyncio.Task[None] | None = None

    @property
    def session(self) -> str:
        """Which of the agent's runs this is; a newer one takes its place."""
        return self._session

    async def __aenter__(self) -> Self:
        """Connect, subscribe and join; raises Unavailable, NotAllowed or Refused."""
        try:
            await self._line.open(self.name, self._on_back)
            await self._listen()
            await self._join()
        except (ne.Error, OSError) as error:
            await self._line.client.close()
            raise Unavailable(str(error)) from error
        except BaseException:
            await self._line.client.close()
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"rollcall agent {self.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave, send what is pending, close; an outage does not hold this up for long.

        Who goes because of an error does not say goodbye: that would be an end that was meant.
        """
        crashed = isinstance(error, Exception)
        await asyncio.shield(asyncio.create_task(self._close(leaves=not crashed)))

    def pings(self) -> AsyncIterator[Ping]:
        """Yield each ping that is owed an answer, every attempt once; raises when the agent was cut off."""
        return self._desk.pings()

    def notices(self) -> AsyncIterator[Notice]:
        """Yield what the agent is told without having asked."""
        return self._desk.notices()

    async def sync(self) -> Sync:
        """Ask what the agent holds and missed; a ping among it that is new is yielded by `pings`, too."""
        return self._desk.take(await self.command("sync", Sync, {}))

    async def next(self) -> Ping | None:
        """Ask for the most urgent ping that is owed an answer now; `pings` does not yield it again."""
        lease = (await self.command("next", Next, {})).lease
        return None if lease is None or lease.ping is None else self._desk.hand_over(lease.ping)

    async def store(self, assignment: int, body: dict[str, Any], trace: Mapping[str, str] = NO_TRACE) -> None:
        """Publish an answer, and return when the bus has stored it."""
        await self._line.ask(f"{self._root}.ack.{self.name}.{assignment}", body, stored, trace)

    async def command(
        self, verb: str, kind: type[T], body: dict[str, Any], trace: Mapping[str, str] = NO_TRACE
    ) -> T:
        """Send a command, and return its result; raises Refused."""
        body = {**body, "command_id": body.get("command_id") or str(uuid.uuid4())}
        subject = f"{self._root}.cmd.agent.{self.name}.{verb}"
        return await self._line.ask(subject, body, result_of(kind), trace)

    async def _listen(self) -> None:
        """Subscribe, and wait until the server has taken or refused it."""
        heard = {"ping": self._desk.on_ping, "answer": self._on_answer, "notice": self._desk.on_notice}
        subjects = {f"{self._root}.{word}.{self.name}.*": hear for word, hear in heard.items()}
        subjects[self._complaints] = self._on_complaint
        for subject, hear in subjects.items():
            await self._line.subscribe(subject, hear)
        await self._line.client.flush()
        for subject in subjects:
            self._line.check_allowed(subject)

    async def _join(self) -> None:
        self._desk.take(await self.command("join", Sync, self._hello))

    async def _keep(self) -> None:
        """Stay present, and end all iterations when that is not possible any more."""
        try:
            await self._stay()
            self._desk.close(Closed(f"the bus closed the connection: {self._line.client.last_error}"))
        except RollcallError as error:
            self._desk.close(error)
        except Exception as error:
            log.exception("the agent cannot stay present")
            self._desk.close(Closed(f"{type(error).__name__}: {error}"))

    async def _stay(self) -> None:
        """Beat; join again after every outage, and whenever the monitor asks for it."""
        seq = 0
        while not self._line.client.is_closed:
            if self._absent.is_set():
                await self._let_others_by()
                self._absent.clear()
                await self._rejoin()
            seq += 1
            beat = {"session": self._session, "interval_s": self._interval_s, "seq": seq}
            await self._line.say(f"{self._root}.hb.{self.name}", beat, reply=self._complaints)
            with suppress(TimeoutError):
                wait_s = self._interval_s if self._line.connected else min(LOOK_S, self._interval_s)
                await asyncio.wait_for(self._absent.wait(), wait_s)
            self._line.check_let_in()
            await self._line.follow()

    async def _let_others_by(self) -> None:
        """After an outage, wait a part of the interval, which is drawn: a fleet must not join all at once."""
        if self._came_back:
            self._came_back = False
            longest_s = min(STORM_S_MAX, self._interval_s / 10)
            await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 - no secret

    async def _rejoin(self) -> None:
        """Join again, unless the name is taken: two that take it from each other would never end."""
        told = self._told_absent
        if len(told) == CONTESTED and told[-1] - told[0] < CONTESTED_BEATS * self._interval_s:
            detail = f"another process speaks for {self.name}, too"
            raise Refused(Problem(code="stale_session", status=409, detail=detail))
        try:
            await self._join()
        except Unavailable as error:  # nobody is there to join yet: the next round tries again
            log.warning("not joined: %s", error)
            self._absent.set()

    async def _close(self, *, leaves: bool) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        self._desk.close(None)
        if leaves and self._line.connected:
            try:
                goodbye = self.command("leave", dict[str, Any], {"session": self._session})
                await asyncio.wait_for(goodbye, LEAVE_S)
            except (RollcallError, TimeoutError) as error:  # its silence will say the same
                log.warning("did not leave: %s", error)
        await self._line.close()

    def _on_back(self) -> None:
        """Note that the bus is there again after an outage."""
        self._came_back = True
        self._absent.set()

    def _on_answer(self, message: Msg) -> None:
        if not message.subject.endswith(".presence"):  # those are for agents without an inbox for their beats
            self._desk.on_outcome(message)

    def _on_complaint(self, message: Msg) -> None:
        """Hear that a beat was wrong."""
        said = msgspec.json.decode(message.data, type=Problem)
        if said.code == "rejoin_required" and not self._absent.is_set():
            self._told_absent.append(time.monotonic())
            self._absent.set()


def _given_session(name: str) -> str | None:
    """Return the session that the machine's daemon gave this process, if it was started as this agent."""
    return os.environ.get("ROLLCALL_SESSION") if os.environ.get("ROLLCALL_AGENT") == name else None
