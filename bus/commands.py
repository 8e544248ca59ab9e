"""Answering commands: decode, decide and commit in batches, reply only after the commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus import trace
from bus.api import BusError
from bus.endpoints import INBOXES
from bus.service import Delivery, Request
from bus.work import internal_error
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import ForbiddenError, OverloadedError, RollcallError, UnavailableError
from contracts.work import Committed, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.api import Incoming
    from bus.endpoints import MicroRequest
    from bus.service import Context, Endpoint, Listener
    from bus.work import Casts, Worker
    from contracts.work import Unit

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 5_000  # beyond it operators' commands are refused; agents' answers never are


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
    identity = subjects.name(tokens[2] if operation.scope == "agent" else tokens[-1])
    params = decode(message.data or b"{}", operation.params, bytes_max=operation.bytes_max)
    return Request(operation, identity, f"{operation.scope}:{identity}", params)


class CommandLoop:
    """All endpoints of one service."""

    def __init__(self, *, context: Context, worker: Worker) -> None:
        """Wire it; nothing runs yet."""
        self._context = context
        self._worker = worker
        self._waiting: deque[tuple[Endpoint, MicroRequest]] = deque()
        self._shed: deque[MicroRequest] = deque()
        self._bell = anyio.Event()

    def accept(self, endpoint: Endpoint, request: MicroRequest) -> None:
        """Take a command in; when too much waits, an operator's is refused."""
        if len(self._waiting) >= WAITING_MAX and endpoint.operation.scope == "operator":
            self._shed.append(request)
        else:
            self._waiting.append((endpoint, request))
        self._bell.set()

    def ring(self) -> None:
        """Look whether there is something to do."""
        self._bell.set()

    async def run(self, closed: anyio.Event) -> None:
        """Work until the doors are `closed` and nothing waits any more."""
        async with anyio.create_task_group() as group:
            while self._waiting or self._shed or not closed.is_set():
                if not self._waiting and not self._shed:
                    self._bell = anyio.Event()
                    with anyio.move_on_after(1.0):
                        await self._bell.wait()
                    continue
                while self._shed:
                    waiting = OverloadedError(f"{WAITING_MAX} commands are waiting")
                    await reply(self._shed.popleft(), refusal(waiting))
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._context.batch))]
                await self.batch([entry for entry in batch if entry[0].unit is not None])
                for endpoint, message in batch:
                    if endpoint.unit is None:
                        group.start_soon(self._handle, endpoint, message)

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
        self._newest: dict[str, Delivery] = {}
        self._bell = anyio.Event()

    def accept(self, message: Incoming) -> None:
        """Keep it until the next batch; an older one of the same key goes."""
        tokens = tuple(subjects.split(message.subject, self._context.root))
        delivery = Delivery(tokens, message.data, self._context.clock.now(), message.reply)
        self._newest[self._listener.key(delivery)] = delivery
        self._bell.set()

    def ring(self) -> None:
        """Look whether there is something to do."""
        self._bell.set()

    async def run(self, closed: anyio.Event) -> None:
        """Work until the door is `closed` and nothing is left."""
        while self._newest or not closed.is_set():
            self._bell = anyio.Event()
            if not self._newest:
                with anyio.move_on_after(1.0):
                    await self._bell.wait()
            try:
                await self.flush()
            except StoreFaultError as error:
                log.warning("store.fault", listener=self._listener.subject, reason=str(error))
                await anyio.sleep(1.0)

    async def flush(self) -> None:
        """Hand over what has come."""
        taken, self._newest = self._newest, {}
        try:
            await self._hand_over(taken)
        except StoreFaultError:
            self._newest = taken | self._newest  # what the store could not take now it takes later
            raise

    async def _hand_over(self, taken: dict[str, Delivery]) -> None:
        read = [(delivery, self._listener.unit(delivery)) for delivery in taken.values()]
        ready = [(delivery, unit) for delivery, unit in read if unit is not None]
        for start in range(0, len(ready), self._context.batch):
            batch = ready[start : start + self._context.batch]
            traces = [trace.following({}) for _ in batch]
            results = await self._worker.run([unit for _, unit in batch], traces)
            for (delivery, _), result, traced in zip(batch, results, traces, strict=True):
                if isinstance(result, Committed):
                    self._say(delivery, result, traced)

    def _say(self, delivery: Delivery, result: Committed, traced: str) -> None:
        said = self._listener.reply(delivery, result)
        if said is None:
            return
        self._casts.put(said, traced)
        if delivery.reply.startswith(INBOXES):
            self._casts.answer(delivery.reply, said.body, traced)
