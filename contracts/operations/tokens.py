"""Tokens: create, list, revoke."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import Name
from contracts.operations.paging import NamedPage
from contracts.operations.registry import Noun, Params, Route
from contracts.tokens import Digest, Prefix, Role

Days = Annotated[int, Meta(ge=1, le=3_660)]


class CreateParams(Params, frozen=True, kw_only=True):
    """A new token; it is drawn by who asks, and only its digest is said here."""

    name: Name
    scope: Role
    agent: Name | None = None  # whom it speaks for; only, and always, with the scope of an agent
    days: Days = 90
    prefix: Prefix
    digest: Digest


class TokenView(Struct, frozen=True, kw_only=True):
    """A token as far as anybody may know it."""

    name: str
    scope: str
    agent: str | None
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class ListParams(NamedPage, frozen=True, kw_only=True):
    """Which tokens to list, a page at a time: those that count, or all."""

    all: bool = False


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of tokens by name; `next` is the `after` of the following page."""

    items: tuple[TokenView, ...]
    next: str | None


class RevokeParams(Params, frozen=True, kw_only=True):
    """Which token ends now."""

    name: Name


TOKEN = Noun("token", "monitor")

OPERATIONS = (
    TOKEN.operation(
        "create",
        CreateParams,
        TokenView,
        "Let somebody in over HTTP.",
        arguments=("name",),
        errors=("exists", "not_found"),
        http=(Route("POST", "/tokens", 201),),
    ),
    TOKEN.operation(
        "ls",
        ListParams,
        ListResult,
        "List tokens, and when each was last used.",
        priority="look",
        errors=(),
        http=(Route("GET", "/tokens"),),
    ),
    TOKEN.operation(
        "revoke",
        RevokeParams,
        TokenView,
        "Let a token in no more, within a second.",
        arguments=("name",),
        http=(Route("DELETE", "/tokens/{name}"),),
    ),
)
