"""The audit for readers."""

from collections.abc import Sequence

from contracts.events import event_of
from contracts.operations.audit import ListResult
from contracts.records import AuditRow


def listed(rows: Sequence[AuditRow], limit: int) -> ListResult:
    """Return a page of changes; a full one may have a next."""
    return ListResult(items=tuple(map(event_of, rows)), next=rows[-1].seq if len(rows) >= limit else None)
