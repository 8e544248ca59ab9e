"""The connection to the bus: it tries until the other side has confirmed, and says so when that fails."""

import asyncio
import logging
import os
import random
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import nats.errors as ne
from nats.aio.msg import Msg

from rollcall.client.safe import SafeClient
from rollcall.client.wire import Closed, NotAllowed, NotStored, Problem, Refused, Unavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

TRY_S: Final = 2.0
BYTES_MAX: Final = 65_536
WAIT_S_MAX: Final = 2.0
CONNECT: Final[dict[str, Any]] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
    "connect_timeout": 3,
    "ping_interval": 10,
    "max_outstanding_pings": 2,
    "drain_timeout": 10,
    "pending_size": 8 << 20,
}
# JetStream's codes that pass: no leader, no room now, stream full, the first copy is still being stored.
PASSING: Final = frozenset({10008, 10023, 10077, 10158})
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")


class Line:
    """One connection, which comes back for ever."""

    def __init__(
        self, *, url: str | None, creds: str | None, patience_s: float, options: Mapping[str, Any]
    ) -> None:
        """Prepare; `options` go to nats-py."""
        env = os.environ
        self._named = url or env.get("ROLLCALL_NATS__URL") or env.get("NATS_URL")
        self._url = ""
        self._creds = creds or env.get("ROLLCALL_NATS__CREDS") or env.get("NATS_CREDS")
        self._patience_s = patience_s
        self._options = options
        self._denials: deque[str] = deque(maxlen=64)
        self._rejected = asyncio.Event()
        self._out_since: float | None = None  # since when the bus refuses us, in monotonic seconds
        self.client = SafeClient()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self.client.is_connected

    async def open(self, agent: str, on_back: Callable[[], None]) -> None:
        """Connect within the patience; credentials that are refused will not get better."""
        self._url = self._named or address()
        self._creds = self._creds or _kept(agent)

        async def back() -> None:
            self._out_since = None
            on_back()

        connecting = asyncio.ensure_future(
            self.client.connect(
                self._url,
                name=f"rollcall/{agent}",
                inbox_prefix=f"_INBOX_{agent}",
                error_cb=self._on_error,
                reconnected_cb=back,
                user_credentials=self._creds,
                **{**CONNECT, **self._options},
            )
        )
        rejected = asyncio.ensure_future(self._rejected.wait())
        try:
            await asyncio.wait(
                {connecting, rejected}, timeout=self._patience_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            rejected.cancel()
            if not connecting.done():
                connecting.cancel()
        if self._rejected.is_set():
            raise NotAllowed(f"{self._where()}: {self.client.last_error}")
        if connecting.cancelled() or not connecting.done():
            raise Unavailable(f"{self._where()}: {self.client.last_error or 'no answer'}")
        connecting.result()

    async def close(self) -> None:
        """Send what is pending and close."""
        try:
            await self.client.drain()
        except (ne.Error, OSError, TimeoutError, asyncio.CancelledError):
            # it is reconnecting, closed, or too slow; nobody cancels this but nats-py, whom nobody lets in
            with suppress(asyncio.CancelledError):
                await self.client.close()

    async def follow(self) -> None:
        """Look up the address again: the bus of `rollcall up` may have come back at another port."""
        with suppress(Unavailable):
            if not self._named and not self.connected and (found := address()) != self._url:
                self._url = found
                self.client.set_server_pool([found])

    async def subscribe(self, subject: str, handler: Callable[[Msg], None]) -> None:
        """Hand each message to `handler`; one that cannot be read is logged, and the next one is."""

        async def on_message(message: Msg) -> None:
            try:
                handler(message)
            except Exception:
                log.exception("a message on %s was not understood", message.subject)

        await self.client.subscribe(subject, cb=on_message)  # pyright: ignore[reportUnknownMemberType]

    async def say(self, subject: str, body: Mapping[str, Any], reply: str = "") -> None:
        """Publish without a confirmation, and not at all while the bus is away."""
        if self.connected:
            with suppress(ne.Error, OSError):
                await self.client.publish(subject, msgspec.json.encode(body), reply)

    async def ask(
        self, subject: str, body: Mapping[str, Any], read: Callable[[Msg], T], trace: Mapping[str, str]
    ) -> T:
        """Try until `read` accepts a reply, with one command id and a message id for each try."""
        data = msgspec.json.encode({key: value for key, value in body.items() if value is not None})
        clock, command_id = asyncio.get_running_loop().time, str(body["command_id"])
        deadline, why = clock() + self._patience_s, "the bus is away"
        if len(data) > BYTES_MAX:  # the server would end the connection, each time anew
            raise NotStored(f"{subject}: a payload of {len(data)} bytes, at most {BYTES_MAX}")
        for number in count(1):
            if self.client.is_closed:
                raise Closed(f"{subject}: {self.client.last_error or 'the connection was closed'}")
            if self.connected:  # else nats-py would keep the message and send it at some later time
                headers = {"Nats-Msg-Id": f"{command_id}:{number}", "traceparent": following(trace)}
                try:
                    return read(await self.client.request(subject, data, TRY_S, headers=headers))
                except (ne.MaxPayloadError, ne.BadSubjectError) as error:
                    raise NotStored(f"{subject}: {error}") from error
                except (TryAgain, ne.Error, OSError) as error:
                    why = str(error) or type(error).__name__
            self.check_allowed(subject)
            pause = min(WAIT_S_MAX, 0.05 * 2 ** min(number, 6)) * random.uniform(0.5, 1.0)  # noqa: S311
            if clock() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        raise Unavailable(f"{subject}: {why}", command_id)

    def check_allowed(self, subject: str) -> None:
        """Raise NotAllowed if the server has said that this connection may not use the subject."""
        for denial in self._denials:
            if f'"{subject.lower()}' in denial:  # nats-py hands these texts on in lower case
                raise NotAllowed(denial)

    def check_let_in(self) -> None:
        """Raise NotAllowed if the bus has refused us for as long as the patience: it was meant."""
        out = self._out_since
        if out is not None and not self.connected and time.monotonic() - out >= self._patience_s:
            raise NotAllowed(f"{self._where()}: {self.client.last_error}")

    async def _on_error(self, error: Exception) -> None:
        """Remember refusals; this runs in nats-py's read loop and must not raise."""
        text = str(error).lower()
        log.log(logging.DEBUG if isinstance(error, OSError) else logging.WARNING, "bus: %s", error)
        if "permissions violation" in text:
            self._denials.append(text)
        elif "authorization violation" in text:
            self._rejected.set()
            self._out_since = time.monotonic() if self._out_since is None else self._out_since

    def _where(self) -> str:
        return self._url.rpartition("@")[2]


class TryAgain(Exception):
    """This reply says that a later try may succeed."""


def stored(message: Msg) -> None:
    """Accept nothing but a stream's own acknowledgement."""
    try:
        reply = msgspec.json.decode(message.data, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise NotStored(f"{message.subject}: the reply is not a stream's") from error
    if failure := reply.get("error"):
        text = f"{failure.get('description')} (code {failure.get('err_code')})"
        if failure.get("err_code") in PASSING:
            raise TryAgain(text)
        raise NotStored(text)
    if reply.get("duplicate"):  # no try has the id of another: somebody else used it first
        raise TryAgain("the id of this try was used before")
    if not (isinstance(reply.get("stream"), str) and isinstance(reply.get("seq"), int)):
        raise NotStored("the reply is not a stream's")


def result_of(kind: type[T]) -> Callable[[Msg], T]:
    """Return a reader of results of that kind; it raises Refused where the service said no."""

    def read(message: Msg) -> T:
        if "Nats-Service-Error-Code" not in (message.headers or {}):
            return msgspec.json.decode(message.data, type=kind)
        problem = msgspec.json.decode(message.data or b"{}", type=Problem)
        if problem.retryable:
            raise TryAgain(f"{problem.code}: {problem.detail or problem.title}")
        raise Refused(problem)

    return read


def following(headers: Mapping[str, str]) -> str:
    """Return the traceparent for what follows from a message with these headers."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace, flags = (found[1], found[2]) if found else (secrets.token_hex(16), "00")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def state() -> Path:
    """Return the state folder of `rollcall up`."""
    env = os.environ
    home = Path(env.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "rollcall"
    return Path(env.get("ROLLCALL_STATE_DIR") or home).expanduser()


def _kept(agent: str) -> str | None:
    """Return the credentials that `rollcall agent add` left there, if it did."""
    file = state() / "creds" / f"{agent}.creds"
    return str(file) if file.exists() else None


def address() -> str:
    """Return the address that `rollcall up` left in its state folder."""
    file = state() / "nats.url"
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise Unavailable(f"no bus is running (no {file}), and ROLLCALL_NATS__URL names none") from error
