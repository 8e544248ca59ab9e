"""Courier: brings pings to agents that are told over HTTP, and says when they cannot be told."""

from collections.abc import Callable
from functools import cache
from ssl import SSLContext, create_default_context

import anyio
from msgspec import Struct

from bus.errands import TICK_S, Errand, ErrandLoop
from bus.resolving import Resolver
from bus.sending import Limits, Resolve
from bus.service import Chore, Context, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts.operations import BY_NAME
from contracts.work import Changes, Claim, Lookup, Needs, Unit, View
from domain import deliveries, webhooks
from domain.addresses import Reach
from domain.deliveries import Patience
from domain.timers import Timers
from services.courier.trying import Messenger

AT_ONCE = 64


class Courier(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    reach: Reach = Reach()
    patience: Patience = Patience()
    limits: Limits = Limits()
    resolve: Resolve | None = None  # None: as the system does, on threads of its own
    trust: Callable[[], SSLContext] = create_default_context
    name: str = "courier"
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()
    chores: tuple[Chore, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Keys, and what became of deliveries."""
        return (
            Endpoint(operation=BY_NAME["webhook.rotate"], unit=_rotate),
            Endpoint(operation=BY_NAME["webhook.settle"], unit=_settle),
            Endpoint(operation=BY_NAME["webhook.ls"], unit=_list),
        )

    @property
    def fronts(self) -> tuple[Front, ...]:
        """The way out."""
        return (Front(name="deliveries", run=self._deliver, every_s=TICK_S),)

    async def _deliver(self, context: Context, stop: anyio.Event) -> None:
        messenger = Messenger(
            clock=context.clock,
            reach=self.reach,
            patience=self.patience,
            limits=self.limits,
            resolve=self.resolve or Resolver(),
            trust=cache(self.trust),
        )
        errand = Errand(
            name="deliveries",
            service=self.name,
            claim=self.claim(),
            due_query="next_delivery_at",
            run=messenger.run,
            at_once=AT_ONCE,
        )
        await ErrandLoop(errand, context).run(stop)

    def claim(self) -> Claim:
        """Return the claim of what is due."""

        def take(view: View, number: int, now: int) -> Changes:
            due = view.rows[deliveries.row(number)][0]
            return deliveries.take(due, now, timers=self.timers, patience=self.patience)

        return Claim(query="claim_deliveries", rows="deliveries", decide=take, row_query=deliveries.ROW)


def _rotate(request: Request) -> Unit:
    params = request.params
    known = _known(params.name)
    return request.write(
        Needs(agents=(params.name,), lookups=(known,)),
        lambda view, now: webhooks.rotate(view, now, params, actor=request.actor, known=view.rows[known]),
    )


def _settle(request: Request) -> Unit:
    params = request.params
    known = _known(params.name)
    return request.write(
        Needs(lookups=(known,)),
        lambda view, now: webhooks.settle(view, now, params, actor=request.actor, known=view.rows[known]),
    )


def _list(request: Request) -> Unit:
    return request.page("list_deliveries", webhooks.listed)


def _known(agent: str) -> Lookup:
    return Lookup(query="webhook_keys_of", params=(("agent", agent),))
