"""How instants and lengths read in remarks and reasons."""

from contracts.codec import instant
from domain.timers import MINUTE_US, SECOND_US


def misspelt(name: str, registered: str) -> str:
    """Name the right spelling: under another an agent would hear nothing of what is its own."""
    return f"there is no agent {name}: do you mean {registered}?"


def moment(at: int) -> str:
    """Return an instant as people write it."""
    return f"{instant(at):%Y-%m-%d %H:%M:%S} UTC"


def length(us: int) -> str:
    """Return a length in the largest unit that keeps it readable."""
    if us < MINUTE_US:
        return f"{us / SECOND_US:g} s"
    minutes = round(us / MINUTE_US)
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" * bool(hours), f"{rest} min" * bool(rest)) if part)


def because(text: str, reason: str | None) -> str:
    """Return `text` with the reason, if one was given."""
    return f"{text}: {reason}" if reason else text
