"""Monitor: who is there. Agents and machines, joining, beating, leaving, and what the whole looks like."""

from collections.abc import Callable

import structlog
from msgspec import Struct

from bus.resting import Sign
from bus.service import Chore, Delivery, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import RollcallError
from contracts.messages import Beat
from contracts.operations import BY_NAME
from contracts.work import Cast, Claim, Committed, Lookup, Needs, Unit
from domain import agents, attention, brakes, daemons, presence, silence, status
from domain.addresses import Reach
from domain.listening import interval_us
from domain.timers import Timers
from services.monitor import audit, credentials, flags, machines, many, orders, tokens

log = structlog.get_logger(__name__)


class Monitor(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    expected: tuple[str, ...] = ()  # services that should run, here or elsewhere
    authority: credentials.Authority | None = None  # who signs credentials; None: nobody here
    reach: Reach = Reach()
    name: str = "monitor"
    fronts: tuple[Front, ...] = ()
    inboxes: tuple[Inbox, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Agents, presence and the state of the whole."""
        return (
            Endpoint(operation=BY_NAME["agent.add"], unit=self._add),
            Endpoint(operation=BY_NAME["agent.ls"], unit=_list),
            Endpoint(operation=BY_NAME["agent.show"], unit=_show),
            Endpoint(operation=BY_NAME["agent.set"], unit=self._set),
            Endpoint(operation=BY_NAME["agent.join"], unit=self._join),
            Endpoint(operation=BY_NAME["agent.leave"], unit=self._leave),
            Endpoint(operation=BY_NAME["agent.sync"], unit=_sync),
            Endpoint(operation=BY_NAME["agent.prime"], unit=_sync),
            Endpoint(operation=BY_NAME["presence.brakes"], unit=many.listed),
            Endpoint(operation=BY_NAME["presence.release"], unit=self._timed(many.let_go)),
            Endpoint(operation=BY_NAME["team.ready"], unit=many.ready),
            Endpoint(operation=BY_NAME["system.status"], unit=self._status),
            Endpoint(operation=BY_NAME["machine.join"], unit=self._timed(machines.join)),
            Endpoint(operation=BY_NAME["machine.leave"], unit=self._timed(machines.leave)),
            Endpoint(operation=BY_NAME["machine.report"], unit=self._timed(machines.report)),
            Endpoint(operation=BY_NAME["machine.ls"], unit=machines.listed),
            Endpoint(operation=BY_NAME["machine.show"], unit=machines.shown),
            *orders.endpoints(self.timers),
            Endpoint(operation=BY_NAME["attention.ls"], unit=_attention),
            Endpoint(operation=BY_NAME["login.create"], unit=tokens.invite),
            Endpoint(operation=BY_NAME["token.create"], unit=self._timed(tokens.create)),
            Endpoint(operation=BY_NAME["token.ls"], unit=tokens.listed),
            Endpoint(operation=BY_NAME["token.revoke"], unit=tokens.revoke),
            *self._desk.endpoints,
            Endpoint(operation=BY_NAME["audit.ls"], unit=audit.listed),
            Endpoint(operation=BY_NAME["notice.ls"], unit=audit.notices),
            *flags.endpoints(self.timers, self._desk),
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        """The canary, and the word to the server about who is let in."""
        canary = Chore(name="canary", every_s=many.CANARY_S, run=many.sing)
        return (canary, *self._desk.chores)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Beats of agents and of machines."""
        return (
            Listener(
                subject="hb.*",
                sign=self._sign,
                unit=self._beat,
                reply=_beat_reply,
                changes=subjects.event("agent", "*", "*"),
            ),
            Listener(
                subject="hb.machine.*",
                sign=lambda delivery: Sign(delivery.tokens[2]),
                unit=lambda delivery: machines.beat(delivery, self.timers),
                reply=machines.beat_reply,
            ),
        )

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Agents and machines whose beats were missed, and brakes."""
        return (
            Duty(name="silence", claim=self._claim, due_query="next_silent_at", hears=True),
            Duty(name="machines", claim=self._claim_machines, due_query="next_silent_machine_at", hears=True),
            Duty(name="brakes", claim=lambda now: many.claim(now, self.timers), due_query="next_brake_at"),
        )

    @property
    def _desk(self) -> credentials.Desk:
        return credentials.Desk(self.authority, self.timers)

    def _claim(self, now: int) -> Claim:
        quiet = many.silent(now)
        return Claim(
            query="claim_silent",
            rows="agents",
            decide=lambda view, agent_id, at: silence.judge(
                view, agent_id, at, silent=quiet, timers=self.timers
            ),
            needs=Needs(
                clocks=True,
                hosts=True,
                brakes=True,
                leases=True,
                dependents=True,
                shared=(brakes.MEMBERS, quiet),
            ),
            params=(("misses", self.timers.beat_misses),),
        )

    def _claim_machines(self, _now: int) -> Claim:
        return Claim(
            query="claim_silent_machines",
            rows="machines",
            decide=lambda view, machine_id, now: daemons.silent(view, machine_id, now, self.timers),
            params=(("misses", self.timers.machine_misses),),
        )

    def _timed(self, unit: Callable[[Request, Timers], Unit]) -> Callable[[Request], Unit]:
        return lambda request: unit(request, self.timers)

    def _sign(self, delivery: Delivery) -> Sign:
        """Tell beats apart by agent and session: a stale session does not speak over the present one."""
        try:
            heard = decode(delivery.data or b"{}", _Heard)
        except RollcallError:
            return Sign(delivery.tokens[1])
        rests_us = interval_us(heard.interval_s) * self.timers.beat_misses // 2
        canary = delivery.tokens[1] == subjects.CANARY
        return Sign(delivery.tokens[1], heard.session or "", 0 if canary else rests_us)

    def _beat(self, delivery: Delivery) -> Unit | None:
        """Return the unit of a beat; one that cannot be read is nobody's death."""
        try:
            name = subjects.name(delivery.tokens[1])
            if name == subjects.CANARY:
                return many.canary(delivery, self.timers)
            beat = decode(delivery.data or b"{}", Beat)
        except RollcallError as error:
            log.warning("beat.unreadable", subject=".".join(delivery.tokens), reason=str(error))
            return None
        return Unit(
            key=name,
            needs=Needs(agents=(name,)),
            decide=lambda view, now: presence.beat(
                view, now, name, beat, at=delivery.at_us, timers=self.timers
            ),
            actor=f"agent:{name}",
        )

    def _add(self, request: Request) -> Unit:
        params, people = request.params, credentials.people(request.params.name)
        return request.write(
            Needs(agents=(params.name,), lookups=(people,)),
            lambda view, now: agents.add(
                view,
                now,
                params,
                actor=request.actor,
                timers=self.timers,
                reach=self.reach,
                people=view.rows[people],
            ),
        )

    def _set(self, request: Request) -> Unit:
        params = request.params
        return request.write(
            Needs(agents=(params.name,)),
            lambda view, now: agents.set_agent(
                view, now, params, actor=request.actor, timers=self.timers, reach=self.reach
            ),
        )

    def _join(self, request: Request) -> Unit:
        name, params = request.identity, request.params
        notices = Lookup(query="agent_notices", params=(("agent", name),))
        return request.write(
            Needs(agents=(name,), leases=True, lookups=(notices,)),
            lambda view, now: presence.join(
                view, now, name, params, notices=view.rows[notices], timers=self.timers
            ),
        )

    def _leave(self, request: Request) -> Unit:
        name, params = request.identity, request.params
        return request.write(
            Needs(agents=(name,)),
            lambda view, now: presence.leave(view, now, name, params, timers=self.timers),
        )

    def _status(self, request: Request) -> Unit:
        parts = tuple(Lookup(query=query) for query in status.QUERIES)
        return request.read(
            Needs(lookups=(*parts, *attention.LOOKUPS)),
            lambda view, now: status.status(
                view,
                now,
                {part.query: view.rows[part] for part in parts},
                needed=attention.listed(view.rows),
                expected=self.expected,
            ),
        )


class _Heard(Struct, gc=False):
    session: str | None = None
    interval_s: int = 30


def _beat_reply(delivery: Delivery, result: Committed) -> Cast | None:
    """Answer a beat only when it was wrong."""
    if result.problem is None:
        return None
    return Cast(subject=subjects.presence_answer(delivery.tokens[1]), body=encode(result.problem))


def _sync(request: Request) -> Unit:
    name = request.identity
    notices = Lookup(query="agent_notices", params=(("agent", name),))
    return request.read(
        Needs(agents=(name,), leases=True, lookups=(notices,)),
        lambda view, now: presence.sync(view, name, now, notices=view.rows[notices]),
    )


def _attention(request: Request) -> Unit:
    return request.read(Needs(lookups=attention.LOOKUPS), lambda view, _: attention.listed(view.rows))


def _list(request: Request) -> Unit:
    rows = Lookup(query="list_agents", params=(("all", request.params.all),))
    return request.read(Needs(lookups=(rows,)), lambda view, _: agents.listed(view.rows[rows]))


def _show(request: Request) -> Unit:
    name = request.params.name
    return request.read(Needs(agents=(name,), leases=True), lambda view, _: agents.shown(view, name))
