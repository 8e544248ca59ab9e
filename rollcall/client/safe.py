"""The cures for nats-py from bus/client.py, copied so that the client stands alone.

This is the one copy: tests/client/test_safe.py runs the same tests on both.
"""

# nats-py is typed in part: what its private members hold is not always said.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeArgument=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import nats.errors as ne
from nats.aio.client import Client

CLOSED_S: Final = 1.0
# The server stays connected after these; all its other complaints end the connection.
HARMLESS: Final = ("permissions violation", "maximum subscriptions exceeded", "invalid subject")


class SafeClient(Client):
    """nats-py without the ways in which it falls silent."""

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, Any] | None
    ) -> None:
        """Refuse what is too large with its headers: the server would end the connection, each time anew."""
        if headers:
            lines = sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
            if payload_size + lines + len("NATS/1.0\r\n\r\n") > self._max_payload:
                raise ne.MaxPayloadError
        await super()._send_publish(subject, reply, payload, payload_size, headers)

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        """Queue PING behind the pending PUB and SUB, so that flush() is a barrier."""
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002 - nats-py's signature
    ) -> None:
        """Refuse a server that offers no TLS: whoever stands between may have left the offer out."""
        await super()._process_info(info, initial_connection)
        clear = self._current_server is not None and self._current_server.uri.scheme in {"nats", "tls"}
        if clear and self.options.get("tls") and not info.get("tls_required"):
            raise ne.Error("it does not speak TLS, and it must")

    async def _process_pong(self) -> None:
        """Pass over the PONG of a flush() or rtt() that was cancelled; it would end the read loop."""
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
            self._pongs_received += 1
            return
        await super()._process_pong()

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        """Wake the flusher, without swallowing a cancellation."""
        flusher = self._flusher_task
        if not self.is_connected or self._flush_queue is None or flusher is None or flusher.done():
            return
        flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._flush_queue.put(flushed)
        if force_flush:
            await asyncio.wait({flushed, flusher}, return_when=asyncio.FIRST_COMPLETED)

    async def _process_connect_init(self) -> None:
        """Close what the server has refused, which nats-py leaves open when it tries the next one.

        The end of a connection is waited for a while only: one cut in its TLS handshake never tells of it.
        """
        transport: Any = self._transport
        if not isinstance(transport.wait_closed, partial):
            transport.wait_closed = partial(_closed, transport.wait_closed)
        try:
            await super()._process_connect_init()
        except BaseException:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise

    async def _process_err(self, err_msg: str) -> None:
        """Reconnect, with fresh credentials, where nats-py would close for good."""
        error = ne.Error(f"nats: {err_msg.strip()}")
        await self._error_cb(error)
        if not any(word in err_msg for word in HARMLESS):
            await self._process_op_err(error)

    async def _read_loop(self) -> None:
        """Reconnect when the loop ended for a reason that nats-py does not know."""
        await super()._read_loop()
        task = asyncio.current_task()
        ours = task is self._reading_task and task is not None and not task.cancelling()
        if ours and self._status == Client.CONNECTED:
            await self._process_op_err(ne.UnexpectedEOF())


async def _closed(wait: Callable[[], Awaitable[None]]) -> None:
    """Wait for the end for a while; whoever cancels this does not spend it for others who wait for it."""
    waiting = asyncio.ensure_future(wait())
    waiting.add_done_callback(_looked_at)
    await asyncio.wait({waiting}, timeout=CLOSED_S)
    if not waiting.done():
        waiting.cancel()


def _looked_at(waiting: asyncio.Future[None]) -> None:
    """Look at how it ended: a connection that was reset has ended as well as any."""
    if not waiting.cancelled():
        waiting.exception()
