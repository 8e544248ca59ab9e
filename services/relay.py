"""Relay: sweeps what publishers left behind, asks mailboxes about late words, keeps dead letters."""

import anyio
from msgspec import Struct

from bus import dead_letters
from bus.service import Chore, Context, Duty, Endpoint, Front, Inbox, Listener
from contracts.operations import BY_NAME
from contracts.records import Doubt

OLD_US = 10_000_000
SWEEP_POSTS_MAX = 2_000
REFILL_POSTS = 500
ASK_MAILBOXES_MAX = (
    200  # a second: there are as many after an outage of the bus as pings that it made needless
)


class Relay(Struct, frozen=True, kw_only=True):
    """See the module."""

    name: str = "relay"
    fronts: tuple[Front, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Dead letters."""
        return (
            Endpoint(operation=BY_NAME["dlq.ls"], handler=dead_letters.listed),
            Endpoint(operation=BY_NAME["dlq.show"], handler=dead_letters.shown),
            Endpoint(operation=BY_NAME["dlq.replay"], handler=dead_letters.replay),
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        """The sweep, the question to mailboxes, and the refill of a lost stream."""
        return (
            Chore(name="sweep", every_s=1.0, run=_sweep),
            Chore(name="ask", every_s=1.0, run=_ask),
            Chore(name="refill", every_s=1.0, run=_refill),
        )


async def _sweep(context: Context, now: int) -> None:
    """Publish rows that nobody has confirmed for ten seconds; the same ids make a second sending harmless.

    Also while this process has much to publish itself: what a killed sibling left waits for no quiet moment.
    """
    if not context.bus.connected:
        return
    context.outbox.put(await context.ledger.unsent(now - OLD_US, SWEEP_POSTS_MAX))


async def _ask(context: Context, now: int) -> None:
    """Ask mailboxes whether they hold a ping that was replaced before anybody knew it on the bus (ADR 16).

    Whoever sent it asks too, and sooner, unless it was killed.
    """
    if not context.bus.connected:
        return
    doubts = await context.ledger.doubts(now, ASK_MAILBOXES_MAX)
    answers: list[tuple[Doubt, bool]] = []

    async def ask(doubt: Doubt) -> None:
        newest = await context.outbox.newest_id("PINGS", doubt.subject)
        if newest is not None:
            answers.append((doubt, newest == doubt.message_id))

    async with anyio.create_task_group() as group:
        for doubt in doubts:
            group.start_soon(ask, doubt)
    if answers:
        await context.ledger.settle(answers, context.clock.now())


async def _refill(context: Context, _now: int) -> None:
    """Publish the audit again, under the same ids, into a stream that was lost."""
    while context.bus.connected and (page := await context.ledger.refill_page(REFILL_POSTS)) is not None:
        posts, until = page
        items = [context.outbox.outgoing(post) for post in posts]
        await context.bus.publish_batch(items, stream=context.streams("EVENTS"))
        await context.ledger.refilled(until)
