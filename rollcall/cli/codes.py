"""How a command ends: a code for programs, a line for people. The standard library alone."""

from collections.abc import Mapping
from typing import Any, Final

from rollcall.cli.tree import object_of

FAILED: Final = 1
USAGE: Final = 2
NOTHING: Final = 3
FORBIDDEN: Final = 4
CONFLICT: Final = 5
NOT_FOUND: Final = 6
UNAVAILABLE: Final = 69
CONFIG: Final = 78
INTERRUPTED: Final = 130
_CODES: Final = {
    400: USAGE,
    401: FORBIDDEN,
    403: FORBIDDEN,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    413: USAGE,
    422: USAGE,
    429: UNAVAILABLE,
    503: UNAVAILABLE,
}


def exit_code(status: int) -> int:
    """Return the exit code for a refusal of this status."""
    return _CODES.get(status, FAILED)


def refusal(problem: Mapping[str, Any]) -> str:
    """Return a refusal in one line."""
    title, detail = str(problem.get("title", "")), str(problem.get("detail", ""))
    more = f": {detail}" if detail and detail != title else ""
    said = object_of(problem.get("fields")).items()  # but what the detail has said already
    fields = "".join(f"; {name}: {why}" for name, why in said if f"{name}: {why}" not in detail)
    return f"{title}{more}{fields} ({problem.get('code')})"
