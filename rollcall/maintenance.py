"""Backup and restore."""

from pathlib import Path

from rollcall.clock import SystemClock
from rollcall.settings import Settings
from store import backups


def backup(settings: Settings, target: Path) -> Path:
    """Write a copy of the live store; raises StoreError."""
    backups.backup(settings.store_path, target)
    return target


def restore(settings: Settings, source: Path | None, *, in_place: bool) -> None:
    """Put a backup in the store's place, or accept a file copied there by hand; renews the incarnation."""
    now = SystemClock().now()
    if in_place:
        backups.restore_in_place(settings.store_path, now=now)
    elif source is not None:
        backups.restore(source, settings.store_path, now=now)
