"""Changes of what was read: one that was made of an older version is refused, so that none is lost."""

from contracts.errors import ChangedError


def check(expected: int | None, version: int) -> None:
    """Raise ChangedError unless it is at the version that is expected, if one is; 0: there is none yet."""
    if expected is not None and expected != version:
        raise ChangedError(f"it is at version {version}, and not at {expected}", version=version)
