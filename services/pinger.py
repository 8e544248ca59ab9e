"""Pinger: sends the pings that are due, and takes the answers, durable or asked for at once."""

from collections.abc import Callable

from msgspec import Struct, structs

from bus.service import Chore, Context, Delivery, Duty, Endpoint, Front, Inbox, Listener, Request, digest
from contracts import messages, subjects
from contracts.codec import decode, decode_union, encode
from contracts.errors import InvalidError, RollcallError
from contracts.operations import BY_NAME
from contracts.work import Cast, Changes, Claim, CommandKey, Committed, Needs, Unit, View
from domain import answers, deliveries, operators, pinging, presence
from domain.timers import Timers

_ALONE = Needs(alone=True)
_PINGED = Needs(alone=True, shared=(deliveries.ENDPOINTS,))
_ENDING = (messages.Complete, messages.Decline, messages.Fail, messages.Release)  # others end no task
NUMBER_DIGITS_MAX = 18  # stays below 2**63


class Pinger(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    pings_per_second: int | None = None
    name: str = "pinger"
    fronts: tuple[Front, ...] = ()
    listeners: tuple[Listener, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every kind of answer, `next`, and what operators say about the assignment of a task."""
        kinds = (BY_NAME[f"assignment.{kind}"] for kind in messages.ANSWERS)
        asked = Endpoint(operation=BY_NAME["assignment.next"], unit=_next)
        said = (
            Endpoint(operation=BY_NAME["task.ack"], unit=self._said(operators.ack)),
            Endpoint(operation=BY_NAME["task.snooze"], unit=self._said(operators.snooze)),
            Endpoint(operation=BY_NAME["task.answer"], unit=self._said(operators.answer)),
        )
        return (*(Endpoint(operation=operation, unit=self._asked) for operation in kinds), asked, *said)

    @property
    def inboxes(self) -> tuple[Inbox, ...]:
        """The answers stored on the bus."""
        return (Inbox(stream="ACKS", durable="answers", unit=self._stored, reply=_reply),)

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Pings, and words that an older one overtook on its way to the mailbox."""
        return (
            Duty(
                name="pings",
                claim=self._claim,
                due_query="next_ping_at",
                per_second_max=self.pings_per_second,
            ),
            Duty(name="restates", claim=self._claim_restates, due_query="next_restate_at"),
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        """Saying up to when the answers have been handled."""
        return (Chore(name="answered", every_s=1.0, run=_answered),)

    def _said(self, decide: Callable[..., Changes]) -> Callable[[Request], Unit]:
        return lambda request: request.write(
            Needs(tasks=(request.params.task,)),
            lambda view, now: decide(view, now, request.params, actor=request.actor, timers=self.timers),
        )

    def _claim(self, _now: int) -> Claim:
        return Claim(query="claim_pings", rows="assignments", decide=self._ping, needs=_PINGED)

    def _claim_restates(self, _now: int) -> Claim:
        return Claim(query="claim_restates", rows="assignments", decide=self._restate, needs=_ALONE)

    def _restate(self, view: View, assignment_id: int, now: int) -> Changes:
        return pinging.restate(view, assignment_id, now, timers=self.timers)

    def _ping(self, view: View, assignment_id: int, now: int) -> Changes:
        return pinging.ping(view, assignment_id, now, timers=self.timers)

    def _stored(self, delivery: Delivery) -> Unit:
        _, agent, assignment = delivery.tokens
        answer: messages.Answer = decode_union(delivery.data, messages.Answer)
        if answer.incarnation is None:
            missing = {"incarnation": "missing"}
            raise InvalidError("name the incarnation of the ping that you answer", fields=missing)
        place = f"@{delivery.seq}.{delivery.at_us}"  # no command id can look so
        return self._unit(
            subjects.name(agent), _number(assignment), answer, answer.command_id or place, delivery.at_us
        )

    def _asked(self, request: Request) -> Unit:
        answer = request.params
        return self._unit(request.identity, answer.assignment, answer, answer.command_id, None)

    def _unit(
        self, agent: str, assignment: int, answer: messages.Answer, known_as: str | None, at: int | None
    ) -> Unit:
        """Return the unit of an answer, done once for what it is known as.

        A stored one counts at the bus's time, never later than now; without a command id it is known by its
        place in the stream: delivered again it must not be done again.
        """

        def decide(view: View, now: int) -> Changes:
            said_at = now if at is None else min(at, now)
            return answers.answer(view, now, assignment, answer, agent=agent, at=said_at, timers=self.timers)

        return Unit(
            key=f"{agent}.{assignment}",
            needs=Needs(
                assignments=(assignment,),
                agents=(agent, *_awaited(answer)),
                dependents=isinstance(answer, _ENDING),
            ),
            decide=decide,
            actor=f"agent:{agent}",
            command=_command(agent, assignment, answer, known_as),
            refusals=("assignment", str(assignment)),
        )


def _next(request: Request) -> Unit:
    needs = Needs(agents=(request.identity,), leases=True)
    return request.read(needs, lambda view, now: presence.next_owed(view, request.identity, now))


def _awaited(answer: messages.Answer) -> tuple[str, ...]:
    """Return whom the answer says it waits for, who may be an agent."""
    return (answer.who,) if isinstance(answer, messages.Wait) and answer.who else ()


def _command(agent: str, assignment: int, answer: messages.Answer, known_as: str | None) -> CommandKey | None:
    """Name the command, whichever door it came by."""
    if known_as is None:
        return None
    kind = type(answer).__struct_config__.tag
    body = structs.asdict(answer) | {"kind": kind, "assignment": assignment}
    return CommandKey(f"agent:{agent}", known_as, digest(body))


class _Named(Struct):
    """The part of an answer that a refusal repeats."""

    kind: str = "unknown"
    command_id: str | None = None


def _reply(delivery: Delivery, result: Committed) -> Cast:
    subject = ".".join(("answer", *delivery.tokens[1:]))
    if result.problem is None:
        return Cast(subject=subject, body=result.answer)
    try:
        named = decode(delivery.data, _Named)
    except RollcallError:
        named = _Named()
    refused = messages.Outcome(
        assignment=int(delivery.tokens[2]) if _is_number(delivery.tokens[2]) else 0,
        kind=named.kind[:64],
        accepted=False,
        command_id=named.command_id and named.command_id[:64],
        problem=result.problem,
    )
    return Cast(subject=subject, body=encode(refused))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX


def _number(text: str) -> int:
    if not _is_number(text):
        raise InvalidError(f"{text[:40]!r} is not the number of an assignment")
    return int(text)


async def _answered(context: Context, now: int) -> None:
    """Accept-by and progress-by are missed only up to the oldest answer that nobody has handled yet."""
    if not context.bus.connected:
        return
    backlog = await context.bus.backlog(context.streams("ACKS"))
    await context.pulse.answered(now if backlog.count == 0 else min(now, backlog.oldest_at_us))
