"""Who watches the watchers: every process looks each second whether the house is well, and says so once.

Any process that lives raises the alarm, so that of no service the silence goes unnoticed; when all are gone,
or the last one cannot speak, the address outside hears nothing more, and that is the alarm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec import structs

from bus.service import Chore
from contracts.codec import decode
from contracts.operations.system import Finding, Health
from contracts.records import Alarm
from contracts.work import Changes, Committed, Lookup, Needs, Unit
from domain import health
from domain.status import WATCHED, watched
from rollcall.deadman import DeadMan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.service import Context
    from contracts.work import View
    from rollcall.settings import Settings

log = structlog.get_logger(__name__)

WATCH_S: Final = 1.0
SETTLING_S: Final = 10.0  # services are started one after the other: nobody is missed before
OPEN: Final = Finding(
    name="open",
    severity="error",
    detail="the bus lets in everybody who reaches it: each may answer for every agent",
    fix="rollcall down; rollcall up   (without --open)",
)
_LOOKUPS: Final = tuple(Lookup(query=query) for query in WATCHED)


def chores(names: Sequence[str], settings: Settings) -> tuple[Chore, ...]:
    """Return what a process of these services does beside them: it watches, and its monitor calls outside."""
    watch = Watch(settings.services.expected, also=(OPEN,) if settings.nats.open else ())
    found = [Chore(name="watch", every_s=WATCH_S, run=watch.run)]
    if settings.watch.deadman_url and "monitor" in names:
        caller = DeadMan(settings.watch.deadman_url)
        outside = Outside(watch, caller)
        every_s = settings.watch.deadman_every_us / 1e6
        found.append(Chore(name="deadman", every_s=every_s, run=outside.run))
    return tuple(found)


class Watch:
    """The look at the house."""

    def __init__(
        self, expected: Sequence[str], *, also: Sequence[Finding] = (), settling_s: float = SETTLING_S
    ) -> None:
        """Expect these services to run, here or elsewhere; `also` is wrong, too, as long as this lasts."""
        self._also = tuple(also)
        self._expected = tuple(expected)
        self._settling_s = settling_s
        self._began: float | None = None

    async def look(self, context: Context, now: int) -> Health:
        """Return what is wrong now; raises StoreFaultError."""
        unit = Unit(key="watch", needs=Needs(lookups=_LOOKUPS), decide=self._seen, reads_only=True)
        (seen,) = await context.ledger.run([unit], now)
        if not isinstance(seen, Committed):
            raise seen.error
        found = decode(seen.answer, Health, bytes_max=len(seen.answer))
        return structs.replace(found, findings=(*found.findings, *self._also)) if self._also else found

    async def run(self, context: Context, now: int) -> None:
        """Raise the alarms that are due, and end those that are over; each is announced once."""
        if self._began is None:
            self._began = context.clock.monotonic()
        if context.clock.monotonic() - self._began < self._settling_s:
            return
        seen = await self.look(context, now)
        wrong = {found.name: found for found in seen.findings if found.severity == "error"}
        if wrong.keys() == set(seen.alarms):
            return
        standing = [
            Alarm(name=name, since=now, detail=found.detail, fix=found.fix) for name, found in wrong.items()
        ]
        for name in wrong.keys() - set(seen.alarms):
            log.error("alarm.raised", what=name, detail=wrong[name].detail, fix=wrong[name].fix)
        for name in set(seen.alarms) - wrong.keys():
            log.info("alarm.over", what=name)
        said = await context.ledger.alarm(standing, now)
        context.outbox.put(said.posts)

    def _seen(self, view: View, now: int) -> Changes:
        rows = {lookup.query: view.rows[lookup] for lookup in _LOOKUPS}
        return Changes(answer=watched(rows, now, expected=self._expected))


class Outside:
    """Tells an address outside that all is well, as long as it is."""

    def __init__(self, watch: Watch, caller: DeadMan) -> None:
        """Look with `watch`, call with `caller`."""
        self._watch = watch
        self._caller = caller

    async def run(self, context: Context, now: int) -> None:
        """Call, if this round is good; never waits for the call."""
        seen = await self._watch.look(context, now)
        if health.healthy(seen.findings):
            self._caller.call()
