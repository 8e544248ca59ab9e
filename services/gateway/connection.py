"""One connection: whoever does not say its request in time, or does not hear its answer, is cut off."""

import asyncio
import resource
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.errors import MalformedError
from services.gateway import problems
from services.gateway.wire import Wire

HEAD_BYTES_MAX: Final = 16 * 1024
REQUEST_S: Final = 15.0  # from the first byte of a request, or from the connection, to the request's last
HEAR_S: Final = 30.0  # to take in what stands in the buffer: a stream's listener too has that long
CONNECTIONS_MAX: Final = 4_096
_FILES_MAX: Final = 65_536  # where the system sets no limit


class Config(uvicorn.Config):
    """What all connections of one server know together."""

    def __init__(self, *arguments: Any, **words: Any) -> None:
        """Leave half of the files that the process may have open to others."""
        super().__init__(*arguments, **words)
        files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        files_max = _FILES_MAX if files_max == resource.RLIM_INFINITY else files_max
        self.places = min(CONNECTIONS_MAX, files_max // 2)
        self.silent: dict[Connection, None] = {}  # who owes a request, the longest silent first


class Connection(HttpToolsProtocol):
    """See the module; uvicorn alone waits for ever for a head that does not end, and for a slow reader."""

    config: Config
    _unread: asyncio.TimerHandle | None = None
    _unheard: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request; where all is full, whoever has been silent longest makes room."""
        super().connection_made(cast("asyncio.Transport", Wire(transport, self.loop)))
        if len(self.connections) > self.config.places:
            next(iter(self.config.silent), self).cut()
        if not self.transport.is_closing():
            self.config.silent[self] = None
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        self.resume_writing()
        self.config.silent.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the head of a request, and the time until its end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self.cut()
        elif self._unread is None and (self._head_bytes or not self._in_head):  # most come whole, at once
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Leave out what stands behind a body: nobody has judged it, and there is no end to it."""
        if self._in_head:
            super().on_header(name, value)

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
        self.config.silent.pop(self, None)

    def on_response_complete(self) -> None:
        """Count it among the silent until it asks again."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self.config.silent[self] = None

    def pause_writing(self) -> None:
        """Begin to wait until what was written is heard."""
        super().pause_writing()
        if self._unheard is None:
            self._unheard = self.loop.call_later(HEAR_S, self.cut)

    def resume_writing(self) -> None:
        """Wait no more."""
        super().resume_writing()
        if self._unheard is not None:
            self._unheard.cancel()
            self._unheard = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of every refusal."""
        said = problems.body(MalformedError("this is no HTTP request").problem())
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + said)
        self.transport.close()

    def cut(self) -> None:
        """End it at once."""
        self.config.silent.pop(self, None)
        if not self.transport.is_closing():
            self.transport.abort()

    def _wait(self) -> None:
        self._unread = self.loop.call_later(REQUEST_S, self._not_said)

    def _wait_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _not_said(self) -> None:
        self._unread = None
        self.cut()
