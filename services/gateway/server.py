"""Listening: uvicorn, with an end of its own and with patience for nobody who says nothing."""

import contextlib
import socket
from collections.abc import Generator
from typing import Final, cast

import anyio
import structlog
import uvicorn

from bus.service import Context
from contracts import tokens
from contracts.errors import RollcallError
from services.gateway import Gateway, Listening
from services.gateway.app import app
from services.gateway.asking import Desk
from services.gateway.connection import Config, Connection
from services.gateway.door import Door
from services.gateway.events import Hub
from services.gateway.exchange import App
from services.gateway.guard import Guard
from services.gateway.identity import Doorkeeper
from services.gateway.refusals import Refusals
from services.gateway.session import Sessions
from services.gateway.traffic import Tap

log = structlog.get_logger(__name__)

IDLE_S: Final = 20
BACKLOG: Final = 1_024
END_S: Final = 5  # what was taken in is answered, or cut
NOTE_S: Final = 10.0
AGAIN_S: Final = 1.0
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - to be told apart, not to be listened to


class Server(uvicorn.Server):
    """Ends when it is told to: signals are the runtime's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield


async def serve(gateway: Gateway, context: Context, stop: anyio.Event) -> None:
    """Serve until `stop`; an address that cannot be had now is tried for again."""
    keeper = Doorkeeper(context, gateway.listening.fixed)
    hub = Hub(context, stop, gateway.listening.streams)
    door = Door(Desk(context, gateway.reads), keeper, hub, Tap(context, stop), stop)
    sessions = Sessions(context)
    asgi = cast("App", app(door, sessions))  # Litestar names its types otherwise
    refusals = Refusals(context.clock)
    guarded = Guard(asgi, keeper, sessions, refusals, gateway.listening)
    listening = await _bound(gateway.listening, stop)
    if listening is None:
        return
    with listening:
        server = Server(_config(guarded, gateway.listening))
        async with anyio.create_task_group() as group:
            group.start_soon(_note, keeper, refusals, stop)
            group.start_soon(_end, server, hub, stop)
            group.start_soon(hub.run)
            where = address(gateway.listening, listening.getsockname()[1])
            gateway.opened(where, await _link(sessions, where, gateway.listening.greets))
            await server.serve(sockets=[listening])
            if not stop.is_set():
                group.cancel_scope.cancel()
    await keeper.note_uses()
    refusals.tell(last=True)


def _config(guarded: Guard, listening: Listening) -> Config:
    return Config(
        guarded,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what callers do wrong is told to them, and is no news here
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # whose word counts, the guard knows
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=END_S,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
    )


async def _bound(listening: Listening, stop: anyio.Event) -> socket.socket | None:
    """Return the socket to listen on; None when `stop` came first."""
    said = False
    while not stop.is_set():
        try:
            return _open(listening)
        except OSError as error:
            if not said:
                hint = "name another port: http.port"
                where = f"{listening.host}:{listening.port}"
                log.warning("gateway.cannot_listen", address=where, reason=error.strerror, hint=hint)
            said = True
        with anyio.move_on_after(AGAIN_S):
            await stop.wait()
    return None


def _open(listening: Listening) -> socket.socket:
    """Listen, to connections on which the second part of an answer waits for no word about the first.

    They have that from the socket that they come by: asyncio sees to it only where the protocol was named.
    """
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    found = socket.create_server((listening.host, listening.port), family=family, backlog=BACKLOG)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def address(said: Listening, port: int) -> str:
    """Return under which address it can be asked: whoever listens everywhere is asked by a name."""
    scheme = "https" if said.certificate else "http"
    host = said.host
    if host in EVERYWHERE:
        host = said.names[0] if said.names else "localhost"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _link(sessions: Sessions, address: str, who: str) -> str:
    """Return a link for whoever started this and sees what it prints; "" when none can be made now."""
    try:
        return tokens.link(address, await sessions.invite(who)) if who else ""
    except RollcallError as error:
        log.warning("dashboard.no_link", reason=str(error), hint="rollcall dashboard")
        return ""


async def _end(server: Server, hub: Hub, stop: anyio.Event) -> None:
    await stop.wait()
    hub.ring()
    server.should_exit = True


async def _note(keeper: Doorkeeper, refusals: Refusals, stop: anyio.Event) -> None:
    """Write down now and then who was let in, and who was not."""
    while not stop.is_set():
        with anyio.move_on_after(NOTE_S):
            await stop.wait()
        await keeper.note_uses()
        refusals.tell()
