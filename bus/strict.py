"""What nats-py leaves undone where TLS is spoken."""

# nats-py is typed in part: what its private members hold is not always said.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import nats.errors as ne
from nats.aio.client import Client

CLOSED_S: Final = 1.0


class StrictClient(Client):
    """nats-py that says nothing in the clear where TLS was asked for, and whose closing ends."""

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

    async def _process_connect_init(self) -> None:
        """Wait for the end of a connection for a while only: one cut in its handshake never tells of it."""
        transport: Any = self._transport
        if not isinstance(transport.wait_closed, partial):
            transport.wait_closed = partial(_closed, transport.wait_closed)
        await super()._process_connect_init()


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
