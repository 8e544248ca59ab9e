"""The actor runtime: runs services over one connection and one store until it is told to stop.

Stopping: doors are closed, what was taken in is finished and committed, the outbox is flushed, and only then
does the connection go. What could not be published by then stands in the store.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from msgspec import Struct, structs

from bus.api import BusError
from bus.commands import CommandLoop, ListenerLoop
from bus.duties import ChoreLoop, DutyLoop
from bus.endpoints import MicroEndpoint, MicroService
from bus.inboxes import InboxLoop
from bus.outbox import Outbox
from bus.pulse import Pulse
from bus.service import Context
from bus.supervise import Supervisor
from bus.vitals import Gauge, Vitals
from bus.work import Casts, Worker
from contracts import subjects
from contracts.codec import instant
from contracts.operations.registry import told
from contracts.work import StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anyio.abc import TaskGroup

    from bus.api import Bus, Clock, Subscription
    from bus.endpoints import MicroRequest
    from bus.service import Chore, Endpoint, Front, Service
    from contracts.ledger import Ledger

log = structlog.get_logger(__name__)

STOP_S: Final = 10.0
DOOR_S: Final = 2.0
WATCH_S: Final = 10.0
LEFTOVERS_MAX: Final = 2_000  # the rest is the relay's


class Ports(Struct, frozen=True, kw_only=True):
    """All that a runtime stands on."""

    bus: Bus
    ledger: Ledger
    clock: Clock
    root: str
    streams: Callable[[str], str]  # PINGS to the stream's own name
    ensure: Callable[
        [], Awaitable[str]
    ]  # makes the topology whole; returns the birth of the stream of events
    process: str  # unique to this process
    version: str
    batch: int = 500
    hold_gap_us: int = 90_000_000  # one TTL: a longer gap without a live bus may count against nobody
    chores: Sequence[Chore] = ()  # what the process does beside its services


class Runtime:
    """The services of one process."""

    def __init__(self, services: Sequence[Service], ports: Ports) -> None:
        """Wire everything; nothing runs yet."""
        self.services = services
        self.ports = ports
        self.casts = Casts()
        self.outbox = Outbox(
            bus=ports.bus,
            ledger=ports.ledger,
            clock=ports.clock,
            root=ports.root,
            stream_name=ports.streams,
            ensure=self.ensure,
        )
        self.vitals = Vitals(ledger=ports.ledger, clock=ports.clock, process=ports.process)
        self.pulse = Pulse(
            bus=ports.bus,
            ledger=ports.ledger,
            clock=ports.clock,
            process=ports.process,
            services="+".join(service.name for service in services),
            gap_us=ports.hold_gap_us,
            vitals=self.vitals.text,
        )
        self.context = Context(
            ledger=ports.ledger,
            bus=ports.bus,
            clock=ports.clock,
            outbox=self.outbox,
            root=ports.root,
            batch=ports.batch,
            streams=ports.streams,
            pulse=self.pulse,
        )
        self.worker = Worker(ledger=ports.ledger, outbox=self.outbox, clock=ports.clock, casts=self.casts)
        self.duties = {
            service.name: [
                DutyLoop(duty, context=self.context, worker=self.worker) for duty in service.duties
            ]
            for service in services
        }
        for name, duties in self.duties.items():
            self.vitals.add(name, *(duty.gauge for duty in duties))
        self.commands: dict[str, CommandLoop] = {}
        self.listeners: dict[str, ListenerLoop] = {}
        self._doors: list[Subscription | MicroService] = []
        self._bells: list[Callable[[], None]] = []
        self._published = anyio.Event()
        self._fronts: dict[str, Callable[[anyio.Event], Awaitable[None]]] = {}

    async def run(self, stop: anyio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Run until `stop` is set; returns when everything taken in is finished, or after ten seconds."""
        closed, flushed = anyio.Event(), anyio.Event()
        supervisor = Supervisor(stop, self.ensure)
        porter = Supervisor(closed, self.ensure)  # what comes in by a door is worked off to the last
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as loops:
                await self.ensure()
                for service in self.services:
                    await self._open(service, loops, supervisor, porter)
                for door in self._doors:
                    if isinstance(door, MicroService):
                        group.start_soon(door.run)
                group.start_soon(self._publish, flushed)
                group.start_soon(self._cast)
                loops.start_soon(supervisor.keep, "pulse", self.pulse.run)
                loops.start_soon(supervisor.keep, "topology", self._watch)
                loops.start_soon(supervisor.keep, "vitals", self._tell_vitals)
                for chore in self.ports.chores:
                    loops.start_soon(supervisor.keep, chore.name, ChoreLoop(chore, self.context).run)
                group.start_soon(self._send_leftovers)
                await self.ports.bus.flush()
                log.info("runtime.ready", services=[service.name for service in self.services])
                if ready is not None:
                    ready()
                for name, front in self._fronts.items():
                    loops.start_soon(supervisor.keep, name, front)
                await stop.wait()
                loops.cancel_scope.deadline = anyio.current_time() + STOP_S
                self._ring_all()
                await self._close_doors()
                closed.set()
                self._ring_all()
            flushed.set()
            with anyio.move_on_after(STOP_S):
                await self._published.wait()
                await self.casts.sent()
            group.cancel_scope.cancel()

    async def _publish(self, flushed: anyio.Event) -> None:
        """Publish until all is flushed, or cannot be: what is left stands in the store."""
        await Supervisor(flushed, self.ensure).keep("outbox", self.outbox.run)
        self._published.set()

    async def _tell_vitals(self, stop: anyio.Event) -> None:
        await self.vitals.run(stop, self.ports.bus, self.ports.root)

    async def ensure(self) -> None:
        """Create or repair the topology; a stream of events that is new is filled from the audit."""
        await self.ports.ledger.begin_refill(await self.ports.ensure())

    async def _watch(self, stop: anyio.Event) -> None:
        """Look now and then whether the topology is whole: a lost stream shows only when one writes to it."""
        while not stop.is_set():
            with anyio.move_on_after(WATCH_S):
                await stop.wait()
            if not stop.is_set() and self.ports.bus.connected:
                try:
                    await self.ensure()
                except StoreFaultError as error:
                    log.warning("store.fault", watching="topology", reason=str(error))

    async def _send_leftovers(self) -> None:
        """Send what an earlier life left in the outbox; what a sibling sends too repeats the same id."""
        try:
            self.outbox.put(await self.ports.ledger.unsent(self.ports.clock.now(), LEFTOVERS_MAX))
        except StoreFaultError as error:
            log.warning("store.fault", reason=str(error))

    async def _open(
        self, service: Service, loops: TaskGroup, supervisor: Supervisor, porter: Supervisor
    ) -> None:
        """Open every door of a service and start its loops."""
        name = service.name
        if service.endpoints:
            commands = self.commands[name] = CommandLoop(context=self.context, worker=self.worker)
            self.vitals.add(name, commands.gauge)
            loops.start_soon(porter.keep, f"{name}.commands", commands.run)
            self._bells.append(commands.ring)
            await self._serve(service, commands)
        for declared in service.listeners:
            listener = ListenerLoop(declared, context=self.context, worker=self.worker, casts=self.casts)
            loops.start_soon(porter.keep, f"{name}.{declared.subject}", listener.run)
            self.listeners[declared.subject] = listener
            self.vitals.add(name, listener.gauge)
            self._bells.append(listener.ring)
            self._doors.append(
                await self.ports.bus.subscribe(f"{self.ports.root}.{declared.subject}", listener.accept)
            )
            if declared.changes is not None:
                told = f"{self.ports.root}.{declared.changes}"
                self._doors.append(await self.ports.bus.subscribe(told, listener.changed))
        for inbox in service.inboxes:
            loop = InboxLoop(
                inbox,
                context=self.context,
                worker=self.worker,
                casts=self.casts,
                ensure=self.ensure,
            )
            self.vitals.add(name, loop.gauge)
            loops.start_soon(supervisor.keep, f"{name}.{inbox.durable}", loop.run)
            self._bells.append(loop.ring)
        for duty in self.duties[name]:
            loops.start_soon(supervisor.keep, f"{name}.duty", duty.run)
            self._bells.append(duty.ring)
        for chore in service.chores:
            errand = ChoreLoop(chore, self.context)
            self.vitals.add(name, errand.gauge)
            loops.start_soon(supervisor.keep, f"{name}.{chore.name}", errand.run)
        for front in service.fronts:
            self._fronts[f"{name}.{front.name}"] = partial(front.run, self._watched(name, front))
        wake = f"{self.ports.root}.{subjects.wake(name)}"
        self._doors.append(await self.ports.bus.subscribe(wake, lambda _: self.ring(name)))

    def _watched(self, service: str, front: Front) -> Context:
        """Return what a front may use, its gauge with it: that of one which is run again goes on."""
        if front.every_s is None:
            return self.context
        gauge = Gauge(front.name, self.context.clock, every_s=front.every_s)
        self.vitals.add(service, gauge)
        return structs.replace(self.context, gauge=gauge)

    def _ring_all(self) -> None:
        """Let every loop look whether it has to go on."""
        for bell in self._bells:
            bell()

    def ring(self, service: str) -> None:
        """Ring a service's doorbell."""
        for duty in self.duties.get(service, ()):
            duty.ring()

    async def _serve(self, service: Service, commands: CommandLoop) -> None:
        """Answer as an ADR-32 service, one endpoint for each operation."""
        micro = MicroService(
            self.ports.bus,
            name=f"rollcall-{service.name}",
            version=self.ports.version,
            instance_id=f"{self.ports.process}-{service.name}",
            started_at=instant(self.ports.clock.now()),
            description=(service.__doc__ or "").strip(),
        )
        doors = [
            MicroEndpoint(
                name=endpoint.operation.name.replace(".", "-"),
                subject=self.subject(endpoint),
                handler=_accepting(commands, endpoint),
                metadata=told(endpoint.operation),
            )
            for endpoint in service.endpoints
        ]
        await micro.start(doors)
        self._doors.append(micro)

    def subject(self, endpoint: Endpoint) -> str:
        """Return the subject on which an endpoint is asked, with a wildcard for who asks."""
        operation = endpoint.operation
        if operation.scope == "agent":
            return f"{self.ports.root}.{subjects.agent_command('*', operation.verb)}"
        if operation.scope == "machine":
            return f"{self.ports.root}.{subjects.machine_command('*', operation.verb)}"
        return f"{self.ports.root}.{subjects.command(operation.owner, operation.verb, '*')}"

    async def _close_doors(self) -> None:
        """Stop taking in; nothing more comes from a bus that is gone, and nobody waits for it."""
        for door in self._doors:
            with anyio.move_on_after(DOOR_S if self.ports.bus.connected else 0):
                try:
                    await (door.stop() if isinstance(door, MicroService) else door.drain())
                except BusError as error:
                    log.warning("door.not_drained", reason=str(error))
        self._doors.clear()

    async def _cast(self) -> None:
        """Send replies, casts and doorbells; what the bus cannot take now is lost."""
        while True:
            await self.casts.wait()
            messages, wakes = self.casts.take(self.ports.root)
            for service in wakes:
                self.ring(service)
                messages.append((f"{self.ports.root}.{subjects.wake(service)}", b"", ""))
            for subject, body, traced in messages:
                headers = {"traceparent": traced} if traced else None
                try:
                    await self.ports.bus.publish(subject, body, headers=headers)
                except BusError as error:
                    log.debug("cast.lost", subject=subject, reason=str(error))


def _accepting(commands: CommandLoop, endpoint: Endpoint) -> Callable[[MicroRequest], None]:
    return lambda request: commands.accept(endpoint, request)
