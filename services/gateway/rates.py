"""How much each may ask: token buckets by caller and by address, of which only so many are kept."""

import math
from collections import OrderedDict
from typing import Final

from msgspec import Struct

WINDOW_S: Final = 60
BUCKETS_MAX: Final = 10_000  # the least recently used goes: whoever it belonged to begins anew
PER_ADDRESS: Final = 10  # callers' worth: many may stand behind one address
FAILURES: Final = 10  # wrong tokens in a window that an address hears 401 for


class Left(Struct, frozen=True):
    """What is left to somebody."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int  # until all of it is there again
    retry_s: int  # until one more is


class Rates:
    """Buckets that fill as time goes by."""

    def __init__(self, limit: int, buckets_max: int = BUCKETS_MAX) -> None:
        """Let everybody have `limit` within a window, all at once if it likes."""
        self.limit = limit
        self._per_s = limit / WINDOW_S
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is in it, as of when

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._buckets)

    def take(self, key: str, now: float) -> Left:
        """Take one, if there is one; `now` is in seconds, on a clock that never steps."""
        held, at = self._buckets.get(key, (float(self.limit), now))
        held = min(self.limit, held + max(0.0, now - at) * self._per_s)
        allowed = held >= 1
        held -= allowed
        self._buckets[key] = (held, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        return Left(
            allowed=allowed,
            limit=self.limit,
            remaining=math.floor(held),
            reset_s=math.ceil((self.limit - held) / self._per_s),
            retry_s=max(1, math.ceil((1 - held) / self._per_s)),
        )


def headers(left: Left) -> dict[str, str]:
    """Return what is left as headers (draft-ietf-httpapi-ratelimit-headers)."""
    return {
        "ratelimit-policy": f'"default";q={left.limit};w={WINDOW_S}',
        "ratelimit": f'"default";r={left.remaining};t={left.reset_s}',
    }
