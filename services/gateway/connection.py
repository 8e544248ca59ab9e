"""One connection: whoever does not say its request in time, or too much of it, is cut off."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 16 * 1024
REQUEST_S: Final = 15.0  # from the first byte of a request, or from the connection, to the request's last
CONNECTIONS_MAX: Final = 4_096


class Connection(HttpToolsProtocol):
    """See the module; uvicorn alone waits for ever for a head that does not end."""

    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the head of a request, and the time until its end."""
        if self._unread is None:
            self._wait()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Count no more: what follows is a body, which is counted where it is read."""
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait no more: now it is our turn."""
        super().on_message_complete()
        self._in_head = True
        self._wait_no_more()

    def _wait(self) -> None:
        self._unread = self.loop.call_later(REQUEST_S, self._cut)

    def _wait_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cut(self) -> None:
        self._unread = None
        if not self.transport.is_closing():
            self.transport.abort()
