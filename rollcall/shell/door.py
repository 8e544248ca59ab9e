"""Asks at an agent's door: HTTP/1.1 over its Unix socket, one request, one answer."""

import json
import os
import socket
from typing import Any, Final

TRIES: Final = 3
CONNECT_S: Final = 5.0
ANSWER_S: Final = 20.0  # the door itself gives up after 15
BYTES_MAX: Final = 8 << 20
_PATH_BYTES_MAX: Final = 100  # the kernel takes 107; a longer path goes through a descriptor of its folder


class NoDoor(Exception):
    """Nobody stands behind the socket."""


class NoAnswer(Exception):
    """It was asked, and whether it was done is unknown."""


def ask(path: str, verb: str, body: dict[str, Any], *, wait_s: float = 0.0) -> tuple[int, Any]:
    """Return the status and the answer; raises NoDoor if nothing was asked, else NoAnswer.

    `wait_s` is how long the door may wait for something to be due.
    """
    data = json.dumps(body).encode()
    prefer = f"Prefer: wait={wait_s:.3f}\r\n" if wait_s else ""
    head = (
        f"POST /api/v1/agent/{verb} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{prefer}"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    asked = False
    for _ in range(TRIES):
        try:
            with connected(path) as line:
                asked = True
                line.settimeout(wait_s + ANSWER_S)
                line.sendall(head.encode() + data)
                return answered(line)
        except NoDoor:
            if not asked:
                raise
            break
        except (OSError, ValueError):
            continue  # the command id makes asking again safe
    raise NoAnswer(f"no answer at {path}")


def connected(path: str) -> socket.socket:
    """Connect to a Unix socket, however long its path is, or raise NoDoor."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(CONNECT_S)
    try:
        if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
            line.connect(path)
        else:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                line.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            finally:
                os.close(folder)
    except OSError as error:
        line.close()
        raise NoDoor(path) from error
    return line


def answered(line: socket.socket) -> tuple[int, Any]:
    """Read an answer to its end: status and JSON; raises OSError or ValueError."""
    pieces: list[bytes] = []
    left = BYTES_MAX
    while left > 0 and (piece := line.recv(65_536)):
        pieces.append(piece)
        left -= len(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    version, status, *_ = head.split(b" ", 2)
    if not version.startswith(b"HTTP/1."):
        raise ValueError("this is no door")
    return int(status), json.loads(body)
