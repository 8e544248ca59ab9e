"""Who asks: a bearer token, known by its digest; what it proves is looked up again twice a second."""

import hmac
from collections import OrderedDict
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from bus.service import Context
from contracts import tokens
from contracts.errors import UnauthorizedError
from contracts.tokens import FIXED, Role, TokenRow
from contracts.work import Changes, Lookup, Needs, StoreFaultError, Unit, View
from domain.tokens import counts, used
from services.gateway import running

log = structlog.get_logger(__name__)

FRESH_S: Final = 0.5  # a token that was revoked is let in no longer than this
KNOWN_MAX: Final = 10_000
_SCHEME: Final = "bearer "


class Caller(Struct, frozen=True):
    """Who asks, as proved."""

    name: str  # of the token: operators' commands carry it
    role: Role
    agent: str | None = None


class _Found(Struct, frozen=True):
    rows: tuple[TokenRow, ...]


def _is(said: str, *kinds: str) -> bool:
    return tokens.well_formed(said) and tokens.kind(said) in kinds


class Doorkeeper:
    """Knows tokens."""

    def __init__(self, context: Context, fixed: str) -> None:
        """Keep the digest of the token in the configuration, if there is one."""
        self._context = context
        self._fixed = fixed
        self._known: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()
        self._used: dict[str, int] = {}

    async def admit(self, authorization: str, cookie: str = "") -> Caller:
        """Return who it is; raises UnauthorizedError, always with the same words.

        A cookie holds a session and nothing else, and a session comes in a cookie: what one place would let
        in is of no use in the other. Whoever says both is taken by the first.
        """
        scheme, _, said = authorization.partition(" ")
        caller = None
        if authorization:
            counts = f"{scheme.lower()} " == _SCHEME and not _is(said.strip(), "link", "session")
            caller = await self._caller(said.strip()) if counts else None
        elif _is(cookie, "session"):
            caller = await self._caller(cookie)
        if caller is None:
            raise UnauthorizedError("a bearer token that counts is needed")
        if caller.name != FIXED:
            self._used[caller.name] = self._context.clock.now()
        return caller

    async def _caller(self, said: str) -> Caller | None:
        digest = tokens.digest(said)
        if self._fixed and hmac.compare_digest(digest, self._fixed):
            return Caller(FIXED, "admin")
        if not tokens.well_formed(said):
            return None
        now = self._context.clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        caller = await self._look_up(tokens.prefix(said), digest)
        self._known[digest] = (now, caller)
        self._known.move_to_end(digest)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return caller

    async def _look_up(self, prefix: str, digest: str) -> Caller | None:
        asked = Lookup(query="token_found", params=(("prefix", prefix),))
        unit = Unit(
            key="token",
            needs=Needs(lookups=(asked,)),
            decide=lambda view, _now: Changes(answer=_Found(tuple(view.rows[asked]))),
            reads_only=True,
        )
        now = self._context.clock.now()
        found = await running.run(self._context, unit)
        for row in msgspec.json.decode(found.answer, type=_Found).rows:
            if hmac.compare_digest(row.digest, bytes.fromhex(digest)) and counts(row, now):
                return Caller(row.name, row.role, row.agent)
        return None

    async def note_uses(self) -> None:
        """Write down when tokens were last used."""
        if not self._used:
            return
        at, self._used = self._used, {}
        asked = tuple(Lookup(query="token_named", params=(("name", name),)) for name in at)

        def decide(view: View, _now: int) -> Changes:
            return used([row for lookup in asked for row in view.rows[lookup]], at)

        unit = Unit(key="tokens.used", needs=Needs(lookups=asked), decide=decide)
        try:
            await self._context.ledger.run([unit], self._context.clock.now())
        except StoreFaultError as error:
            log.warning("store.fault", reason=str(error))
            self._used = at | self._used
