"""Where a webhook may go: the form of an address, and which networks are no business of ours.

An address is read strictly, so that no two readers can take it for two hosts. A name is judged when it is
resolved: whoever connects asks `refusal` about every address that it stands for, and connects to just that.
"""

import ipaddress
import re
from functools import cache
from typing import Final

from msgspec import Struct

from contracts.errors import InvalidError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS: Final = (80, 443, 8_080, 8_443)
URL_CHARS_MAX: Final = 2_000
_USUAL: Final = {"http": 80, "https": 443}
_FORM: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,254})(?::([0-9]{1,5}))?(/[!-~]*)?", re.ASCII
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_NOT_IN_PATHS: Final = frozenset('\\?#<>"`{}|^')
_LOCAL: Final = ipaddress.IPv4Address("127.0.0.1")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_UNSPECIFIED: Final = 0xFFFF  # below lie :: and ::1, which embed nothing
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")  # of version 6 nothing else is in use among strangers
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's own services, at a public address
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)


class Reach(Struct, frozen=True, kw_only=True):
    """What an operator allows beyond https to strangers."""

    allow: tuple[str, ...] = ()  # networks of one's own
    http: bool = False
    ports: tuple[int, ...] = PORTS


class Place(Struct, frozen=True, kw_only=True):
    """An address, read. Without `known` its host is a name, which has to be resolved."""

    secure: bool
    host: str
    port: int
    path: str  # of the ping
    known: str | None = None

    @property
    def authority(self) -> str:
        """What the receiver is called in a request."""
        return (
            self.host
            if self.port == _USUAL["https" if self.secure else "http"]
            else f"{self.host}:{self.port}"
        )


def place(url: str, reach: Reach) -> Place:
    """Return where the pings of an address go; raises InvalidError that says why nothing may."""
    found = _FORM.fullmatch(url) if len(url) <= URL_CHARS_MAX else None
    if found is None or _NOT_IN_PATHS.intersection(found[4] or ""):
        raise _refused(
            "write https://host, and a port and path if need be; no user, no query, no fragment, ASCII only"
        )
    scheme, host, port = found[1], found[2], int(found[3] or _USUAL[found[1]])
    if scheme == "http" and not reach.http:
        raise _refused("only https is allowed (webhooks.http allows http)")
    if port not in reach.ports:
        raise _refused(f"port {port} is not allowed (webhooks.ports names those that are)")
    known = _literal(host)
    why = None if known is None else refusal(known, reach)
    if why is not None:
        raise _refused(f"{host} {why}")
    return Place(
        secure=scheme == "https",
        host=host.lower(),
        port=port,
        path=f"{(found[4] or '').rstrip('/')}/ping",
        known=None if known is None else str(known),
    )


def refusal(address: IpAddress, reach: Reach) -> str | None:
    """Return why nothing may be sent to an address; None if it may."""
    meant = _embedded(address)
    if any(meant in network or address in network for network in _networks(reach.allow)):
        return None
    if any(meant in network for network in _NEVER):
        return f"is {meant}: no public address (webhooks.allow names networks of one's own)"
    if isinstance(meant, ipaddress.IPv6Address) and meant not in _GLOBAL:
        return f"is {meant}: no public address (webhooks.allow names networks of one's own)"
    return None


def _literal(host: str) -> IpAddress | None:
    """Return the address that a host is written as, or None for a name; a half-written one is neither."""
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise _refused(f"{host} is no address") from None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # resolvers read 127.1, 0x7f.1 and 2130706433 as addresses
        try:
            return ipaddress.IPv4Address(host)
        except ValueError:
            raise _refused(f"{host} is no address: four numbers are needed, without leading zeros") from None
    if not all(map(_LABEL.fullmatch, labels)):
        raise _refused(f"{host} is no name of a host")
    return _LOCAL if labels[-1].lower() == "localhost" else None


def _embedded(address: IpAddress) -> IpAddress:
    """Return the address of version 4 that one of version 6 leads to, or what it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > _UNSPECIFIED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@cache
def _networks(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _refused(why: str) -> InvalidError:
    return InvalidError(f"endpoint_url: {why}", fields={"endpoint_url": why})
