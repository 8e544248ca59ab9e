"""What the runtime asks of a store, whichever engine it is."""

from collections.abc import Sequence
from typing import Protocol

from contracts.messages import DeadLetter
from contracts.records import Alarm, Doubt, Hold
from contracts.work import Claim, Committed, Failed, Post, Stamp, Unit


class Ledger(Protocol):
    """What the runtime asks of a store. Every method may raise StoreFaultError; then nothing was written."""

    async def run(self, units: Sequence[Unit], now: int) -> list[Committed | Failed]:
        """Do the units in order in one transaction (those that only read: on a read connection)."""
        ...

    async def claim(self, claim: Claim, now: int) -> list[Committed | Failed]:
        """Do what is due in one transaction; fewer results than the limit: nothing more is due."""
        ...

    async def confirm(self, posts: Sequence[Post], now: int) -> Sequence[Post]:
        """Delete outbox rows that the bus has confirmed, each at the version that was sent.

        Returns those of a slot that had a newer word meanwhile, which may have been sent before this one.
        """
        ...

    async def restate(self, posts: Sequence[Post], now: int) -> None:
        """Let the mailbox be told again what holds for the assignments of these posts."""
        ...

    async def doubts(self, now: int, limit: int) -> list[Doubt]:
        """Return pings that may have come late and about which the mailbox is to be asked by now."""
        ...

    async def settle(self, answers: Sequence[tuple[Doubt, bool]], now: int) -> None:
        """Take whether each mailbox holds that ping: if so, the newest word is to be said again."""
        ...

    async def bury(self, post: Post, letter: DeadLetter | None, now: int) -> Committed:
        """Put a letter in the place of an outbox row that the bus refuses for good, and say so."""
        ...

    async def unsent(self, older_than: int, limit: int) -> list[Post]:
        """Return outbox rows created before `older_than`, oldest first."""
        ...

    async def current(self, posts: Sequence[Post]) -> list[Post]:
        """Return those of the posts that still stand in the outbox at the same version."""
        ...

    async def due_at(self, query: str) -> int | None:
        """Return the earliest due instant by a named query."""
        ...

    async def quarantine(self, row: Failed, now: int) -> Committed:
        """Take a row whose decision throws out of the due columns, with reason, dead letter and event.

        A row that changed since it was claimed is left: another decision may be right for what it is now.
        """
        ...

    async def begin_refill(self, born: str) -> None:
        """Note when the stream of events was created; an unknown one has to be filled from the audit."""
        ...

    async def refill_page(self, limit: int) -> tuple[list[Post], int] | None:
        """Return the next events to publish again and the number of the last; None when there are none."""
        ...

    async def refilled(self, until: int) -> None:
        """Say up to which number the events have been published again."""
        ...

    async def stamp(self, stamp: Stamp) -> None:
        """Say that this process lives; a gap in which agents could perhaps not answer becomes a hold."""
        ...

    async def vitals(self, process: str, vitals: bytes, now: int) -> None:
        """Say how the services of a process are, and nothing of its bus; one never stamped says nothing."""
        ...

    async def alarm(self, standing: Sequence[Alarm], now: int) -> Committed:
        """Let exactly these alarms stand; each is announced once when it begins and once when it is over."""
        ...

    async def hold(self, hold: Hold) -> None:
        """Let a stretch of time count against nobody."""
        ...

    async def answered(self, until: int, stamp: Stamp) -> None:
        """Say up to when the answers on the bus have been handled; stamps first, in the same transaction."""
        ...

    async def forget(self, table: str, before: int, limit: int) -> int:
        """Delete at most `limit` rows of `table` older than `before`; return how many went."""
        ...

    async def checkpoint(self) -> None:
        """Fold the write-ahead log into the store's file."""
        ...

    async def release(self, table: str, row: int, now: int) -> Committed:
        """Put a quarantined row back to work."""
        ...
