"""The dead man's switch: an address outside that is called while all is well, and notices when it is not."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

import structlog

log = structlog.get_logger(__name__)

CONNECT_S: Final = 2.0
WHOLE_S: Final = 10.0
_GOOD: Final = range(200, 300)


class DeadMan:
    """Calls one address, each time on a thread of its own: nobody waits, and nobody is kept from ending."""

    def __init__(self, url: str, *, connect_s: float = CONNECT_S, whole_s: float = WHOLE_S) -> None:
        """Call `url`, an http or https address; what it answers counts only as good or not."""
        self._url = urlsplit(url)
        self._connect_s = connect_s
        self._whole_s = whole_s
        self._calling: threading.Thread | None = None
        self._failing = False

    def call(self) -> threading.Thread | None:
        """Begin a call and return its thread; None while the last one has not ended."""
        if self._calling is not None and self._calling.is_alive():
            return None
        self._calling = threading.Thread(target=self._call, name="deadman", daemon=True)
        self._calling.start()
        return self._calling

    def _call(self) -> None:
        try:
            status = self._get()
        except (OSError, HTTPException, ValueError) as error:
            self._note(f"{type(error).__name__}: {error}")
        else:
            self._note("" if status in _GOOD else f"it answered {status}")

    def _get(self) -> int:
        """Return the status of the answer; a redirect is not followed."""
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        line = kind(self._url.hostname or "", self._url.port, timeout=self._connect_s)
        late = threading.Event()
        guard = threading.Timer(self._whole_s, _shut, [line, late])
        guard.daemon = True
        guard.start()
        try:
            line.connect()
            line.sock.settimeout(self._whole_s)
            path = self._url.path or "/"
            line.request("GET", f"{path}?{self._url.query}" if self._url.query else path)
            status = line.getresponse().status
            if late.is_set():  # what was cut off in its head reads like a whole one
                raise TimeoutError(f"no whole answer in {self._whole_s:g} s")
            return status
        finally:
            guard.cancel()
            line.close()

    def _note(self, failure: str) -> None:
        """Log the first failure, and the first success after it."""
        if failure and not self._failing:
            log.warning("deadman.unreachable", host=self._url.hostname, reason=failure)
        elif self._failing and not failure:
            log.info("deadman.reached", host=self._url.hostname)
        self._failing = bool(failure)


def _shut(line: HTTPConnection, late: threading.Event) -> None:
    """End a call that trickles on: whoever reads from it finds its end."""
    late.set()
    if line.sock is not None:
        with suppress(OSError):  # it came to its end by itself, at this moment
            line.sock.shutdown(socket.SHUT_RDWR)
