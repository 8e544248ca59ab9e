"""Changes of what was read: one that was made of an older version is refused, so that none is lost."""

from contracts.errors import ChangedError
from contracts.operations.registry import AnyVersion


def check(expected: int | AnyVersion | None, version: int, *, exists: bool = True) -> None:
    """Raise ChangedError unless it is at the version that is expected, if one is; 0: there is none yet."""
    if expected == "*":
        if not exists:
            raise ChangedError("there is none yet", version=version)
    elif expected is not None and expected != version:
        raise ChangedError(f"it is at version {version}, and not at {expected}", version=version)
