"""W3C trace context: every message carries a `traceparent`; what follows from it keeps the trace."""

from __future__ import annotations

import random
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$")

# Trace ids must be unique, not secret: asking the system for each of them is dear where there are thousands.
_ids = random.Random(secrets.randbits(256))  # noqa: S311 - not a secret


def following(headers: Mapping[str, str]) -> str:
    """Return the traceparent for what follows from a message with these headers."""
    found = _TRACEPARENT.match(headers.get("traceparent", ""))
    trace, flags = (found[1], found[2]) if found else (f"{_ids.getrandbits(128):032x}", "00")
    return f"00-{trace}-{_ids.getrandbits(64):016x}-{flags}"
