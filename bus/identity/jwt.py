"""The tokens of NATS (JWT, version 2): an operator vouches for accounts, an account for its users.

A user of a role carries no permissions of its own: the account says, beside the key that signed it, what
whoever bears such a signature may do. So a token is short, and a role changes for all at once.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from bus.identity.keys import Key

Claims = dict[str, Any]

UNLIMITED: Final = {"subs": -1, "data": -1, "payload": -1}
SIGNING: Final = ("iat", "iss", "jti")  # what signing adds to claims
_HEAD: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'


def signed(claims: Mapping[str, Any], signer: Key, *, at_s: int) -> str:
    """Return claims as a token issued at `at_s` (seconds since the epoch)."""
    whole = {"iat": at_s, "iss": signer.public, **claims}
    digest = hashlib.new("sha512_256", msgspec.json.encode(whole)).digest()
    whole["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    body = _base64(_HEAD) + b"." + _base64(msgspec.json.encode(whole))
    return (body + b"." + _base64(signer.sign(body))).decode()


def claims_of(token: str) -> Claims:
    """Return what a token says, without asking whether it is true; raises ValueError if it is none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - head, claims, signature
        raise ValueError("not a token")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        found: Claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Claims)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError("not a token") from error
    return found


def operator(name: str, public: str, *, system: str) -> Claims:
    """Return the claims of the operator, who names the account of the system."""
    said = {"type": "operator", "version": 2, "system_account": system}
    return {"name": name, "sub": public, "nats": said}


def account(
    name: str,
    public: str,
    *,
    jetstream: bool,
    signers: Sequence[Mapping[str, Any]] = (),
    exports: Sequence[Mapping[str, Any]] = (),
    imports: Sequence[Mapping[str, Any]] = (),
    revoked: Mapping[str, int] | None = None,
) -> Claims:
    """Return the claims of an account; `revoked` are public keys, and until when issued (seconds)."""
    limits: dict[str, Any] = {
        **UNLIMITED,
        "imports": -1,
        "exports": -1,
        "wildcards": True,
        "conn": -1,
        "leaf": -1,
    }
    if jetstream:
        limits |= {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    said: dict[str, Any] = {
        "type": "account",
        "version": 2,
        "limits": limits,
        "signing_keys": list(signers),
        "exports": list(exports),
        "imports": list(imports),
        # nobody is let in by the key of the account itself
        "default_permissions": {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}},
    }
    if revoked:
        said["revocations"] = dict(sorted(revoked.items()))
    return {"name": name, "sub": public, "nats": said}


def role(key: str, name: str, template: Mapping[str, Any]) -> Claims:
    """Return how an account says what the bearers of a signature may do."""
    return {"kind": "user_scope", "key": key, "role": name, "template": template}


def user(name: str, public: str, *, account: str, expires_s: int | None = None) -> Claims:
    """Return the claims of a user of a role, whose key signs them."""
    found: Claims = {
        "name": name,
        "sub": public,
        "nats": {"type": "user", "version": 2, "issuer_account": account},
    }
    if expires_s is not None:
        found["exp"] = expires_s
    return found


def credentials(token: str, seed: str) -> str:
    """Return the text of a `.creds` file, as every client of NATS reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
