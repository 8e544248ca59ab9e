"""A nats-py client that survives cancellation, raising callbacks, slow consumers and expiring credentials.

The overridden methods are private to nats-py, so its minor version is pinned, and `tests/bus/test_client.py`
shows faults of the plain client beside their cure here.
"""

# nats-py is typed in part: what its members hold is not always said.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeArgument=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

import anyio
import msgspec
import nats.errors as ne
import structlog
from nats.aio.client import Client, Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.command import pub_cmd

from bus.api import BusError, BusTimeout, BusUnavailable, NoResponders, Unsendable
from bus.strict import StrictClient

log = structlog.get_logger(__name__)

CONNECT_S: Final = 30.0
PENDING_BYTES_MAX: Final = 8 << 20
LOG_EVERY_S: Final = 10.0
API_TIMEOUT_S: Final = 5.0
WAIT_S_MAX: Final = 5.0
HEADER_LINE_BYTES: Final = len("NATS/1.0\r\n\r\n")
KEYS_MAX: Final = 1_000
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")  # narrower than the protocol: the rest goes the slower way
_PLAIN: Final = re.compile(r"[!-~]+ [!-~]*")  # a subject and a reply: narrower than the protocol, as above
_KEYS: Final[set[str]] = set()  # header names that were found in order before

# The server stays connected after these; all its other complaints end the connection.
HARMLESS: Final = ("permissions violation", "maximum subscriptions exceeded", "invalid subject")
LOCAL_REFUSALS: Final = (
    ne.BadHeaderError,
    ne.BadSubjectError,
    ne.MaxPayloadError,
)


class ApiError(BusError):
    """JetStream refused a request."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        """Keep JetStream's own code, which is what callers tell cases apart by."""
        super().__init__(f"{description}, code {err_code}")
        self.code = code
        self.err_code = err_code


class Login(Protocol):
    """Somebody whom the server knows by a signed token (JWT)."""

    def token(self) -> bytes:
        """Return the token; asked at each connection, so that it may be a fresh one."""
        ...

    def sign(self, nonce: str) -> bytes:
        """Return the proof that the token is ours."""
        ...


class Access(msgspec.Struct, frozen=True):
    """How to prove who we are; a URL may carry a user or a token instead."""

    login: Login | None = None

    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials_file: str | None = None
    nkey_seed_file: str | None = None
    tls: ssl.SSLContext | None = None


class SafeClient(StrictClient):
    """nats-py without the ways in which it falls silent."""

    def __init__(self) -> None:
        """Start with nothing dropped and nobody to tell."""
        super().__init__()
        self.dropped = 0
        self.on_lost: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []
        self.on_error: list[Callable[[Exception], None]] = []
        self._logged: dict[type[Exception], float] = {}

    @property
    def server_id(self) -> str:
        """The server's name for its present run; "" before it has said so."""
        return str(self._server_info.get("server_id", ""))

    @property
    def guarded(self) -> bool:
        """Whether the server asks who one is, as far as it has said."""
        return bool(self._server_info.get("auth_required"))

    def post(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Queue a message without waiting; it is dropped where `publish` would raise."""
        if self.is_closed or self.is_draining_pubs or self._flush_queue is None:
            return
        if not self.is_connected and self._pending_data_size + len(payload) > self._max_pending_size:
            return
        command: bytes = pub_cmd(subject, reply, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def send(
        self, subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish as `publish` does, in a third of the time; what is unusual in any way goes by `publish`."""
        head = _head(headers) if headers else b""
        if (
            head is None
            or not _PLAIN.fullmatch(f"{subject} {reply}")
            or not self.is_connected
            or self._flush_queue is None
            or len(payload) + len(head) > self._max_payload
        ):
            await self.publish(subject, payload, reply, dict(headers) if headers else None)
            return
        command = (
            f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n".encode() + head
            if head
            else f"PUB {subject} {reply} {len(payload)}\r\n".encode()
        )
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(payload)
        self._pending += (command, payload, b"\r\n")
        self._pending_data_size += len(command) + len(payload) + 2
        if self._pending_data_size > self._max_pending_size:
            await self._flush_pending(force_flush=True)
        elif self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def listen(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = "", limit: int = -1
    ) -> Subscription:
        """Subscribe; with no limit nothing is ever dropped, for inboxes whose load we set ourselves."""
        with own_errors():
            if limit < 0:
                return await self.subscribe(
                    subject, queue, callback, pending_msgs_limit=-1, pending_bytes_limit=-1
                )
            return await self.subscribe(subject, queue, callback, pending_msgs_limit=limit)

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, Any] | None
    ) -> None:
        """Refuse what is too large with its headers: the server would end the connection, each time anew."""
        if headers:
            lines = sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
            if payload_size + lines + HEADER_LINE_BYTES > self._max_payload:
                raise ne.MaxPayloadError
        await super()._send_publish(subject, reply, payload, payload_size, headers)

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        """Queue PING behind the pending PUB and SUB, so that flush() is a barrier."""
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

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
        """Close what the server has refused, which nats-py leaves open when it tries the next one."""
        try:
            await super()._process_connect_init()
        except BaseException:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise

    async def _process_err(self, err_msg: str) -> None:
        """Reconnect, with fresh credentials, where nats-py would close for good."""
        error = ne.Error(err_msg.strip())
        await self._note(error)
        if not any(word in err_msg for word in HARMLESS):
            await self._process_op_err(error)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - as above
        """Close also when the server is gone: what is pending has nowhere to go, and must not keep us."""
        if not self.is_connected:
            self._forget_pending()
        try:
            await super()._close(status, do_cbs)
        except OSError:  # lost in the midst of the last words; the rest of closing is still to do
            self._forget_pending()
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    async def abandon(self) -> None:
        """Close what a connect() that was cut short has left open."""
        self._status = Client.DISCONNECTED  # it may have been cut in its own closing
        await self._close(Client.CLOSED, do_cbs=False)

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._pending_data_size = 0

    async def _read_loop(self) -> None:
        """Reconnect when the loop ended for a reason that nats-py does not know."""
        await super()._read_loop()
        task = asyncio.current_task()
        ours = task is self._reading_task and task is not None and not task.cancelling()
        if ours and self._status == Client.CONNECTED:
            await self._process_op_err(ne.UnexpectedEOF())

    async def _note(self, error: Exception) -> None:
        """Count and log, rarely: this runs inside the read loop, once for each dropped message."""
        if isinstance(error, ne.SlowConsumerError):
            self.dropped += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged.get(type(error), -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[type(error)] = now
            log.warning("bus error", kind=type(error).__name__, error=str(error), dropped=self.dropped)
        tell(self.on_error, error)

    async def _note_lost(self) -> None:
        if not self.is_closed:  # an end of our own is no loss
            log.info("bus lost")
        tell(self.on_lost)

    async def _note_back(self) -> None:
        log.info("bus back")
        tell(self.on_back)


def _head(headers: Mapping[str, str]) -> bytes | None:
    """Return headers as they go over the wire; None for those that nats-py has to look at first."""
    if not headers.keys() <= _KEYS:
        if not all(_KEY.fullmatch(key) for key in headers) or len(_KEYS) + len(headers) > KEYS_MAX:
            return None
        _KEYS.update(headers)
    text = "".join([f"{key}: {value}\r\n" for key, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        return None
    return f"NATS/1.0\r\n{text}\r\n".encode()


def tell(callbacks: list[Callable[..., None]], *arguments: object) -> None:
    """Call each; one that raises must not stop nats-py's own loops."""
    for callback in list(callbacks):
        try:
            callback(*arguments)
        except Exception:
            log.exception("a bus callback raised")


def jittered(pool: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """Choose the server tried least, and a growing random wait, so that a fleet does not return as one."""
    server = min(pool, key=lambda candidate: candidate.reconnects)
    if not server.reconnects:
        return server, random.uniform(0, 0.2)  # noqa: S311 - not a secret
    longest = min(WAIT_S_MAX, 0.1 * 2 ** min(server.reconnects, 6))
    return server, longest * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


async def connect(
    urls: str | list[str],
    *,
    name: str,
    access: Access | None = None,
    inbox_prefix: str = "_INBOX",
    timeout_s: float = CONNECT_S,
) -> SafeClient:
    """Connect within `timeout_s` or raise BusUnavailable; afterwards reconnect for ever."""
    client, access = SafeClient(), access or Access()
    with anyio.move_on_after(timeout_s) as scope:

        def give_up(error: Exception) -> None:
            if isinstance(error, ssl.SSLError) or "authorization" in str(error).lower():
                scope.cancel()  # the same credentials and certificates will not get better

        client.on_error.append(give_up)
        await client.connect(
            urls,
            name=name,
            inbox_prefix=inbox_prefix,
            error_cb=client._note,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            disconnected_cb=client._note_lost,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            reconnected_cb=client._note_back,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            max_reconnect_attempts=-1,  # with -1 connect() itself never gives up: hence the scope
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            reconnect_to_server_handler=jittered,
            connect_timeout=3,
            ping_interval=10,
            max_outstanding_pings=2,
            drain_timeout=10,
            pending_size=PENDING_BYTES_MAX,
            user=access.user,
            password=access.password,
            token=access.token,
            user_credentials=access.credentials_file,
            nkeys_seed=access.nkey_seed_file,
            tls=access.tls,
            user_jwt_cb=access.login.token if access.login else None,
            signature_cb=access.login.sign if access.login else None,
        )
        client.on_error.remove(give_up)
        return client
    with anyio.CancelScope(shield=True):
        await client.abandon()
    raise BusUnavailable(f"{where(urls)}: {client.last_error or f'no answer in {timeout_s:g} s'}")


def where(urls: str | list[str]) -> str:
    """Name the servers without what a URL may keep secret."""
    return ", ".join(url.rpartition("@")[2] for url in ([urls] if isinstance(urls, str) else urls))


async def end(subscription: Subscription, *, drain: bool) -> None:
    """End a subscription, handing over first what has arrived if `drain`."""
    with own_errors():
        if drain:
            await subscription.drain()  # type: ignore[no-untyped-call]
        else:
            await subscription.unsubscribe()


@contextmanager
def own_errors() -> Generator[None]:
    """Turn nats-py's exceptions into ours."""
    try:
        yield
    except BusError:
        raise
    except ne.NoRespondersError as error:
        raise NoResponders from error
    except LOCAL_REFUSALS as error:
        raise Unsendable(str(error)) from error
    except TimeoutError as error:
        raise BusTimeout(str(error)) from error
    except (ne.Error, OSError) as error:
        raise BusUnavailable(str(error)) from error


async def js_api(client: SafeClient, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask JetStream's API, say `STREAM.INFO.X`; raises ApiError, BusTimeout, NoResponders (it is off)."""
    if not client.is_connected:
        raise BusUnavailable
    with own_errors():
        request = msgspec.json.encode(body) if body else b""
        reply = await client.request(f"$JS.API.{verb}", request, timeout=API_TIMEOUT_S)
    answer: dict[str, Any] = msgspec.json.decode(reply.data, type=dict[str, Any])
    if error := answer.get("error"):
        raise ApiError(error["code"], error.get("err_code", 0), error.get("description", ""))
    return answer
