"""Working off a durable consumer: pull, decide and commit a batch, then settle each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus import dead_letters, trace
from bus.api import BusError, BusTimeout, BusUnavailable, NoStream, Outgoing
from bus.service import Delivery
from bus.supervise import mend
from bus.vitals import Gauge
from contracts import subjects
from contracts.codec import encode, instant, readable
from contracts.errors import RollcallError
from contracts.limits import HANDLER_TRIES_MAX
from contracts.messages import DeadLetter
from contracts.work import Committed, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bus.api import Bus, Incoming, Puller
    from bus.service import Context, Inbox
    from bus.work import Casts, Worker
    from contracts.work import Unit

    Ready = tuple[Incoming, Delivery, Unit]

log = structlog.get_logger(__name__)

GIVE_BACK_S: Final = 2.0
TAKE_S: Final = 1.0


class InboxLoop:
    """One inbox of one service."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        context: Context,
        worker: Worker,
        casts: Casts,
        ensure: Callable[[], Awaitable[None]],
    ) -> None:
        """Wire it; nothing runs yet. `ensure` recreates missing streams."""
        self._ensure = ensure
        self._taking = anyio.CancelScope()
        self._inbox = inbox
        self._context = context
        self._worker = worker
        self._casts = casts
        self._stream = context.streams(inbox.stream)
        self.handled = 0
        self.dead = 0
        self._puller: Puller | None = None
        self._in_work = 0
        self.gauge = Gauge(inbox.durable, context.clock, every_s=TAKE_S, waiting=lambda: self.waiting)

    @property
    def waiting(self) -> int:
        """How many messages are in work, or wait for it as far as is known here."""
        return self._in_work + (0 if self._puller is None else self._puller.pending())

    @property
    def _bus(self) -> Bus:
        return self._context.bus

    def ring(self) -> None:
        """Wait no longer for messages."""
        self._taking.cancel()

    async def run(self, stop: anyio.Event) -> None:
        """Work until `stop`; raises ConsumerGone for the supervisor to mend the topology."""
        puller = self._puller = await self._bus.pull(
            self._stream, self._inbox.durable, batch=self._context.batch
        )
        lost: BusError | None = None
        turn = anyio.Semaphore(1)
        try:
            async with anyio.create_task_group() as group:
                try:
                    while not stop.is_set():
                        self.gauge.turn()
                        ready = await self._read(await self._take(puller))  # while the store writes the last
                        if ready:
                            await turn.acquire()
                            group.start_soon(self._work, ready, turn)
                except BusError as error:
                    lost = error  # the supervisor wants it as it is, and not in a group
        finally:
            self._puller = None
            with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                await puller.close()
        if lost is not None:
            raise lost

    async def _take(self, puller: Puller) -> list[Incoming]:
        with anyio.CancelScope() as self._taking:
            return await puller.take(self._context.batch, expires_s=TAKE_S)
        return []  # somebody rang

    async def _read(self, messages: Sequence[Incoming]) -> list[Ready]:
        """Make units of messages; those of which none can be made are buried."""
        ready: list[Ready] = []
        for message in messages:
            delivery = self._delivery(message)
            try:
                ready.append((message, delivery, self._inbox.unit(delivery)))
            except RollcallError as error:
                await self._refuse_unreadable(message, delivery, error)
        return ready

    async def _work(self, ready: Sequence[Ready], turn: anyio.Semaphore) -> None:
        """Decide and commit one batch; when the store could not, give all back and rest."""
        traces = [trace.following(message.headers) for message, _, _ in ready]
        self._in_work += len(ready)
        try:
            results = await self._worker.run([unit for _, _, unit in ready], traces)
        except StoreFaultError as error:
            log.warning("store.fault", given_back=len(ready), reason=str(error))
            for message, _, _ in ready:
                message.nak(GIVE_BACK_S)
            await anyio.sleep(GIVE_BACK_S)  # the store is ill: leave the rest on the bus
            return
        finally:
            self._in_work -= len(ready)
            turn.release()  # the next batch is written while this one is settled
        for (message, delivery, _), result, traced in zip(ready, results, traces, strict=True):
            if isinstance(result, Committed):
                self._settle(message, delivery, result, traced)
            else:
                await self._bury(message, f"{type(result.error).__name__}: {result.error}", HANDLER_TRIES_MAX)

    def _delivery(self, message: Incoming) -> Delivery:
        tokens = tuple(subjects.split(message.subject, self._context.root))
        return Delivery(tokens, message.data, message.at_us, message.reply, message.seq)

    def _settle(self, message: Incoming, delivery: Delivery, result: Committed, traced: str) -> None:
        message.ack()
        self.handled += 1
        reply = self._inbox.reply(delivery, result)
        if reply is not None:
            self._casts.put(reply, traced)

    async def _refuse_unreadable(self, message: Incoming, delivery: Delivery, error: RollcallError) -> None:
        await self._bury(message, f"{error.code}: {error}", 1)
        reply = self._inbox.reply(delivery, Committed(problem=error.problem()))
        if reply is not None:
            self._casts.put(reply, trace.following(message.headers))

    async def _bury(self, message: Incoming, reason: str, tries: int) -> None:
        """Copy it first, then take it off the queue: a crash between leaves two copies, never none."""
        text, base64 = readable(message.data)
        letter = DeadLetter(
            source="message",
            stream=self._stream,
            consumer=self._inbox.durable,
            subject=message.subject,
            reason=reason[:2000],
            tries=tries,
            at=instant(self._context.clock.now()),
            body=text,
            body_base64=base64,
        )
        try:
            stored = await self._store(letter, f"dlq:{self._stream}:{message.seq}:{message.at_us}")
        except BusUnavailable as error:
            log.warning("dead_letter.delayed", subject=message.subject, reason=str(error))
            message.nak(GIVE_BACK_S)
            if isinstance(error, NoStream | BusTimeout):
                await mend(self._ensure)
            return
        if not stored:
            message.nak(GIVE_BACK_S)  # it is the only copy
            return
        message.term()
        self.dead += 1
        log.error("dead_letter.written", subject=message.subject, reason=reason, tries=tries)

    async def _store(self, letter: DeadLetter, message_id: str) -> bool:
        """Store a letter, or what is left of it without the body when it is refused whole."""
        subject = f"{self._context.root}.{subjects.dead_letter(self._stream, self._inbox.durable)}"
        versions = ((message_id, letter), (f"{message_id}:short", dead_letters.shortened(letter)))
        for name, version in versions:
            if version is None:
                continue
            item = Outgoing(subject, encode(version), name)
            refused = await self._bus.publish_batch([item], stream=self._context.streams("DLQ"))
            if not refused:
                return True
            log.error("dead_letter.refused", subject=letter.subject, reason=refused[0].reason)
        return False
