"""Publishing: what was committed goes to the bus at once, from memory; the row goes after the PubAck.

What cannot be published now stays in the store, where service `relay` finds it; what the stream refuses for
good becomes a dead letter. Nothing is ever published
that was not committed, and a late ping is read again first, so that no answered ping leaves.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from bus import dead_letters
from bus.api import BusError, BusTimeout, NoStream, Outgoing
from bus.last_words import LastWords
from bus.supervise import mend
from contracts.codec import decode, instant, readable
from contracts.ledger import Ledger
from contracts.messages import DeadLetter
from contracts.work import Post, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bus.api import Bus, Clock, Refused
    from bus.last_words import Words

log = structlog.get_logger(__name__)

QUEUE_POSTS_MAX: Final = 50_000  # beyond it rows wait in the store for the relay's sweep
BATCH_POSTS_MAX: Final = 1_000
INGEST: Final = "in."  # before the subject under which the mailbox keeps what is stored by it
LATE_US: Final = 5_000_000
REASON_CHARS_MAX: Final = 2_000
ILL_STREAM: Final = frozenset({10_060, 10_109})  # another's stream takes it, or it is sealed: no post's fault
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class Outbox:
    """The publishing side of one process."""

    def __init__(
        self,
        *,
        bus: Bus,
        ledger: Ledger,
        clock: Clock,
        root: str,
        stream_name: Callable[[str], str],
        ensure: Callable[[], Awaitable[None]],
    ) -> None:
        """Wire the ports; `ensure` recreates missing streams."""
        self._bus = bus
        self._ledger = ledger
        self._clock = clock
        self._root = root
        self._stream_name = stream_name
        self._ensure = ensure
        self._queue: deque[tuple[Post, str]] = deque()
        self._queued: set[tuple[int, int]] = set()  # (id, version) of what is in the queue
        self._words = LastWords()
        self._overtook: list[Post] = []  # perhaps the last word, and not the newest; not written yet
        self._tries = 0
        self._bell = anyio.Event()
        self._busy = False
        self.published = 0
        self.refused = 0

    def __len__(self) -> int:
        """Return how many posts wait in memory."""
        return len(self._queue) + self._busy

    def put(self, posts: Sequence[Post], trace: str = "") -> None:
        """Queue committed posts; never blocks, and forgets what the relay will find anyway."""
        for post in posts[: max(QUEUE_POSTS_MAX - len(self._queue), 0)]:
            if (post.id, post.version) not in self._queued:  # the relay finds again what waits here
                self._queued.add((post.id, post.version))
                self._queue.append((post, trace))
                self._words.expect(post)
        if posts:
            self._bell.set()

    async def run(self, stop: anyio.Event) -> None:
        """Publish until `stop` is set and the queue is empty."""
        while not (stop.is_set() and not self._queue):
            if not self._queue:
                await self._wait(stop)
                continue
            batch = self._take()
            self._busy = True
            try:
                await self._send(batch)
                self._tries = 0
            except (BusError, StoreFaultError) as error:
                self._put_back(batch)
                log.warning("outbox.delayed", waiting=len(self._queue), reason=str(error))
                if isinstance(error, NoStream | BusTimeout):
                    # with somebody listening to the subject, a stream that is gone shows as silence only
                    await mend(self._ensure)
                if stop.is_set():
                    return  # the rows are in the store: the next process sends them
                await anyio.sleep(RETRY_S[min(self._tries, len(RETRY_S) - 1)])
                self._tries += 1
            finally:
                self._busy = False

    def _take(self) -> list[tuple[Post, str]]:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_POSTS_MAX))]
        self._queued.difference_update((post.id, post.version) for post, _ in batch)
        return batch

    def _put_back(self, batch: list[tuple[Post, str]]) -> None:
        """Put what could not be sent first in the queue, except what was found and queued again meanwhile."""
        fresh = [entry for entry in batch if (entry[0].id, entry[0].version) not in self._queued]
        self._queued.update((post.id, post.version) for post, _ in fresh)
        self._queue.extendleft(reversed(fresh))

    async def _wait(self, stop: anyio.Event) -> None:
        self._bell = anyio.Event()
        async with anyio.create_task_group() as group:

            async def rung(event: anyio.Event) -> None:
                await event.wait()
                group.cancel_scope.cancel()

            group.start_soon(rung, self._bell)
            group.start_soon(rung, stop)

    async def _send(self, batch: list[tuple[Post, str]]) -> None:
        await self._restate()  # what the store could not take before
        batch = await self._still_true(batch)
        batch.sort(key=lambda entry: entry[0].stream)  # stable: order within a stream is kept
        for stream, entries in groupby(batch, key=lambda entry: entry[0].stream):
            posts = list(entries)
            items = [self.outgoing(post, trace) for post, trace in posts]
            self._overtook += self._words.hand_over(post for post, _ in posts)
            refused = await self._bus.publish_batch(items, stream=self._stream_name(stream))
            lost = {refusal.index for refusal in refused}
            taken = [post for index, (post, _) in enumerate(posts) if index not in lost]
            self.published += len(taken)
            await self._confirm(taken)
            for refusal in refused:
                await self._refuse(posts[refusal.index][0], refusal)

    async def _confirm(self, posts: list[Post]) -> None:
        """Let the rows go; a word that came after a newer one is not left the last.

        A newer word that passes here too goes out behind this one; one that a sibling wrote may have gone
        before: then the mailbox still holds this one.
        """
        now = self._clock.now()
        replaced = await self._ledger.confirm(posts, now)
        await self._look_after(self._words.stored(posts, replaced, now - LATE_US))

    async def _look_after(self, doubtful: Sequence[Words]) -> None:
        """Have the newest word said again where the mailbox holds another, or may hold it."""
        async with anyio.create_task_group() as group:
            for words in doubtful:
                group.start_soon(self._look, words)
        await self._restate()

    async def _look(self, words: Words) -> None:
        newest = await self.newest_id(words[0].stream, words[0].subject)
        if newest is None:
            self._overtook += words
        else:
            self._overtook += [word for word in words if word.message_id == newest]

    async def newest_id(self, stream: str, subject: str) -> str | None:
        """Return the id of the word that a mailbox holds; "" for none, None if nobody could say."""
        kept = f"{self._root}.{subject.removeprefix(INGEST)}"
        try:
            return await self._bus.newest_id(self._stream_name(stream), kept)
        except BusError as error:
            log.debug("mailbox.unseen", subject=kept, reason=str(error))
            return None

    async def _restate(self) -> None:
        """Write down whose newest word has to be said again."""
        if self._overtook:
            log.info("post.overtook", slots=[post.slot for post in self._overtook])
            await self._ledger.restate(self._overtook, self._clock.now())
            self._overtook.clear()

    async def _refuse(self, post: Post, refusal: Refused) -> None:
        """Let a dead letter take the place of what the stream will never store; else it is sent for ever."""
        self.refused += 1
        log.error("post.refused", subject=post.subject, code=refusal.code, reason=refusal.reason)
        await self._look_after(self._words.left_by(post))
        if refusal.code in ILL_STREAM:
            return  # the relay sends it again, when somebody has mended the stream
        letter = self._letter(post, refusal)
        if letter is None:
            log.critical("dead_letter.lost", subject=post.subject, reason=refusal.reason, body=post.body)
        buried = await self._ledger.bury(post, letter, self._clock.now())
        self.put(buried.posts)

    def _letter(self, post: Post, refusal: Refused) -> DeadLetter | None:
        """Return what is kept of a refused post; of a refused letter, that letter without the body."""
        if post.stream == "DLQ":
            return dead_letters.shortened(decode(post.body, DeadLetter, bytes_max=len(post.body)))
        text, base64 = readable(post.body)
        return DeadLetter(
            source="message",
            stream=self._stream_name(post.stream),
            consumer="outbox",
            subject=f"{self._root}.{post.subject}",
            reason=f"refused by the stream: {refusal.reason} ({refusal.code})"[:REASON_CHARS_MAX],
            tries=1,
            at=instant(self._clock.now()),
            body=text,
            body_base64=base64,
        )

    async def _still_true(self, batch: list[tuple[Post, str]]) -> list[tuple[Post, str]]:
        """Leave out late pings that were answered, withdrawn or sent meanwhile.

        Late is also what is tried again: of a batch that was torn, the newer word alone may have arrived.
        """
        limit = self._clock.now() - (0 if self._tries else LATE_US)
        late = [post for post, _ in batch if post.slot is not None and post.created_at <= limit]
        if not late:
            return batch
        current = {(post.id, post.version) for post in await self._ledger.current(late)}
        gone = {(post.id, post.version) for post in late} - current
        left = [self._words.end(post) for post in late if (post.id, post.version) in gone]
        await self._look_after([words for words in left if words])
        return [entry for entry in batch if (entry[0].id, entry[0].version) not in gone]

    def outgoing(self, post: Post, trace: str = "") -> Outgoing:
        """Return a post as the bus takes it."""
        headers = dict(post.headers)
        if trace:
            headers["traceparent"] = trace
        return Outgoing(f"{self._root}.{post.subject}", post.body, post.message_id, headers, post.ttl_s)
