"""A door for every active agent: `rollcall up` keeps them, whoever comes and goes."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import structlog

from bus.actor import Ports
from bus.api import Incoming
from contracts.work import Changes, Committed, Lookup, Needs, StoreFaultError, Unit, View
from rollcall.door.hall import DoorError, Hall, doors

log = structlog.get_logger(__name__)

DOORS_MAX: Final = 2_000
PAUSE_S: Final = 0.5  # a thousand agents that are added together are looked at once
LOOK_AGAIN_S: Final = 60.0  # an event may have been missed


@asynccontextmanager
async def fleet_doors(folder: Path, ports: Ports) -> AsyncGenerator[None]:
    """Hold a door open, in `folder`, for each of the first 2,000 active agents, for the length of the block.

    Those that are active have theirs before the block begins; who is added or leaves for good is noticed by
    the events of agents. Without a usable folder there are no doors, which is logged.
    """
    async with AsyncExitStack() as stack:
        try:
            hall = await stack.enter_async_context(doors(folder, ports.bus, root=ports.root))
        except DoorError as error:
            log.warning("doors.missing", reason=str(error))
            yield
            return
        fleet = Fleet(hall, ports)
        await ports.bus.subscribe(f"{ports.root}.evt.agent.*.*", fleet.ring)
        ports.bus.on_reconnect(fleet.ring)
        await fleet.look()
        async with anyio.create_task_group() as group:
            group.start_soon(fleet.keep)
            yield
            group.cancel_scope.cancel()


class Fleet:
    """Who has to have a door, and who has one."""

    def __init__(self, hall: Hall, ports: Ports) -> None:
        self._hall = hall
        self._ports = ports
        self._rung = anyio.Event()
        self._warned = False

    def ring(self, _event: Incoming | None = None) -> None:
        """Look again soon."""
        self._rung.set()

    async def keep(self) -> None:
        """Look whenever something was said of an agent."""
        while True:
            with anyio.move_on_after(LOOK_AGAIN_S):
                await self._rung.wait()
            await anyio.sleep(PAUSE_S)
            self._rung = anyio.Event()
            await self.look()

    async def look(self) -> None:
        """Close the doors of those who are active no more, and open those of the others."""
        names = await self._names()
        if names is None:
            return
        for agent in self._hall.agents - set(names):
            await self._hall.close(agent)
        try:
            for agent in names[:DOORS_MAX]:
                await self._hall.open(agent)
        except DoorError as error:  # the next ones would fail the same way
            self._warn(str(error))
        if len(names) > DOORS_MAX:
            self._warn(f"there are doors for {DOORS_MAX} agents")

    async def _names(self) -> Sequence[str] | None:
        """Return the names of the active agents; None while the store cannot tell."""
        found: list[str] = []
        rows = Lookup(query="active_names", params=(("limit", DOORS_MAX + 1),))

        def note(view: View, _now: int) -> Changes:
            found.extend(row[0] for row in view.rows[rows])
            return Changes()

        unit = Unit(key="doors", needs=Needs(lookups=(rows,)), decide=note, reads_only=True)
        try:
            (outcome,) = await self._ports.ledger.run([unit], self._ports.clock.now())
        except StoreFaultError as error:
            log.warning("doors.not_looked", reason=str(error))
            return None
        return found if isinstance(outcome, Committed) else None

    def _warn(self, reason: str) -> None:
        """Say it once: the verbs of agents without a door go the long way."""
        if not self._warned:
            log.warning("doors.missing", reason=reason)
        self._warned = True
