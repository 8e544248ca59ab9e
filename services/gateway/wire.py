"""What a connection writes: the head of an answer and its body leave together, in one call to the system."""

import asyncio
from typing import Final

AT_ONCE_BYTES: Final = 16 * 1024  # more leaves at once: whoever reads slowly is noticed where it is written


class Wire:
    """A transport as uvicorn uses it; what is written in one turn of the loop is sent when that is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Write to a transport."""
        self._transport = transport
        self._loop = loop
        self._held = bytearray()
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send it with what else is written now."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held += data
        if len(self._held) >= AT_ONCE_BYTES:
            self._send()

    def close(self) -> None:
        """Close when all is sent."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._held.clear()
        self._transport.abort()

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            self._transport.write(held)
