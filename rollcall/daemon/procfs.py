"""What the kernel says of processes. A pid alone is no identity: numbers are used again.

A process is the one that was written down if its number, its start and the boot of the machine agree.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

PROC: Final = Path("/proc")
_STATE, _GROUP, _START = 0, 2, 19  # fields of /proc/<pid>/stat behind the name: proc(5) counts them from 3


class Identity(Struct, frozen=True):
    """Which process is meant, also after its number was given to another."""

    pid: int
    start: int  # clock ticks since boot
    boot: str


def boot_id() -> str:
    """Return what changes with every boot of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def identity(pid: int) -> Identity | None:
    """Return who has this number now; None for nobody, or for one that has ended and waits to be reaped."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in "ZX":
        return None
    return Identity(pid, int(fields[_START]), boot_id())


def group(leader: int) -> list[int]:
    """Return the living processes of a process group."""
    members: list[int] = []
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None and int(fields[_GROUP]) == leader and fields[_STATE] not in "ZX":
            members.append(pid)
    return members


def leaders_with(variable: str, value: str) -> list[int]:
    """Return the groups of our own processes that were started with `variable` set to `value`."""
    wanted = f"{variable}={value}".encode()
    found: set[int] = set()
    for pid in _pids():
        fields = _stat(pid) if wanted in _environ(pid) else None
        if fields is not None:
            found.add(int(fields[_GROUP]))
    return sorted(found)


def _pids() -> list[int]:
    return [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]


def _environ(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name may hold blanks and brackets
