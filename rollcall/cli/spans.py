"""Times as people write them: 30m, 14:00, 2026-01-31T12:00:00Z. The standard library alone."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

TIME_FORM: Final = "a time with its zone such as 2026-01-31T12:00:00Z, or the next 14:00 of the clock here"
SPAN_FORM: Final = "minutes, such as 45, or a length of time such as 30m or 1h30m"

# Compiled when a time is typed: that takes as long as all else that a verb does.
_TIME: Final = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.]\d{1,6})?)?([Zz]|[+-]\d\d:?\d\d)"
_OF_DAY: Final = r"([01]?\d|2[0-3]):([0-5]\d)"
_SPAN: Final = r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?"
_MINUTES_DIGITS_MAX: Final = 18


def parse_time(text: str, now: datetime | None = None) -> datetime | None:
    """Return the instant that is meant, in UTC, or None: with its zone, or a time of the day to come."""
    if re.fullmatch(_TIME, text, re.ASCII):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # the 31st of June, or before the year 1
            return None
    if found := re.fullmatch(_OF_DAY, text, re.ASCII):
        here = (now or datetime.now(UTC)).astimezone()
        then = here.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0, tzinfo=None)
        if then.astimezone() <= here:
            then += timedelta(days=1)  # as the clock shows it, also where the night has 23 or 25 hours
        return then.astimezone(UTC)
    return None


def parse_minutes(text: str) -> int | None:
    """Return whole minutes, or None."""
    if text.isascii() and text.isdigit() and len(text) <= _MINUTES_DIGITS_MAX:
        return int(text)
    found = re.fullmatch(_SPAN, text, re.ASCII)
    if found is None or not text:
        return None
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def minutes_until(until: datetime, now: datetime, scale: float) -> int:
    """Return the minutes (of the house's clock) from now until then, begun ones included."""
    return math.ceil((until - now).total_seconds() / (60 * scale))


def written(at: datetime) -> str:
    """Return an instant as RFC 3339 has it."""
    return at.isoformat().replace("+00:00", "Z")
