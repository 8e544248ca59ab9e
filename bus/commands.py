"""Answering commands: decode, decide and commit in batches, reply only after the commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus import trace
from bus.api import BusError
from bus.endpoints import INBOXES
from bus.resting import Resting
from bus.service import Delivery, Request
from bus.vitals import Gauge
from bus.work import internal_error
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import ForbiddenError, OverloadedError, RollcallError, UnavailableError
from contracts.limits import BEATING_MAX, SESSIONS_HEARD_MAX, WAITING_MAX
from contracts.operations.registry import PRIORITIES, Priority
from contracts.work import Committed, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from bus.api import Incoming
    from bus.endpoints import MicroRequest
    from bus.resting import Sign
    from bus.service import Context, Endpoint, Listener
    from bus.work import Casts, Worker
    from contracts.work import Unit

log = structlog.get_logger(__name__)

TURN_S: Final = 1.0  # an idle loop looks so often whether it has to go on
SHARE: Final = 20  # a twentieth of each batch is left to what is less urgent
REFUSED_MAX: Final = 10_000  # refusals that wait to be sent; who gets none asks again all the same


async def reply(request: MicroRequest, committed: Committed) -> None:
    """Answer with the result or the refusal; who cannot be reached any more asks again."""
    problem = committed.problem
    try:
        if problem is None:
            await request.respond(committed.answer)
        else:
            await request.respond_error(problem.status, problem.code, encode(problem))
    except BusError as error:
        log.debug("reply.lost", subject=request.subject, reason=str(error))


def refusal(error: RollcallError) -> Committed:
    """Return the reply to what could not be taken in."""
    return Committed(problem=error.problem())


def read_request(endpoint: Endpoint, message: MicroRequest, root: str) -> Request:
    """Decode a command; the identity comes from the subject, which the connection's permission proves."""
    operation = endpoint.operation
    tokens = subjects.split(message.subject, root)
    identity = subjects.name(tokens[-1] if operation.scope == "operator" else tokens[2])
    params = decode(message.data or b"{}", operation.params, bytes_max=operation.bytes_max)
    return Request(operation, identity, f"{operation.scope}:{identity}", params)


class CommandLoop:
    """All endpoints of one service: what is more urgent is done first, and shed last."""

    def __init__(self, *, context: Context, worker: Worker) -> None:
        """Wire it; nothing runs yet."""
        self._context = context
        self._worker = worker
        self._waiting: dict[Priority, deque[tuple[Endpoint, MicroRequest]]] = {
            priority: deque() for priority in PRIORITIES
        }
        self.in_hand: dict[Priority, int] = dict.fromkeys(PRIORITIES, 0)  # waiting, or being done
        self.shed: dict[Priority, int] = dict.fromkeys(PRIORITIES, 0)
        self._refused: deque[tuple[Priority, MicroRequest]] = deque(maxlen=REFUSED_MAX)
        self._bell = anyio.Event()
        self._refused_bell = anyio.Event()
        self.gauge = Gauge(
            "commands", context.clock, every_s=TURN_S, waiting=lambda: sum(self.in_hand.values())
        )

    def accept(self, endpoint: Endpoint, request: MicroRequest) -> None:
        """Take a command in; when too many of its priority are in hand, it is refused."""
        priority = endpoint.operation.priority
        if self.in_hand[priority] < WAITING_MAX[priority]:
            self.in_hand[priority] += 1
            self._waiting[priority].append((endpoint, request))
            self._bell.set()
        else:
            self.shed[priority] += 1
            self._refused.append((priority, request))
            self._refused_bell.set()

    def ring(self) -> None:
        """Look whether there is something to do."""
        self._bell.set()

    async def run(self, closed: anyio.Event) -> None:
        """Work until the doors are `closed` and nothing waits any more."""
        async with anyio.create_task_group() as refusing:
            refusing.start_soon(self._refuse)
            async with anyio.create_task_group() as handling:
                while any(self._waiting.values()) or not closed.is_set():
                    self.gauge.turn()
                    if not any(self._waiting.values()):
                        self._bell = anyio.Event()
                        with anyio.move_on_after(TURN_S):
                            await self._bell.wait()
                        continue
                    await self._do(self._take(), handling)
            refusing.cancel_scope.cancel()
        await self._refuse_all()

    async def _do(self, taken: list[tuple[Endpoint, MicroRequest]], handling: TaskGroup) -> None:
        """Do a batch in one transaction, and beside it what is none."""
        units = [entry for entry in taken if entry[0].unit is not None]
        for endpoint, message in taken:
            if endpoint.unit is None:
                handling.start_soon(self._handle, endpoint, message)
        try:
            await self.batch(units)
        finally:
            for endpoint, _ in units:
                self.in_hand[endpoint.operation.priority] -= 1

    def _take(self) -> list[tuple[Endpoint, MicroRequest]]:
        """Take a batch, most urgent first; a little room is left to each, so that nobody starves."""
        room = self._context.batch
        share = max(1, room // SHARE)
        kept = {priority: min(len(waiting), share) for priority, waiting in self._waiting.items()}
        taken: list[tuple[Endpoint, MicroRequest]] = []
        for priority, waiting in self._waiting.items():
            later = sum(kept[other] for other in PRIORITIES[PRIORITIES.index(priority) + 1 :])
            count = min(len(waiting), max(room - len(taken) - later, kept[priority]))
            taken += [waiting.popleft() for _ in range(count)]
        return taken

    async def _refuse(self) -> None:
        """Answer at once who is refused: whoever is overloaded must not be slow to say so."""
        while True:
            self._refused_bell = anyio.Event()
            await self._refuse_all()
            await self._refused_bell.wait()

    async def _refuse_all(self) -> None:
        if self._refused:
            log.warning("commands.shed", waiting=len(self._refused), total=self.shed)
        while self._refused:
            priority, request = self._refused.popleft()
            many = OverloadedError(f"{WAITING_MAX[priority]} commands like this are in hand")
            await reply(request, refusal(many))

    async def batch(self, entries: Sequence[tuple[Endpoint, MicroRequest]]) -> None:
        """Decide a batch of commands in one transaction and reply to each."""
        ready: list[tuple[MicroRequest, Unit]] = []
        for endpoint, request in entries:
            try:
                ready.append((request, self._unit(endpoint, request)))
            except RollcallError as error:
                await reply(request, refusal(error))
        if not ready:
            return
        traces = [trace.following(request.headers) for request, _ in ready]
        try:
            results = await self._worker.run([unit for _, unit in ready], traces)
        except StoreFaultError as error:
            log.warning("store.fault", refused=len(ready), reason=str(error))
            ill = refusal(UnavailableError("the store cannot be used now"))
            results = [ill] * len(ready)
        for (request, _), result in zip(ready, results, strict=True):
            await reply(request, result if isinstance(result, Committed) else internal_error())

    def _unit(self, endpoint: Endpoint, request: MicroRequest) -> Unit:
        if endpoint.unit is None:
            raise ForbiddenError
        return endpoint.unit(read_request(endpoint, request, self._context.root))

    async def _handle(self, endpoint: Endpoint, request: MicroRequest) -> None:
        """Answer one operation that is no transaction."""
        try:
            await self._answer(endpoint, request)
        finally:
            self.in_hand[endpoint.operation.priority] -= 1

    async def _answer(self, endpoint: Endpoint, request: MicroRequest) -> None:
        try:
            asked = read_request(endpoint, request, self._context.root)
            body = b"{}" if endpoint.handler is None else await endpoint.handler(asked, self._context)
            await reply(request, Committed(answer=body))
        except RollcallError as error:
            await reply(request, refusal(error))
        except (BusError, StoreFaultError) as error:
            await reply(request, refusal(UnavailableError(str(error))))
        except Exception:
            log.exception("handler.failed", operation=endpoint.operation.name)
            await reply(request, internal_error())


class ListenerLoop:
    """One core subject of one service: the newest message of each key, handed over in batches."""

    def __init__(self, listener: Listener, *, context: Context, worker: Worker, casts: Casts) -> None:
        """Wire it; nothing runs yet."""
        self._listener = listener
        self._context = context
        self._worker = worker
        self._casts = casts
        self._newest: dict[str, dict[str, Delivery]] = {}  # by who and which
        self._since: int | None = None  # when the first of these came
        self._writing_since: int | None = None  # and of those that are being written
        self._resting = Resting()
        self._bell = anyio.Event()
        context.pulse.ask(lambda: self.waiting_since)
        self.gauge = Gauge(listener.subject, context.clock, every_s=TURN_S, waiting=lambda: self.in_hand)

    @property
    def waiting_since(self) -> int | None:
        """When the first message came, or was due, that is not written yet (microseconds)."""
        since = self._since if self._writing_since is None else self._writing_since
        overdue = self._resting.overdue(self._context.clock.now())
        return min((at for at in (since, overdue) if at is not None), default=None)

    @property
    def resting(self) -> int:
        """How many messages wait because what was written of their senders still holds."""
        return len(self._resting)

    @property
    def in_hand(self) -> int:
        """How many messages wait for the next batch."""
        return sum(map(len, self._newest.values()))

    def accept(self, message: Incoming) -> None:
        """Keep it until the next batch; an older one of the same key goes.

        What comes from more senders than can be kept is dropped, and nobody is judged by it.
        """
        tokens = tuple(subjects.split(message.subject, self._context.root))
        delivery = Delivery(tokens, message.data, self._context.clock.now(), message.reply)
        sign = self._listener.sign(delivery)
        if not sign.rests_us or not self._resting.takes(sign, delivery):
            self._put(sign, delivery)

    def _put(self, sign: Sign, delivery: Delivery) -> None:
        if sign.who not in self._newest and len(self._newest) >= BEATING_MAX:
            self._context.pulse.missed()
            return
        if self._since is None:
            self._since = delivery.at_us
        _keep(self._newest.setdefault(sign.who, {}), sign.which, delivery)
        self._bell.set()

    def changed(self, message: Incoming) -> None:
        """Hear that something became of a sender: its word that waits is written, and so is its next one."""
        who = subjects.split(message.subject, self._context.root)[2]
        waited = self._resting.forget(who)
        if waited is not None:
            self._put(self._listener.sign(waited), waited)

    def ring(self) -> None:
        """Look whether there is something to do."""
        self._bell.set()

    async def run(self, closed: anyio.Event) -> None:
        """Work until the door is `closed` and nothing is left."""
        while self._newest or self._resting or not closed.is_set():
            self.gauge.turn()
            self._bell = anyio.Event()
            if not self._newest:
                with anyio.move_on_after(TURN_S):
                    await self._bell.wait()
            rested = self._resting.all() if closed.is_set() else self._resting.due(self._context.clock.now())
            for delivery in rested:
                self._put(self._listener.sign(delivery), delivery)
            try:
                await self.flush()
            except StoreFaultError as error:
                log.warning("store.fault", listener=self._listener.subject, reason=str(error))
                await anyio.sleep(1.0)

    async def flush(self) -> None:
        """Hand over what has come."""
        taken, self._newest = self._newest, {}
        self._writing_since, self._since = self._since, None
        try:
            await self._hand_over(taken)
        except StoreFaultError:
            for who, newer in self._newest.items():  # what the store could not take now it takes later
                for which, delivery in newer.items():
                    _keep(taken.setdefault(who, {}), which, delivery)
            self._newest, self._since = taken, self._writing_since
            raise
        finally:
            self._writing_since = None

    async def _hand_over(self, taken: dict[str, dict[str, Delivery]]) -> None:
        newest = [delivery for said in taken.values() for delivery in said.values()]
        read = [(delivery, self._listener.unit(delivery)) for delivery in newest]
        ready = [(delivery, unit) for delivery, unit in read if unit is not None]
        for start in range(0, len(ready), self._context.batch):
            batch = ready[start : start + self._context.batch]
            traces = [trace.following({}) for _ in batch]
            results = await self._worker.run([unit for _, unit in batch], traces)
            for (delivery, _), result, traced in zip(batch, results, traces, strict=True):
                if isinstance(result, Committed):
                    self._say(delivery, result, traced)

    def _say(self, delivery: Delivery, result: Committed, traced: str) -> None:
        sign = self._listener.sign(delivery)
        if result.problem is None and sign.rests_us:
            self._resting.written(sign, delivery.at_us)
        said = self._listener.reply(delivery, result)
        if said is None:
            return
        self._casts.put(said, traced)
        if delivery.reply.startswith(INBOXES):
            self._casts.answer(delivery.reply, said.body, traced)


def _keep(said: dict[str, Delivery], which: str, delivery: Delivery) -> None:
    """Keep the newest of one kind, and of kinds the last few."""
    said.pop(which, None)
    said[which] = delivery
    if len(said) > SESSIONS_HEARD_MAX:
        del said[next(iter(said))]
