"""Answering commands: decode, decide and commit in batches, reply only after the commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus import trace
from bus.service import Delivery, Request
from bus.work import internal_error
from contracts import subjects
from contracts.codec import decode
from contracts.errors import ForbiddenError, InternalError, OverloadedError, RollcallError, UnavailableError
from contracts.work import Committed, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bus.api import Incoming
    from bus.service import Context, Endpoint, Listener
    from bus.work import Worker
    from contracts.errors import Problem
    from contracts.work import Unit

log = structlog.get_logger(__name__)

BATCH_MAX: Final = 500
WAITING_MAX: Final = 5_000  # beyond it operators' commands are refused; agents' answers never are


def read_request(endpoint: Endpoint, message: Incoming, root: str) -> Request:
    """Decode a command; the identity comes from the subject, which the connection's permission proves."""
    operation = endpoint.operation
    tokens = subjects.split(message.subject, root)
    identity = subjects.name(tokens[2] if operation.scope == "agent" else tokens[-1])
    params = decode(message.data or b"{}", operation.params, bytes_max=operation.bytes_max)
    return Request(operation, identity, f"{operation.scope}:{identity}", params)


class CommandLoop:
    """All endpoints of one service."""

    def __init__(
        self,
        *,
        context: Context,
        worker: Worker,
        reply: Callable[[Incoming, bytes, Problem | None], None],
    ) -> None:
        """Wire it; nothing runs yet."""
        self._context = context
        self._worker = worker
        self._reply = reply
        self._waiting: deque[tuple[Endpoint, Incoming]] = deque()
        self._bell = anyio.Event()

    def accept(self, endpoint: Endpoint, message: Incoming) -> None:
        """Take a command in; when too much waits, an operator's is refused at once."""
        if len(self._waiting) >= WAITING_MAX and endpoint.operation.scope == "operator":
            self._reply(message, b"", OverloadedError(f"{WAITING_MAX} commands are waiting").problem())
            return
        self._waiting.append((endpoint, message))
        self._bell.set()

    async def run(self, stop: anyio.Event) -> None:
        """Work until `stop` and nothing waits any more."""
        async with anyio.create_task_group() as group:
            while not (stop.is_set() and not self._waiting):
                if not self._waiting:
                    self._bell = anyio.Event()
                    with anyio.move_on_after(1.0):
                        await self._bell.wait()
                    continue
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
                await self.batch([entry for entry in batch if entry[0].unit is not None])
                for endpoint, message in batch:
                    if endpoint.unit is None:
                        group.start_soon(self._handle, endpoint, message)

    async def batch(self, entries: Sequence[tuple[Endpoint, Incoming]]) -> None:
        """Decide a batch of commands in one transaction and reply to each."""
        ready: list[tuple[Incoming, Unit]] = []
        for endpoint, message in entries:
            try:
                request = read_request(endpoint, message, self._context.root)
                ready.append((message, self._unit(endpoint, request)))
            except RollcallError as error:
                self._reply(message, b"", error.problem())
        if not ready:
            return
        traces = [trace.following(message.headers) for message, _ in ready]
        try:
            results = await self._worker.run([unit for _, unit in ready], traces)
        except StoreFaultError as error:
            log.warning("store.fault", refused=len(ready), reason=str(error))
            for message, _ in ready:
                self._reply(message, b"", UnavailableError("the store cannot be written now").problem())
            return
        for (message, _), result in zip(ready, results, strict=True):
            done = result if isinstance(result, Committed) else internal_error()
            self._reply(message, done.answer, done.problem)

    def _unit(self, endpoint: Endpoint, request: Request) -> Unit:
        if endpoint.unit is None:
            raise ForbiddenError
        return endpoint.unit(request)

    async def _handle(self, endpoint: Endpoint, message: Incoming) -> None:
        try:
            request = read_request(endpoint, message, self._context.root)
            if endpoint.handler is not None:
                self._reply(message, await endpoint.handler(request, self._context), None)
        except RollcallError as error:
            self._reply(message, b"", error.problem())
        except Exception:
            log.exception("handler.failed", operation=endpoint.operation.name)
            self._reply(message, b"", InternalError().problem())


class ListenerLoop:
    """One core subject of one service: the newest message of each subject, handed over in batches."""

    def __init__(self, listener: Listener, *, context: Context, worker: Worker) -> None:
        """Wire it; nothing runs yet."""
        self._listener = listener
        self._context = context
        self._worker = worker
        self._newest: dict[str, Delivery] = {}
        self._bell = anyio.Event()

    @property
    def subject(self) -> str:
        """The subject to subscribe to, without the root."""
        return self._listener.subject

    def accept(self, message: Incoming) -> None:
        """Keep it until the next batch; an older one of the same subject goes."""
        tokens = tuple(subjects.split(message.subject, self._context.root))
        self._newest[message.subject] = Delivery(tokens, message.data, self._context.clock.now(), message.reply)
        self._bell.set()

    async def run(self, stop: anyio.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
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
        units = self._listener.units(list(taken.values()), self._context.clock.now())
        if units:
            await self._worker.run(units, [trace.following({}) for _ in units])
