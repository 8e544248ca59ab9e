"""Bearer tokens: their form, and what of them may be kept.

`rcl_<kind>_<32 random bytes>_<checksum>`: whoever finds one in a log or a repository knows what it is, and a
mistyped one is told apart without asking anybody. A token is drawn where it will be used; what Rollcall is
told, and keeps, is its digest and its first letters.
"""

import hashlib
import re
import zlib
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

Role = Literal["agent", "operator", "admin", "read_only"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Kind = Role | Literal["link", "session"]
"""What a token says that it is: a link lets in once, a session lives in a browser's cookie."""
LINK_US: Final = 10 * 60_000_000
SESSION_US: Final = 12 * 3_600_000_000
SECRET_BYTES: Final = 32
FIXED: Final = "api"
"""The name under which the token in the configuration acts; no other may have it."""
PREFIX_CHARS: Final = 8  # of the secret: enough to find a token by, and far too few to guess it from

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARS: Final = 43  # 62 ** 43 is above 256 ** 32
_FORM: Final = re.compile(rf"rcl_[a-z]+_[0-9A-Za-z]{{{_SECRET_CHARS}}}_[0-9a-f]{{8}}")

PREFIX_PATTERN: Final = rf"^rcl_[a-z]+_[0-9A-Za-z]{{{PREFIX_CHARS}}}$(?!\n)"
Prefix = Annotated[str, Meta(max_length=40, pattern=PREFIX_PATTERN, description="its first letters")]
Digest = Annotated[
    str,
    Meta(max_length=64, pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256 of the whole token, in hex"),
]


class TokenRow(Struct, frozen=True, kw_only=True, gc=False):
    """Who is let in over HTTP; the token itself is kept nowhere."""

    name: str
    role: Role
    agent: str | None
    prefix: str
    digest: bytes
    created_at: int
    created_by: str
    expires_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None


def token(kind: Kind, secret: bytes) -> str:
    """Return the token of 32 random bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{len(secret)} bytes, a secret has {SECRET_BYTES}")
    number = int.from_bytes(secret, "big")
    letters = ""
    for _ in range(_SECRET_CHARS):
        number, place = divmod(number, len(_LETTERS))
        letters = _LETTERS[place] + letters
    body = f"rcl_{kind.replace('_', '')}_{letters}"
    return f"{body}_{_checksum(body)}"


def well_formed(text: str) -> bool:
    """Return whether it is a token, as far as its looks and its checksum say."""
    if not _FORM.fullmatch(text):
        return False
    body, _, checksum = text.rpartition("_")
    return _checksum(body) == checksum


def link(address: str, code: str) -> str:
    """Return a link into the dashboard; what follows # is told to no server, and stands in no log."""
    return f"{address}/login#{code}"


def kind(text: str) -> str:
    """Return what a well-formed token says that it is."""
    return text[4 : text.index("_", 4)]


def prefix(text: str) -> str:
    """Return what a well-formed token is found by."""
    return text[: text.index("_", 4) + 1 + PREFIX_CHARS]


def digest(text: str) -> str:
    """Return what is kept of a token: a fast hash is enough for 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
