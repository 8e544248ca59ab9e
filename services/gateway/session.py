"""Sessions of people before a browser: a link is changed into a cookie, once."""

import secrets
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from bus.service import Context
from contracts import tokens
from contracts.codec import decode, encode
from contracts.errors import ForbiddenError, UnauthorizedError
from contracts.operations.logins import CreateParams
from contracts.operations.registry import API
from contracts.operations.tokens import RevokeParams, TokenView
from contracts.tokens import SESSION_US
from contracts.work import Changes, Lookup, Needs, Unit, View
from domain import tokens as rules
from services.gateway import running
from services.gateway.identity import Caller

PATH: Final = f"{API}/session"
COOKIE: Final = "rollcall"  # with the port: a browser has one jar for all the ports of a host
GUARDED: Final = f"__Host-{COOKIE}"  # a browser takes it only over TLS, and for this host alone
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CODE_BYTES_MAX: Final = 1_024


class Code(Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser brings: the code in its link."""

    code: str


class SessionView(Struct, frozen=True, kw_only=True):
    """Who looks at the dashboard, what it may do, and what it has to know about the house."""

    name: str
    role: str
    root: str
    incarnation: str


class Sessions:
    """Opens and ends them; kept are only the digests of tokens."""

    def __init__(self, context: Context) -> None:
        """Keep the ports."""
        self._context = context

    async def invite(self, who: str) -> str:
        """Return the code of a new link for an operator, whose machine this is."""
        code = tokens.token("link", secrets.token_bytes(tokens.SECRET_BYTES))
        params = CreateParams(scope="admin", prefix=tokens.prefix(code), digest=tokens.digest(code))
        actor = f"operator:{who}"

        def decide(_: View, now: int) -> Changes:
            return rules.invite(now, params, name=rules.session_name(who, params), actor=actor, known=())

        await self._run(Unit(key="session.invite", needs=Needs(), decide=decide))
        return code

    async def enter(self, body: bytes) -> tuple[TokenView, str]:
        """Return the session that a link opens, and its token; raises UnauthorizedError."""
        code = decode(body, Code, bytes_max=CODE_BYTES_MAX).code
        if not tokens.well_formed(code) or tokens.kind(code) != "link":
            raise UnauthorizedError(rules.USED_UP)
        drawn = tokens.token("session", secrets.token_bytes(tokens.SECRET_BYTES))
        asked = Lookup(query="token_found", params=(("prefix", tokens.prefix(code)),))

        def decide(view: View, now: int) -> Changes:
            return rules.enter(
                now,
                view.rows[asked],
                link=bytes.fromhex(tokens.digest(code)),
                prefix=tokens.prefix(drawn),
                digest=bytes.fromhex(tokens.digest(drawn)),
            )

        answer = await self._run(Unit(key="session.enter", needs=Needs(lookups=(asked,)), decide=decide))
        return decode(answer, TokenView), drawn

    async def leave(self, caller: Caller) -> None:
        """End the session of who asks."""
        known = Lookup(query="token_named", params=(("name", caller.name),))
        params = RevokeParams(name=caller.name)

        def decide(view: View, now: int) -> Changes:
            rows = view.rows[known]
            return rules.revoke(view, now, params, actor=f"operator:{caller.name}", known=rows)

        await self._run(Unit(key="session.leave", needs=Needs(lookups=(known,)), decide=decide))

    async def shown(self, caller: Caller) -> bytes:
        """Return who asks, for the page."""

        def decide(view: View, _now: int) -> Changes:
            return Changes(
                answer=SessionView(
                    name=caller.name,
                    role=caller.role,
                    root=self._context.root,
                    incarnation=view.incarnation,
                )
            )

        return await self._run(Unit(key="session", needs=Needs(), decide=decide, reads_only=True))

    async def _run(self, unit: Unit) -> bytes:
        outcome = await running.run(self._context, unit)
        if outcome.problem is not None:
            raise UnauthorizedError(outcome.problem.detail)
        self._context.outbox.put(outcome.posts)
        return outcome.answer


def brought(headers: Mapping[str, str]) -> str:
    """Return the token in the cookie; "" for none."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    jar = {name: value for name, _, value in pairs}  # what others put there may be no cookie at all
    return jar.get(GUARDED) or jar.get(plain(headers), "")


def plain(headers: Mapping[str, str]) -> str:
    """Return the name of the cookie without TLS: that of another Rollcall on this machine is not ours."""
    _, _, port = headers.get("host", "").rpartition(":")
    return f"{COOKIE}-{port}" if port.isdecimal() else COOKIE


def check_page(method: str, headers: Mapping[str, str], scheme: str) -> None:
    """Refuse what a cookie came with, if our own page did not ask it; raises ForbiddenError.

    A browser sends the cookie along with whatever it asks here, whoever made it ask.
    """
    if method in SAFE:
        return
    site = headers.get("sec-fetch-site")
    own = f"{scheme}://{headers.get('host', '')}"
    if site != "same-origin" and not (site is None and headers.get("origin", "").lower() == own.lower()):
        raise ForbiddenError("with a cookie only the dashboard's own page may ask")


def baked(token: str, headers: Mapping[str, str], scheme: str, *, ends: bool = False) -> str:
    """Return the cookie to set."""
    secure = scheme == "https" or headers.get("origin", "").startswith("https://")
    name = f"{GUARDED}={token}; Secure" if secure else f"{plain(headers)}={token}"
    age = 0 if ends else SESSION_US // 1_000_000
    return f"{name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}"


def told(view: TokenView) -> bytes:
    """Return what a browser that was let in is told."""
    return encode({"name": view.name, "role": view.scope})
