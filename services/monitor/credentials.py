"""Who is let in on the bus: credentials are created, listed and revoked, and the server hears of it."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from bus.service import Chore, Context, Endpoint, Request
from contracts.credentials import CredentialRow
from contracts.errors import NotSecuredError
from contracts.operations import BY_NAME
from contracts.work import Changes, Committed, Lookup, Needs, Unit, View
from domain import credentials
from domain.timers import Timers

TELL_S = 1.0


class Authority(Protocol):
    """Who may sign, and tell the server who is let in no more."""

    @property
    def ready(self) -> bool:
        """Whether there are keys to sign with."""
        ...

    def sign(self, row: CredentialRow) -> str:
        """Return what the holder shows to the bus."""
        ...

    async def tell(self, ended: Mapping[str, int], now: int) -> None:
        """Let in no more these keys if they were signed before then (seconds); `now` in microseconds."""
        ...


class Desk(Struct, frozen=True):
    """What the monitor does about credentials; without an authority it can but list and revoke them."""

    authority: Authority | None
    timers: Timers

    @property
    def guarded(self) -> bool:
        """Whether the bus lets in only whom we vouch for."""
        return self.authority is not None and self.authority.ready

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Credentials."""
        return (
            Endpoint(operation=BY_NAME["credential.create"], unit=self._create),
            Endpoint(operation=BY_NAME["credential.ls"], unit=_listed),
            Endpoint(operation=BY_NAME["credential.revoke"], unit=self._revoke),
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        """Tell the server what the store says, again and again: a word that was lost is made up for."""
        return () if self.authority is None else (Chore(name="credentials", every_s=TELL_S, run=self._tell),)

    def _create(self, request: Request) -> Unit:
        params, authority = request.params, self.authority
        if authority is None or not authority.ready:
            raise NotSecuredError("the monitor has no keys to sign with")
        known = _known(params.holder, params.name)
        same = Lookup(query="credential_keyed", params=(("public_key", params.public_key),))
        return request.write(
            Needs(agents=(params.name,), lookups=(known, same)),
            lambda view, now: credentials.create(
                view,
                now,
                params,
                actor=request.actor,
                known=view.rows[known],
                same=view.rows[same],
                sign=authority.sign,
                timers=self.timers,
            ),
        )

    def _revoke(self, request: Request) -> Unit:
        params = request.params
        known, tokens = ways(params.name, params.holder)
        return request.write(
            Needs(agents=(params.name,) if params.holder == "agent" else (), lookups=(known, tokens)),
            lambda view, now: credentials.revoke(
                view,
                now,
                params,
                actor=request.actor,
                known=view.rows[known],
                tokens=view.rows[tokens] if params.holder == "agent" else (),
                guarded=self.guarded,
                timers=self.timers,
            ),
        )

    async def _tell(self, context: Context, now: int) -> None:
        if self.authority is None or not self.authority.ready:
            return
        rows = Lookup(query="ended_credentials", params=(("now", now),))
        ended: dict[str, int] = {}

        def note(view: View, _now: int) -> Changes:
            ended.update((row.public_key, (row.ends_at or 0) // 1_000_000) for row in view.rows[rows])
            return Changes()

        unit = Unit(key="credentials", needs=Needs(lookups=(rows,)), decide=note, reads_only=True)
        (outcome,) = await context.ledger.run([unit], now)
        if isinstance(outcome, Committed):
            await self.authority.tell(ended, now)


def people(name: str) -> Lookup:
    """Return where the credentials of people under a name stand."""
    return Lookup(query="people_named", params=(("name", name),))


def ways(name: str, holder: str = "agent") -> tuple[Lookup, Lookup]:
    """Return where the credentials of a holder stand, and the tokens of an agent."""
    return _known(holder, name), Lookup(query="tokens_of_agent", params=(("agent", name),))


def _listed(request: Request) -> Unit:
    params = request.params
    asked = (*credentials.begins(params.after), ("limit", params.limit))
    rows = Lookup(query="list_credentials", params=asked)
    return request.read(
        Needs(lookups=(rows,)), lambda view, now: credentials.listed(view.rows[rows], now, params)
    )


def _known(holder: str, name: str) -> Lookup:
    return Lookup(query="credentials_of", params=(("holder", holder), ("name", name)))
