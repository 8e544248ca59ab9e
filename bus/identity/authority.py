"""Signs users, and tells the server which accounts it has and who is let in no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from bus.api import BusError
from bus.client import Access, connect, own_errors
from bus.identity.keyring import Login
from bus.identity.permissions import SYSTEM, inbox
from bus.identity.server import PUSH, Secured

if TYPE_CHECKING:
    from ssl import SSLContext

    from bus.identity.jwt import Claims
    from bus.identity.keyring import Keyring
    from contracts.credentials import CredentialRow

log = structlog.get_logger(__name__)

TELL_S: Final = 5.0
ANNOUNCED_S: Final = 60  # how long a new key may take from when the server knows it until it signs


class Authority:
    """The one who has the keys."""

    def __init__(
        self,
        secured: Callable[[], Secured],
        address: Callable[[], str | None],
        tls: Callable[[str], SSLContext | None],
    ) -> None:
        """Sign with the keys of `secured`, once it is needed; the server is at `address`, behind `tls`."""
        self._make = secured
        self._address = address
        self._tls = tls

    @cached_property
    def _secured(self) -> Secured:
        return self._make()

    @property
    def _keyring(self) -> Keyring:
        return self._secured.keyring

    @property
    def ready(self) -> bool:
        """Whether there are keys to sign with."""
        return self._keyring.made

    def sign(self, row: CredentialRow) -> str:
        """Return what the holder of a credential shows to the bus."""
        account = "agents" if row.holder in {"agent", "machine"} else "core"
        expires_s = row.expires_at // 1_000_000
        return self._keyring.user(row.holder, account, row.name, row.public_key, expires_s=expires_s)

    async def tell(self, ended: Mapping[str, int], now: int) -> None:
        """Tell the server who is let in no more, and which keys sign now, if that is news."""
        try:
            async with self._keyring.turn.taken():
                self._keyring.revoke(ended)
                news = await self._tell(now // 1_000_000)
        except BusError as error:
            log.warning("accounts.not_told", reason=str(error))  # the next round tries again
            return
        if news:
            log.info("accounts.told", accounts=sorted(news), ended=len(ended))

    @property
    def roles(self) -> list[str]:
        """The roles whose keys can be replaced."""
        return self._keyring.roles()

    async def rotate(self, roles: Sequence[str], now_s: int, *, until_s: int) -> None:
        """Let roles sign with new keys; what the old ones signed counts until then (seconds).

        The server knows a new key before anything is signed with it. Raises BusError when it cannot be told;
        where no server runs, the next one is told when it starts. Two at once take turns.
        """
        async with self._keyring.turn.taken():
            await self._rotate(roles, now_s, until_s=until_s)

    async def _rotate(self, roles: Sequence[str], now_s: int, *, until_s: int) -> None:
        drawn = {role: self._keyring.announce(role, until_s=now_s + ANNOUNCED_S) for role in roles}
        await self._tell(now_s)
        for role, key in drawn.items():
            self._keyring.replace(role, key, until_s=until_s)
        await self._tell(now_s)

    async def _tell(self, now_s: int) -> Mapping[str, Claims]:
        """Tell the server what is news to it, and return that."""
        news, url = self._secured.news(now_s), self._address()
        if not news or url is None:
            return {}
        await self._push(url, news)
        return news

    async def _push(self, url: str, news: Mapping[str, Claims]) -> None:
        login = Login(self._keyring, role=SYSTEM, account="system", name=SYSTEM)
        client = await connect(
            url,
            name="rollcall/accounts",
            access=Access(login, tls=self._tls(url)),
            inbox_prefix=inbox(SYSTEM, ""),
            timeout_s=TELL_S,
        )
        try:
            at_s = self._keyring.next_issue()
            for name, claims in news.items():
                token = self._secured.signed(claims, at_s)
                with own_errors():
                    reply = await client.request(PUSH, token.encode(), timeout=TELL_S)
                _check(reply.data)
                self._secured.taken(name, token)
        finally:
            await client.close()


class _Said(msgspec.Struct):
    data: dict[str, object] = {}
    error: dict[str, object] = {}


def _check(data: bytes) -> None:
    """Raise BusError if the server did not take an account."""
    said = msgspec.json.decode(data, type=_Said)
    if said.error or said.data.get("code") != 200:  # noqa: PLR2004 - HTTP's word for taken
        raise BusError(f"the server did not take an account: {said.error or said.data}")
