"""Changes of what was read: one that was made of an older version is refused, so that none is lost."""

from contracts.errors import ChangedError
from contracts.records import Agent, Policy, Task


def check(expected: int | None, found: Agent | Policy | Task | None) -> None:
    """Raise ChangedError unless it is the version that is expected, if one is; 0: there is none."""
    version = 0 if found is None else found.version
    if expected is not None and expected != version:
        raise ChangedError(f"it is at version {version}, and not at {expected}", version=version)
