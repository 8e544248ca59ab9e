"""Notifier: tells people what needs them, once when it begins and once when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from ssl import SSLContext, create_default_context
from typing import Final

import anyio
import msgspec
import structlog
from msgspec import Struct, structs

from bus.resolving import Resolver
from bus.sending import Resolve
from bus.service import Chore, Context, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts.codec import encode
from contracts.notifying import Answer, Job, Manner, Receivers, Way
from contracts.operations import BY_NAME
from contracts.operations.notifying import TestResult, Tried
from contracts.work import Changes, Committed, Lookup, Needs, StoreFaultError, Unit, View
from domain.addresses import Reach
from domain.notifying import looking, telling
from services.notifier.ways import Outside, Send, configured, sender

log = structlog.get_logger(__name__)

ACTOR: Final = "rollcall:notifier"
LOOK_S: Final = 2.0
END_S: Final = 3.0
NEWS_MAX: Final = 500
SENT_S: Final = 12.0  # after this whatever a way does is given up
RECENT_US: Final = 3_600_000_000
TRIED_US: Final = 24 * RECENT_US  # longer than any quiet hours, in which a way is not tried
OPEN: Final = Lookup(query="open_notifications")
NOTHING: Final = b"{}"
TEST: Final = "a test: people are told here"


class Notifier(Struct, frozen=True, kw_only=True):
    """See the module."""

    receivers: Receivers = Receivers()
    reach: Reach = Reach()
    manner: Callable[[int], Manner] = lambda _now: Manner()
    resolve: Resolve = msgspec.field(default_factory=Resolver)  # on threads of its own
    trust: Callable[[], SSLContext] = create_default_context
    name: str = "notifier"
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()
    every_s: float = LOOK_S

    @property
    def chores(self) -> tuple[Chore, ...]:
        """The look at what holds."""
        return (Chore(name="look", every_s=self.every_s, run=look),)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The list, and what was sent."""
        return (
            Endpoint(operation=BY_NAME["notification.ls"], unit=_list),
            Endpoint(operation=BY_NAME["notification.read"], unit=_read),
            Endpoint(operation=BY_NAME["notification.sent"], unit=_sent),
            Endpoint(operation=BY_NAME["notification.test"], handler=self._test),
        )

    @property
    def fronts(self) -> tuple[Front, ...]:
        """The ways out, each on its own: who hangs keeps no other waiting."""
        return tuple(Front(name=way, run=partial(self._tell, way)) for way in configured(self.receivers))

    def _ways(self, context: Context) -> Mapping[Way, Send]:
        outside = Outside(
            clock=context.clock, reach=self.reach, resolve=self.resolve, trust=cache(self.trust)
        )
        return {way: sender(way, self.receivers, outside) for way in configured(self.receivers)}

    async def _tell(self, way: Way, context: Context, stop: anyio.Event) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_end, stop, group.cancel_scope)
            send = self._ways(context)[way]
            while not stop.is_set():
                try:
                    await self.turn(way, send, context)
                except StoreFaultError as error:
                    log.warning("store.fault", way=way, reason=str(error))
                with anyio.move_on_after(self.every_s):
                    await stop.wait()
            group.cancel_scope.cancel()

    async def turn(self, way: Way, send: Send, context: Context) -> None:
        """Tell in one way what is to be told now; raises StoreFaultError."""
        now = context.clock.now()
        job = await _taken(way, self.manner(now), context, now)
        if job is not None:
            await _note(job, await _answer(send, job), context)

    async def _test(self, request: Request, context: Context) -> bytes:
        """Send a message to try it, in each way at once."""
        wanted: Way | None = request.params.way
        found: dict[Way, Send] = {
            way: send for way, send in self._ways(context).items() if wanted in (None, way)
        }
        results: dict[Way, Answer] = {}

        async def one(way: Way, send: Send) -> None:
            now = context.clock.now()
            job = Job(
                way=way,
                until=0,
                items=1,
                title=f"Rollcall: {TEST}",
                lines=(TEST,),
                link=self.manner(now).link,
                urgent=False,
                message_id=f"notify:test:{way}:{now}",
                test=True,
            )
            results[way] = await _answer(send, job)
            await _note(job, results[way], context)

        async with anyio.create_task_group() as group:
            for way, send in found.items():
                group.start_soon(one, way, send)
        items = tuple(Tried(way=way, ok=said.ok, answer=said.text) for way, said in sorted(results.items()))
        return encode(TestResult(items=items))


async def _end(stop: anyio.Event, sending: anyio.CancelScope) -> None:
    """Give what is being sent a moment more; what is cut off then is sent again when its lease is over."""
    await stop.wait()
    await anyio.sleep(END_S)
    sending.cancel()


class _News(Struct, frozen=True):
    """There is something to write."""

    news: bool = True


async def look(context: Context, now: int) -> None:
    """Note what began and what is over; as long as that is nothing, nobody who writes waits for us."""
    instants = (("now", now), ("recent", now - RECENT_US), ("tried", now - TRIED_US))
    holding = Lookup(query="holding", params=instants)
    needs = Needs(lookups=(holding, OPEN))
    seen = Unit(
        key="notifier.look",
        needs=needs,
        decide=lambda view, _: _news(news=looking.changed(view.rows[holding], view.rows[OPEN])),
        reads_only=True,
    )
    if not _said(await _done(seen, context, now)):
        return
    unit = Unit(
        key="notifier.look",
        needs=needs,
        decide=lambda view, at: looking.compare(view, at, view.rows[holding], view.rows[OPEN]),
        actor=ACTOR,
    )
    await _done(unit, context, now)


def _news(*, news: bool) -> Changes:
    return Changes(answer=_News()) if news else Changes()


def _said(result: Committed | None) -> bool:
    return result is not None and result.answer != NOTHING


async def _done(unit: Unit, context: Context, now: int) -> Committed | None:
    (result,) = await context.ledger.run([unit], now)
    if not isinstance(result, Committed):
        log.error("unit.failed", key=unit.key, exc_info=result.error)
        return None
    context.outbox.put(result.posts)
    return result


async def _taken(way: Way, manner: Manner, context: Context, now: int) -> Job | None:
    """Take what is to be told in one way, so that nobody else tells it."""
    known = Lookup(query="notify_way", params=(("way", way),))
    news = Lookup(query="news_of", params=(("way", way), ("limit", NEWS_MAX)))
    tally = _tally("")

    def take(view: View, at: int) -> Changes:
        rows = view.rows[news]
        until = rows[-1].id if len(rows) >= NEWS_MAX else view.rows[tally][0].newest
        return telling.take(way, at, known=view.rows[known], news=rows, until=until, manner=manner)

    unit = Unit(
        key=f"notifier.{way}",
        needs=Needs(lookups=(known, news, tally)),
        decide=lambda view, at: _news(news=bool(take(view, at).rows)),
        reads_only=True,
    )
    if not _said(await _done(unit, context, now)):
        return None
    result = await _done(structs.replace(unit, decide=take, reads_only=False, actor=ACTOR), context, now)
    if result is None or result.answer == NOTHING:  # somebody else was faster
        return None
    return msgspec.json.decode(result.answer, type=Job)


async def _answer(send: Send, job: Job) -> Answer:
    """Send it; whatever happens is an answer."""
    try:
        with anyio.fail_after(SENT_S):
            return await send(job)
    except TimeoutError:
        return Answer(ok=False, text=f"given up after {SENT_S:g} s")
    except Exception as error:
        log.exception("people.not_told", way=job.way)
        return Answer(ok=False, text=type(error).__name__)


async def _note(job: Job, answer: Answer, context: Context) -> None:
    """Put on record what became of a message."""
    if not answer.ok:
        log.warning("people.not_told", way=job.way, reason=answer.text)
    known = Lookup(query="notify_way", params=(("way", job.way),))
    unit = Unit(
        key=f"notifier.{job.way}",
        needs=Needs(lookups=(known,)),
        decide=lambda view, at: telling.done(job, answer, at, known=view.rows[known]),
        actor=ACTOR,
    )
    await _done(unit, context, context.clock.now())


def _tally(name: str) -> Lookup:
    return Lookup(query="tally_notifications", params=(("name", name),))


def _list(request: Request) -> Unit:
    params = request.params
    asked = (("open", params.open), ("after", params.after), ("limit", params.limit))
    rows, tally = Lookup(query="list_notifications", params=asked), _tally(request.identity)
    return request.read(
        Needs(lookups=(rows, tally)),
        lambda view, _: looking.listed(view.rows[rows], view.rows[tally][0], params.limit),
    )


def _read(request: Request) -> Unit:
    tally = _tally(request.identity)

    def decide(view: View, _now: int) -> Changes:
        return looking.read(request.params, view.rows[tally][0], name=request.identity)

    return request.write(Needs(lookups=(tally,)), decide)


def _sent(request: Request) -> Unit:
    rows = Lookup(query="list_sends", params=(("limit", request.params.limit),))
    return request.read(Needs(lookups=(rows,)), lambda view, _: looking.sent(view.rows[rows]))
