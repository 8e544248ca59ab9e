"""The daemon's line to Rollcall: it joins, beats, reports at once what changed, and takes orders.

What an outage loses is made up: changes stay on the list until they were taken, every beat and every join
tells how all processes are, and a beat that was wrong is answered with the request to join again.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

import anyio
import structlog
from msgspec import Struct, structs

from bus import trace
from bus.api import BusError, Clock, Incoming
from bus.client import connect
from bus.endpoints import INBOXES
from bus.nats import NatsBus
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import Problem, RollcallError
from contracts.limits import MACHINE_BYTES_MAX
from contracts.messages import MachineBeat, ProcessFacts
from contracts.operations.machines import (
    JoinParams,
    JoinResult,
    LeaveParams,
    LeaveResult,
    RefusedProcess,
    ReportParams,
    ReportResult,
)
from domain.timers import SECOND_US
from rollcall.address import bus_url
from rollcall.credentials import Proof, Who, inbox_of, proof
from rollcall.daemon.orders import carry_out
from rollcall.daemon.runner import Runner
from rollcall.settings import Settings

T = TypeVar("T", bound=Struct)
log = structlog.get_logger(__name__)

CONNECT_S: Final = 5.0
ANSWER_S: Final = 2.0
PAUSE_S: Final = (
    0.5  # before the next try; longer each time, and by chance: many machines may come back at once
)
PAUSE_S_MAX: Final = 10.0
REPORTED_MAX: Final = 50  # processes in one report: with all their capabilities it must not be too long
LOOK_S: Final = 1.0  # how often the address is looked up while the bus is away


async def connected(settings: Settings, kind: Who, who: str, creds: str = "") -> NatsBus:
    """Connect in the name of a machine or an agent, however long that takes."""
    said = ""
    while True:
        url = bus_url(settings)
        why = f"{settings.url_file} is not there"
        if url is not None:
            try:
                return await _open(url, who, proof(settings, url, kind, who, creds=creds))
            except (BusError, OSError, ValueError) as error:  # the credentials may be no such file, or none
                why = str(error)
        if why != said:
            said = why
            log.warning("bus.not_found", who=who, reason=why)
        await anyio.sleep(LOOK_S)


async def _open(url: str, who: str, shown: Proof) -> NatsBus:
    client = await connect(
        url,
        name=f"rollcall/{who}",
        inbox_prefix=shown.inbox,
        access=shown.access(),
        timeout_s=CONNECT_S,
    )
    bus = NatsBus(client)
    await bus.start()
    return bus


class Link:
    """One machine's line."""

    def __init__(
        self,
        machine: str,
        *,
        facts: Callable[[], Mapping[str, ProcessFacts]],
        settings: Settings,
        beat_us: int,
        release: str,
        clock: Clock,
    ) -> None:
        """Prepare to tell of `facts` as they are when they are told; nothing is said before `run`."""
        self.session = uuid.uuid4().hex
        self.closing = False
        self._machine = machine
        self._facts = facts
        self._settings = settings
        self._beat_s = beat_us / SECOND_US
        self._release = release
        self._clock = clock
        self._bus: NatsBus | None = None
        self._joined = False
        self._changed: set[str] = set()
        self._news = anyio.Event()
        self._settled = anyio.Event()
        self._refusals: dict[str, str] = {}
        self._orders_in, self._orders = anyio.create_memory_object_stream[Incoming](1_000)

    def tell(self, agent: str) -> None:
        """Note that an agent's facts have changed; they are reported as they are when they are sent."""
        self._changed.add(agent)
        self._settled = anyio.Event()
        self._news.set()

    async def run(self, bus: NatsBus, runners: Mapping[str, Runner]) -> None:
        """Speak for the machine, and let operators give orders to `runners`, until cancelled."""
        self._bus = bus
        bus.on_reconnect(self._again)
        complaints = f"{inbox_of('machine', self._machine)}.beats.{self.session}"
        await bus.subscribe(complaints, self._on_complaint)
        await bus.subscribe(self._subject(subjects.order(self._machine, "*")), self._on_order)
        async with anyio.create_task_group() as group:
            group.start_soon(self._report_all, bus)
            group.start_soon(self._beat_all, bus, complaints)
            group.start_soon(self._obey_all, bus, runners)
            group.start_soon(self._follow, bus)

    async def finish(self) -> None:
        """Wait until all changes were taken, then leave; where nobody can hear it, say nothing."""
        if self._bus is None or not self._bus.connected:
            return
        await self._settled.wait()
        with suppress(BusError, _RefusedError, RollcallError):
            await self._ask(self._bus, "leave", LeaveParams(session=self.session), LeaveResult)

    def _subject(self, subject: str) -> str:
        return f"{self._settings.root}.{subject}"

    def _again(self) -> None:
        """Say at once how all is, for much may have been missed."""
        self._changed.update(self._facts())
        self._news.set()

    async def _ask(self, bus: NatsBus, verb: str, params: Struct, kind: type[T]) -> T:
        """Ask once; raises BusError, or _Refused."""
        subject = self._subject(subjects.machine_command(self._machine, verb))
        headers = {"traceparent": trace.following({})}
        reply = await bus.request(subject, encode(params), timeout_s=ANSWER_S, headers=headers)
        if "Nats-Service-Error-Code" in reply.headers:
            raise _RefusedError(decode(reply.data or b"{}", Problem))
        return decode(reply.data, kind, bytes_max=MACHINE_BYTES_MAX)

    async def _report_all(self, bus: NatsBus) -> None:
        """Report what changed, at once and until it was taken; a machine that is not known joins first."""
        said, pause_s = "", PAUSE_S
        while True:
            self._news = anyio.Event()
            try:
                if not self._joined:
                    await self._join(bus)
                elif self._changed:
                    await self._report(bus)
                said, pause_s = "", PAUSE_S
            except (BusError, _RefusedError, RollcallError) as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("report.not_taken", reason=said)
                if isinstance(error, _RefusedError) and error.problem.code == "rejoin_required":
                    self._joined = False
                with anyio.move_on_after(pause_s * random.uniform(0.5, 1)):  # noqa: S311 - no secret
                    await self._news.wait()
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                continue
            if not self._changed:
                self._settled.set()
                await self._news.wait()

    async def _join(self, bus: NatsBus) -> None:
        told = self._facts()
        self._changed = {name for name, facts in told.items() if facts.capabilities is not None}
        params = JoinParams(
            session=self.session,
            interval_s=max(1, round(self._beat_s)),
            release=self._release,
            processes=_brief(told),
        )
        result = await self._ask(bus, "join", params, JoinResult)
        self._joined = True
        self._note(result.refused)
        log.info("machine.joined", machine=self._machine, session=self.session)

    async def _report(self, bus: NatsBus) -> None:
        names = set(sorted(self._changed)[:REPORTED_MAX])
        self._changed -= names
        told = tuple(facts for name, facts in self._facts().items() if name in names)
        if not told:
            return
        try:
            params = ReportParams(session=self.session, processes=told)
            result = await self._ask(bus, "report", params, ReportResult)
        except BaseException:
            self._changed |= names
            raise
        self._note(result.refused)

    def _note(self, refused: tuple[RefusedProcess, ...]) -> None:
        """Say once why an agent's process is not believed."""
        for one in refused:
            if self._refusals.get(one.agent) != one.why:
                self._refusals[one.agent] = one.why
                log.warning("process.not_believed", agent=one.agent, reason=one.why)

    async def _beat_all(self, bus: NatsBus, complaints: str) -> None:
        seq = 0
        while True:
            if self._joined and bus.connected:
                seq += 1
                beat = MachineBeat(
                    session=self.session,
                    interval_s=max(1, round(self._beat_s)),
                    seq=seq,
                    processes=_brief(self._facts()),
                )
                subject = self._subject(subjects.machine_heartbeat(self._machine))
                try:
                    await bus.publish(subject, encode(beat), reply=complaints)
                except BusError as error:
                    log.info("beat.lost", reason=str(error))
            await anyio.sleep(self._beat_s)

    def _on_complaint(self, message: Incoming) -> None:
        """Join again when a beat was wrong."""
        hint = "if that is another session, again and again: two daemons use this machine's name"
        log.warning("beat.refused", reason=message.data.decode(errors="replace")[:200], hint=hint)
        self._joined = False
        self._news.set()

    def _on_order(self, message: Incoming) -> None:
        """Keep an order until it is its turn; one that nobody could be told of is dropped."""
        if not message.reply.startswith(INBOXES):
            return
        try:
            self._orders_in.send_nowait(message)
        except anyio.WouldBlock:
            log.warning("order.dropped", subject=message.subject)

    async def _obey_all(self, bus: NatsBus, runners: Mapping[str, Runner]) -> None:
        async for message in self._orders:
            agent = message.subject.rpartition(".")[2]
            answer = carry_out(agent, message.data, runners, self._clock.now(), closing=self.closing)
            log.info("order.answered", agent=agent, accepted=answer.accepted, why=answer.why)
            try:
                await bus.publish(message.reply, encode(answer))
            except BusError as error:
                log.info("answer.lost", reason=str(error))

    async def _follow(self, bus: NatsBus) -> None:
        """Look the address up again while the bus is away: it may have come back at another port."""
        url = bus_url(self._settings)
        while True:
            await anyio.sleep(LOOK_S)
            found = None if bus.connected else bus_url(self._settings)
            if found is not None and found != url:
                url = found
                bus.client.set_server_pool([found])


def _brief(told: Mapping[str, ProcessFacts]) -> tuple[ProcessFacts, ...]:
    """Return the facts without what is only reported: those of all processes must fit into a message."""
    return tuple(structs.replace(facts, capabilities=None) for facts in told.values())


class _RefusedError(Exception):
    """Rollcall refused."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail or problem.title}")
        self.problem = problem
