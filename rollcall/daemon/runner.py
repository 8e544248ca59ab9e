"""Runs one agent: what the keeper decides is done here, and what becomes of it is told to the keeper.

Everything happens on one thread, and an event is taken whole before the next one: so an order is answered
with what came of it.
"""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from bus.api import Clock
from contracts.codec import instant
from contracts.messages import ProcessFacts
from domain.keeper import (
    Adopted,
    Due,
    Effect,
    Event,
    Exited,
    Kept,
    Lost,
    NotSpawned,
    Restart,
    Spawned,
    Start,
    Stop,
    step,
)
from domain.timers import SECOND_US
from rollcall.daemon import procfs
from rollcall.daemon.config import AgentSpec
from rollcall.daemon.journal import Entry, Journal
from rollcall.daemon.process import NotLaunched, Process

log = structlog.get_logger(__name__)

ORDERS_KEPT: Final = 8
WHY_BYTES_MAX: Final = 200  # a beat carries the whys of all processes
_UNTELLABLE: Final = re.compile(r"[\x00-\x1f\x7f]")  # a name of a program may hold anything


class Place(Struct, frozen=True, kw_only=True):
    """Where the agents of this machine run."""

    logs: Path
    doors: Path
    environ: Mapping[str, str]  # what every agent gets, before its own `env`


class Runner:
    """One agent and its process, for as long as the daemon lives."""

    def __init__(
        self, spec: AgentSpec, *, place: Place, journal: Journal, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        """Prepare; `tell` is called with the agent's name whenever its facts have changed."""
        self.spec = spec
        self.kept = Kept()
        self.orders: dict[str, str] = {}
        self._policy = spec.restart.policy()
        self._place = place
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._group: TaskGroup | None = None
        self._process: Process | None = None
        self._session: str | None = None
        self._ended: str | None = None  # the session of the last process that ended
        self._digest = ""
        self._held = False
        self._exits = 0
        self._since = clock.now()
        self._closing = False
        self._rested = anyio.Event()
        self._woken = anyio.Event()

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.spec.name

    @property
    def is_told(self) -> bool:
        """Whether there is anything to tell: of a start only once it has held."""
        return not self.kept.tentative

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._place.logs / f"{self.name}.log"

    @property
    def facts(self) -> ProcessFacts:
        """What is known of the process now; the session is that of the process which runs, or has ended."""
        word = self.kept.word
        return ProcessFacts(
            agent=self.name,
            state=word,
            pid=self._process.pid if self._process is not None and word == "running" else None,
            session=self._session if word == "running" else self._ended,
            since=instant(self._since),
            exits=self._exits,
            capabilities=self.spec.capabilities if word == "running" else None,
            why=tellable(self.kept.why),
        )

    async def run(self) -> None:
        """Do what is due in its time, until cancelled."""
        while True:
            self._woken = anyio.Event()
            due_at = self.kept.due_at
            wait_s = float("inf") if due_at is None else max(0.0, (due_at - self._now()) / SECOND_US)
            with anyio.move_on_after(wait_s):
                await self._woken.wait()
            self._hear(Due())

    def begin(self, entry: Entry | None, group: TaskGroup) -> None:
        """Go on where the daemon before this one ended, or start; processes are watched in `group`."""
        self._group = group
        if entry is None:
            if self.spec.autostart:
                self._hear(Start("started with the daemon"))
            return
        self._session = self._ended = entry.session
        self._digest, self._held = entry.digest, entry.held
        self.orders = dict(entry.orders)
        if entry.rest is None:
            self._find(entry)
        elif entry.rest == "failed" and not self._is_as_started:
            self._hear(Start("started with the daemon, under a new definition"))
        else:
            self.kept = Kept(rest=entry.rest, why=entry.why)

    def order(self, event: Start | Stop | Restart, command_id: str) -> None:
        """Take an operator's order: who was stopped so is not started with the next daemon either."""
        self._held = isinstance(event, Stop)
        self.orders[command_id] = type(event).__name__.lower()
        while len(self.orders) > ORDERS_KEPT:
            del self.orders[next(iter(self.orders))]
        self._hear(event)

    async def close(self, why: str) -> None:
        """Stop it gracefully and wait until it rests; the next daemon starts it, unless it was held."""
        self._closing = True
        if self.kept.phase != "resting":
            self._hear(Stop(why))
            await self._rested.wait()
        self._write()

    def _find(self, entry: Entry) -> None:
        """Adopt the process of the last daemon; say that it is gone; or replace it by what is wanted now."""
        process = found(entry)
        if process is None:
            log.info("process.not_found", agent=self.name, session=entry.session)
            self._miss(entry)
            return
        self._watch(process)
        log.info("process.adopted", agent=self.name, pid=process.pid, session=entry.session)
        self._hear(Adopted(f"adopted: process {process.pid} ran on without a daemon"))
        if not self._is_as_started:
            log.info("process.replaced", agent=self.name, pid=process.pid)
            self._hear(Restart("its definition has changed"))
        elif self._held:
            self._hear(Stop("stopped, as ordered before the daemon ended"))

    def _miss(self, entry: Entry) -> None:
        """Judge a process that ended while nobody watched it."""
        if self._held:
            self._hear(Stop("stopped, as ordered before the daemon ended"))
        elif entry.identity is not None and entry.identity.boot != procfs.boot_id():
            self._hear(Start("started with the machine"))
        else:
            self._hear(Lost("it ended while no daemon ran here"))

    @property
    def _is_as_started(self) -> bool:
        """Whether what was started last is what the file defines now."""
        return self._session is not None and self._digest == self.spec.digest(self._session)

    def _hear(self, event: Event) -> None:
        """Let something happen, and do all that follows from it."""
        before = self.facts
        following: Event | None = event
        while following is not None:
            self.kept, effects = step(self.kept, following, self._now(), self._policy)
            following = self._do(effects[0]) if effects else None
        self._write()
        self._woken.set()
        if self.kept.phase == "resting":
            self._rested.set()
        after = self.facts
        if after.state != before.state:
            self._since = self._clock.now()
        if after != before:
            log.info("process.changed", agent=self.name, state=after.state, pid=after.pid, why=after.why)
            self._tell(self.name)

    def _do(self, effect: Effect) -> Event | None:
        """Carry out what was decided, and return what came of it at once."""
        if effect == "launch":
            return self._launch()
        if self._process is not None and self._group is not None:
            self._group.start_soon(self._process.end, self.spec.stop / SECOND_US)
        return None

    def _launch(self) -> Event:
        self._session = uuid.uuid4().hex
        self._digest = self.spec.digest(self._session)
        self._write()  # whoever comes after us finds the process by its session
        named = {
            "ROLLCALL_AGENT": self.name,
            "ROLLCALL_SESSION": self._session,
            "ROLLCALL_SOCKET": str(self._place.doors / f"{self.name}.sock"),
        }
        if self.spec.creds:
            named["ROLLCALL_NATS__CREDS"] = self.spec.creds
        try:
            process = Process.launch(
                self.spec.words,
                cwd=Path(self.spec.cwd),
                environ={**self._place.environ, **self.spec.env, **named},
                log=self.log,
            )
        except NotLaunched as error:
            self._ended = self._session  # a life of its own, short as it was: not the one that left
            return NotSpawned(str(error))
        self._watch(process)
        return Spawned()

    def _watch(self, process: Process) -> None:
        self._process = process
        if self._group is not None:
            self._group.start_soon(self._wait, process)

    async def _wait(self, process: Process) -> None:
        how, clean = await process.exited()
        self._process = None
        self._ended = self._session
        self._exits += self.kept.phase == "up"
        self._hear(Exited(how, clean=clean))

    def _write(self) -> None:
        """Write down what the next daemon has to know; a stopped one leaves only what was held."""
        rests = self.kept.phase == "resting"
        if self._closing and rests and not self._held:
            self._journal.write(self.name, None)
            return
        entry = Entry(
            session=self._session,
            identity=None if self._process is None else self._process.identity,
            digest=self._digest,
            rest=self.kept.rest if rests else None,
            why=self.kept.why if rests else "",
            held=self._held,
            orders=dict(self.orders),
        )
        self._journal.write(self.name, entry)

    def _now(self) -> int:
        return round(self._clock.monotonic() * SECOND_US)


def tellable(why: str) -> str:
    """Return a reason as it may cross the wire: on one line, and not too long."""
    return _UNTELLABLE.sub("?", why).encode(errors="replace")[:WHY_BYTES_MAX].decode(errors="ignore")


def found(entry: Entry) -> Process | None:
    """Return the process of an entry, if it runs; of one that does not, nothing of its group is left."""
    known = entry.identity
    if known is not None and known.boot != procfs.boot_id():
        return None
    process = None if known is None else Process.adopt(known)
    if process is not None:
        return process
    for leader in procfs.leaders_with("ROLLCALL_SESSION", entry.session or "-"):
        here = procfs.identity(leader)
        if known is None and here is not None:  # the last daemon died when it had started it, or was about to
            return Process.adopt(here)
        if known is None or leader == known.pid:
            log.warning("process.orphans_ended", group=leader, session=entry.session)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
    return None
