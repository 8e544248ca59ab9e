"""Credentials of the bus: create, list, revoke."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from contracts.credentials import Holder, PublicKey
from contracts.limits import Name
from contracts.operations.paging import NamedPage
from contracts.operations.registry import Noun, Params, Route
from contracts.operations.tokens import Days

Kept = Annotated[int, Meta(ge=0, le=10_080)]


class CreateParams(Params, frozen=True, kw_only=True):
    """Let a key in; it is drawn by who asks, and only its public half is said here."""

    name: Name
    holder: Holder = "agent"
    public_key: PublicKey
    days: Days = 365
    keep_minutes: Kept | None = None  # the holder's other credentials count so much longer; absent: they stay


class CredentialView(Struct, frozen=True, kw_only=True):
    """A credential as far as anybody may know it."""

    name: str
    holder: str
    public_key: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    ends_at: datetime | None


class CreateResult(Struct, frozen=True, kw_only=True):
    """What the holder shows to the bus, beside the proof that the key is its own."""

    name: str
    holder: str
    expires_at: datetime
    token: str


class ListParams(NamedPage, frozen=True, kw_only=True):
    """Which credentials to list, a page at a time: those that count, or all that are kept."""

    all: bool = False


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of credentials by name; `next` is the `after` of the following page."""

    items: tuple[CredentialView, ...]
    next: str | None


class RevokeParams(Params, frozen=True, kw_only=True):
    """Whose credentials end now."""

    name: Name
    holder: Holder = "agent"


class RevokeResult(Struct, frozen=True, kw_only=True):
    """What ended."""

    name: str
    holder: str
    credentials: int
    tokens: int


CREDENTIAL = Noun("credential", "monitor")

OPERATIONS = (
    CREDENTIAL.operation(
        "create",
        CreateParams,
        CreateResult,
        "Let somebody in on the bus.",
        arguments=("name",),
        errors=("not_found", "not_secured", "exists"),
        http=(Route("POST", "/credentials", 201),),
    ),
    CREDENTIAL.operation(
        "ls",
        ListParams,
        ListResult,
        "List who is let in on the bus.",
        priority="look",
        errors=(),
        http=(Route("GET", "/credentials"),),
    ),
    CREDENTIAL.operation(
        "revoke",
        RevokeParams,
        RevokeResult,
        "Let somebody in no more: on the bus, and over HTTP.",
        arguments=("name",),
        http=(Route("DELETE", "/credentials/{holder}/{name}"),),
    ),
)
