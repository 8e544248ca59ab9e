"""What agents write, in files that cannot grow for ever.

An agent writes to its file itself, always to the end: it never waits for the daemon, and loses nothing when
the daemon dies. So a full file is copied and emptied, not renamed. What is written between the last byte of
the copy and the emptying (microseconds) is lost.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

CHUNK_BYTES: Final = 1 << 20


def rotate(path: Path, *, bytes_max: int, files: int) -> bool:
    """Put the log aside as `….1` if it is longer than `bytes_max`, and keep `files` old ones; say if so."""
    try:
        with path.open("r+b") as log:
            if os.fstat(log.fileno()).st_size <= bytes_max:
                return False
            _shift(path, files)
            if files:
                _move(log, path.with_name(f"{path.name}.1"))
            else:
                log.truncate(0)
    except FileNotFoundError:
        return False
    return True


def _shift(path: Path, files: int) -> None:
    """Give every old file the next number; the last one goes."""
    for number in range(files, 0, -1):
        old = path.with_name(f"{path.name}.{number}")
        with suppress(FileNotFoundError):
            if number == files:
                old.unlink()
            else:
                old.rename(path.with_name(f"{path.name}.{number + 1}"))


def _move(log: BinaryIO, aside: Path) -> None:
    """Move all that is written into a new file, and go on until nothing was added meanwhile."""
    with open(aside, "wb", opener=private) as copy:
        while chunk := log.read(CHUNK_BYTES):
            copy.write(chunk)
        log.truncate(0)


def private(path: str, flags: int) -> int:
    """Open for this user alone, as `opener` of `open`."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
