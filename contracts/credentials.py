"""Credentials of the bus: who has one, what of it may be kept, and how long it counts.

A key pair is drawn where it will be used; what Rollcall is told, signs and keeps is the public key.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Holder = Literal["agent", "machine", "operator", "admin", "read_only"]
"""What somebody is on the bus: an agent, the daemon of a machine, or somebody who operates."""

PublicKey = Annotated[
    str,
    Meta(max_length=56, pattern=r"^U[A-Z2-7]{55}$(?!\n)", description="The public half of a user's key."),
]


class CredentialRow(Struct, frozen=True, kw_only=True, gc=False):
    """One key that is let in under a name."""

    public_key: str
    holder: Holder
    name: str
    created_at: int
    created_by: str
    expires_at: int
    ends_at: int | None = None  # revoked, or replaced: it counts until then
