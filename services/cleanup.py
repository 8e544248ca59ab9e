"""Cleanup: what is kept only for a time goes, in small pieces, and the write-ahead log stays short."""

from msgspec import Struct

from bus.service import Chore, Context, Duty, Endpoint, Front, Inbox, Listener

PIECE_ROWS = 1_000


class Retention(Struct, frozen=True, kw_only=True):
    """How long what is kept, in microseconds."""

    commands_us: int = 24 * 3_600_000_000
    pings_us: int = 30 * 24 * 3_600_000_000
    audit_us: int = 365 * 24 * 3_600_000_000
    notifications_us: int = 30 * 24 * 3_600_000_000
    intake_us: int = 30 * 24 * 3_600_000_000
    notices_us: int = 7 * 24 * 3_600_000_000
    processes_us: int = 3_600_000_000
    holds_us: int = 30 * 24 * 3_600_000_000
    doors_us: int = 30 * 24 * 3_600_000_000  # behind their end


class Cleanup(Struct, frozen=True, kw_only=True):
    """See the module."""

    retention: Retention = Retention()
    name: str = "cleanup"
    fronts: tuple[Front, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()

    @property
    def chores(self) -> tuple[Chore, ...]:
        """Forgetting and checkpointing."""
        return (
            Chore(name="forget", every_s=60.0, run=self.forget),
            Chore(name="checkpoint", every_s=30.0, run=_checkpoint),
        )

    async def forget(self, context: Context, now: int) -> None:
        """Delete what is past its time, a piece at a time so that no transaction is long."""
        kept = {
            "commands": self.retention.commands_us,
            "deliveries": self.retention.pings_us,
            "pings": self.retention.pings_us,
            "audit": self.retention.audit_us,
            "notifications": self.retention.notifications_us,
            "sends": self.retention.notifications_us,
            "intake": self.retention.intake_us,
            "notices": self.retention.notices_us,
            "reminders": self.retention.notices_us,  # those that have ended
            "processes": self.retention.processes_us,
            "holds": self.retention.holds_us,
            "tokens": self.retention.doors_us,
            "credentials": self.retention.doors_us,
        }
        for table, keep_us in kept.items():
            while await context.ledger.forget(table, now - keep_us, PIECE_ROWS) == PIECE_ROWS:
                pass


async def _checkpoint(context: Context, _now: int) -> None:
    await context.ledger.checkpoint()
