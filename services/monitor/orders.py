"""The monitor's voice to machines: an operator's order goes to the daemon; what it took is put on record.

The daemon knows the order's command id, and the record is kept under it too: neither is done twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from bus import trace
from bus.api import BusTimeout, NoResponders
from bus.service import Context, Endpoint, Request
from contracts import subjects
from contracts.codec import decode, encode, instant
from contracts.errors import ConflictError, InternalError, RollcallError, UnavailableError, all_errors
from contracts.messages import Order, Ordered
from contracts.operations import BY_NAME
from contracts.operations.orders import SUMMARIES, OrderResult
from contracts.work import Changes, Committed, Needs, Unit, View
from domain import orders
from domain.timers import SECOND_US, Timers

DEADLINE_US: Final = 120 * SECOND_US  # an order that arrives later is not carried out
ANSWER_S: Final = 2.0
Handler = Callable[[Request, Context], Awaitable[bytes]]


def endpoints(timers: Timers) -> tuple[Endpoint, ...]:
    """Return the doors for orders."""
    return tuple(
        Endpoint(operation=BY_NAME[f"agent.{verb}"], handler=_giving(verb, timers)) for verb in SUMMARIES
    )


def _giving(verb: str, timers: Timers) -> Handler:
    async def give(request: Request, context: Context) -> bytes:
        """Ask the daemon, and state what it took."""
        name = request.params.name
        needs = Needs(agents=(name,), hosts=True)
        found = await _done(context, request.read(needs, lambda view, _: orders.target(view, name)))
        target = decode(found.answer, OrderResult)
        said = await _asked(verb, target, request, context)
        taken = OrderResult(agent=name, machine=target.machine, process=said.state, why=said.why)

        def decide(view: View, now: int) -> Changes:
            return orders.ordered(view, now, verb, request.params, taken, actor=request.actor, timers=timers)

        return (await _done(context, request.write(needs, decide))).answer

    return give


async def _asked(verb: str, target: OrderResult, request: Request, context: Context) -> Ordered:
    """Hand the order to the daemon; whoever gets no answer may ask again under the same command id."""
    order = Order(
        verb=verb,  # type: ignore[arg-type] # one of SUMMARIES
        deadline=instant(context.clock.now() + DEADLINE_US),
        command_id=request.params.command_id or str(uuid.uuid4()),
        by=request.actor,
        reason=request.params.reason,
    )
    subject = f"{context.root}.{subjects.order(target.machine, target.agent)}"
    headers = {"traceparent": trace.following({})}
    try:
        reply = await context.bus.request(subject, encode(order), timeout_s=ANSWER_S, headers=headers)
    except NoResponders as error:
        raise UnavailableError(f"no daemon takes orders on {target.machine}: is it running there?") from error
    except BusTimeout as error:
        raise UnavailableError(f"the daemon of {target.machine} did not answer") from error
    said = decode(reply.data, Ordered)
    if not said.accepted:
        raise ConflictError(f"{target.machine}: {said.why}")
    return said


async def _done(context: Context, unit: Unit) -> Committed:
    """Do one unit of work and publish what follows; raises the refusal."""
    (result,) = await context.ledger.run([unit], context.clock.now())
    if not isinstance(result, Committed):
        raise InternalError
    context.outbox.put(result.posts)
    if result.problem is not None:
        kind: type[RollcallError] = all_errors().get(result.problem.code, InternalError)
        raise kind(result.problem.detail, fields=result.problem.fields, **result.problem.state)
    return result
