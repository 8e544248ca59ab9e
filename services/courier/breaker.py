"""Who failed often is left alone for a while, and then tried with one request."""

from typing import Final

from msgspec import Struct

FAILURES: Final = 5
OPEN_S: Final = 30.0
OPEN_S_MAX: Final = 300.0


class _Record(Struct):
    failures: int = 0
    opened: int = 0  # how often in a row
    until: float = 0.0


class Breaker:
    """What is known of each receiver that failed last, in this process."""

    def __init__(self) -> None:
        """Know nobody."""
        self._records: dict[str, _Record] = {}

    def is_open(self, agent: str, now: float) -> bool:
        """Tell whether the agent's receiver is left alone now; monotonic seconds."""
        record = self._records.get(agent)
        return record is not None and now < record.until

    def worked(self, agent: str) -> None:
        """Note that it answered well."""
        self._records.pop(agent, None)

    def failed(self, agent: str, now: float) -> None:
        """Note that it did not; after five in a row it is left alone, longer each time."""
        record = self._records.setdefault(agent, _Record())
        record.failures += 1
        if record.failures >= FAILURES:
            record.until = now + min(OPEN_S * 2**record.opened, OPEN_S_MAX)
            record.opened = min(record.opened + 1, 8)
