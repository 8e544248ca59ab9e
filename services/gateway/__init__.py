"""Gateway: the door over HTTP. It owns no verb: commands go to their owners, queries to the store."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import Struct

from bus.service import Chore, Context, Duty, Endpoint, Front, Inbox, Listener, Request
from contracts.work import Unit

Reads = Mapping[str, Callable[[Request], Unit]]


class Listening(Struct, frozen=True, kw_only=True):
    """Where it listens, and to whom."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any that is free
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()  # under which it may be asked, beside those of this machine
    proxies: tuple[str, ...] = ()  # addresses of those whose word on the caller's address counts
    per_minute: int = 6_000  # requests of one caller
    streams: int = 50  # of changes, that one caller has open
    greets: str = ""  # whose link into the dashboard is made when it opens; "": nobody's
    fixed: str = ""  # digest of the one token that stands in the configuration; "": there is none


class Gateway(Struct, frozen=True, kw_only=True):
    """See the module."""

    listening: Listening
    reads: Reads  # how the owners answer their queries, by the operation's name
    opened: Callable[[str, str], None]  # is told the address, and a link into the dashboard; "" for none
    name: str = "gateway"
    endpoints: tuple[Endpoint, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()
    chores: tuple[Chore, ...] = ()

    @property
    def fronts(self) -> tuple[Front, ...]:
        """HTTP."""
        return (Front(name="http", run=self._serve),)

    async def _serve(self, context: Context, stop: anyio.Event) -> None:
        """Serve until `stop`; what it takes is imported here, beside the loop, for it takes half a second."""
        server = await to_thread.run_sync(import_module, "services.gateway.server")
        await server.serve(self, context, stop)
