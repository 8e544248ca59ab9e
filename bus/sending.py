"""Sending one request: to an address that was judged, never to another, and with patience for nobody.

No proxy, no redirect, no cookie. Of the answer only its status counts; nothing of it is kept.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from ssl import SSLContext, SSLError
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio
import h11
from anyio.streams.tls import TLSStream
from msgspec import Struct

if TYPE_CHECKING:
    from anyio.abc import ByteStream

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Judge: TypeAlias = Callable[[IpAddress], str | None]  # why nothing may be sent to an address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
Trust: TypeAlias = Callable[[], SSLContext]
Headers: TypeAlias = Sequence[tuple[str, str]]

HEAD_BYTES_MAX: Final = 16 * 1024
PIECE_BYTES: Final = 16 * 1024


class Place(Protocol):
    """Where it goes. Without `known` its host is a name, which has to be resolved."""

    @property
    def secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        ...

    @property
    def host(self) -> str:
        """Its name, or its address as it was written."""
        ...

    @property
    def port(self) -> int:
        """Its port."""
        ...

    @property
    def path(self) -> str:
        """What is asked for."""
        ...

    @property
    def known(self) -> str | None:
        """Its address, where it was written as one."""
        ...

    @property
    def authority(self) -> str:
        """What it is called in a request."""
        ...


class Limits(Struct, frozen=True, kw_only=True):
    """How long a receiver may take, and how much it may say."""

    connect_s: float = 2.0
    whole_s: float = 10.0
    rest_s: float = 1.0  # for the rest of an answer, so that the receiver may finish it
    answer_bytes_max: int = 64 * 1024


class NotSent(Exception):
    """The request got no answer; the message is for operators, and repeats nothing that the receiver said."""


async def post(
    place: Place,
    headers: Headers,
    body: bytes,
    *,
    judge: Judge,
    resolve: Resolve,
    trust: Trust,
    limits: Limits,
) -> int:
    """Return the status that the receiver answered; raises NotSent."""
    stage = "connecting"
    try:
        with anyio.fail_after(limits.whole_s):
            with anyio.fail_after(limits.connect_s):
                stream = await _connected(place, judge, resolve, trust)
            stage = "waiting for an answer"
            try:
                return await _asked(stream, place, headers, body, limits)
            finally:
                await anyio.aclose_forcefully(stream)
    except TimeoutError:
        raise NotSent(f"timed out {stage}") from None
    except h11.ProtocolError:
        raise NotSent("what it answered is no HTTP") from None
    except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
        raise NotSent("closed the connection without an answer") from None
    except SSLError as error:
        raise NotSent(f"TLS: {getattr(error, 'verify_message', '') or error.reason or 'failed'}") from None
    except (OSError, UnicodeError) as error:
        raise NotSent(f"{stage}: {getattr(error, 'strerror', None) or type(error).__name__}") from None


async def _connected(place: Place, judge: Judge, resolve: Resolve, trust: Trust) -> ByteStream:
    """Connect to an address that was judged; all of a name's have to pass, for anyone may be taken."""
    texts = [place.known] if place.known is not None else await resolve(place.host, place.port)
    for text in texts:
        why = judge(ipaddress.ip_address(text.partition("%")[0]))
        if why is not None:
            raise NotSent(f"refused: {place.host} {why}")
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name stands for no address")
    for text in texts:
        try:
            stream = await anyio.connect_tcp(text, place.port)
        except OSError as error:
            failure = error.__cause__ if isinstance(error.__cause__, OSError) else error
            continue
        return await _secured(stream, place, trust) if place.secure else stream
    raise failure


async def _secured(stream: ByteStream, place: Place, trust: Trust) -> ByteStream:
    name = place.host.strip("[]").removesuffix(".")
    try:
        return await TLSStream.wrap(stream, hostname=name, ssl_context=trust(), standard_compatible=False)
    except BaseException:
        await anyio.aclose_forcefully(stream)  # nobody else has it
        raise


async def _asked(stream: ByteStream, place: Place, headers: Headers, body: bytes, limits: Limits) -> int:
    """Send the request and return the status of its answer."""
    line = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    head = [
        ("Host", place.authority),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *headers,
    ]
    request = h11.Request(method="POST", target=place.path, headers=head)
    pieces = (line.send(request), line.send(h11.Data(data=body)), line.send(h11.EndOfMessage()))
    await stream.send(b"".join(piece or b"" for piece in pieces))
    status, read = 0, 0
    patience = anyio.CancelScope()
    with patience:
        while read < limits.answer_bytes_max:
            event = line.next_event()
            if event is h11.NEED_DATA:
                try:
                    piece = await stream.receive(PIECE_BYTES)
                except anyio.EndOfStream:
                    break
                read += len(piece)
                line.receive_data(piece)
            elif isinstance(event, h11.Response):
                status = event.status_code
                patience.deadline = anyio.current_time() + limits.rest_s
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed | h11.PAUSED):
                break
    if not status:
        raise NotSent("closed the connection without an answer" if not read else "answered no status")
    return status
