"""Links that let somebody into the dashboard, once."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from contracts.operations.registry import Operation, Params, Route
from contracts.tokens import Digest, Prefix

Scope = Literal["read_only", "operator", "admin"]


class CreateParams(Params, frozen=True, kw_only=True):
    """A new link; its code is drawn by who asks, and only its digest is said here."""

    scope: Scope = "operator"
    prefix: Prefix
    digest: Digest


class LoginView(Struct, frozen=True, kw_only=True):
    """Until when the link works, and what the session will be named."""

    session: str
    scope: Scope
    expires_at: datetime


OPERATIONS = (
    Operation(
        name="login.create",
        owner="monitor",
        params=CreateParams,
        result=LoginView,
        scope="operator",
        summary="Print a link into the dashboard; it works once, and for ten minutes.",
        priority="order",
        cli="dashboard",
        errors=("exists",),
        http=(Route("POST", "/logins", 201),),
    ),
)
