"""What a nats-server has to know of all this: its operator, its accounts, and what crosses between them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bus.identity import jwt
from bus.identity.permissions import CROSSING, Crossing
from bus.private import private, private_folder

if TYPE_CHECKING:
    from bus.identity.keyring import Keyring
    from bus.identity.permissions import Grant

PUSH: Final = "$SYS.REQ.CLAIMS.UPDATE"
_TITLES: Final = {"core": "CORE", "agents": "AGENTS", "system": "SYS"}


class Secured:
    """A server that lets in whom the keyring vouches for, and nobody else."""

    def __init__(
        self, keyring: Keyring, grants: Mapping[str, Grant], *, root: str, elsewhere: bool = False
    ) -> None:
        """Use the keys of `keyring`, which are drawn when the configuration is first needed.

        What a server keeps that runs `elsewhere` cannot be read: what it took stands beside the keys.
        """
        self.keyring = keyring
        self._grants = grants
        self._root = root
        self._elsewhere = elsewhere

    def config(self) -> list[str]:
        """Return lines for the configuration of the server; nothing in them is secret."""
        with self.keyring.turn.taken_at_once():
            return self._config(str(self.keyring.folder / "accounts"))

    def config_elsewhere(self, folder: str) -> list[str]:
        """Return the same for a server of somebody else's, which keeps accounts in that folder of its own."""
        with self.keyring.turn.taken_at_once():
            lines = self._config(folder)
            for name, claims in self.claims(int(time.time())).items():
                self.taken(name, self.signed(claims, 0))
            return lines

    def _config(self, accounts: str) -> list[str]:
        self.keyring.ensure(self._grants)
        operator = self.keyring.operator()
        at_s = self.keyring.next_issue()
        system = self.keyring.account("system")
        vouched = jwt.signed(jwt.operator("rollcall", operator.public, system=system), operator, at_s=at_s)
        folder = msgspec.json.encode(accounts).decode()
        return [
            f"operator: {vouched}",
            f"system_account: {system}",
            f'resolver {{ type: full, dir: {folder}, allow_delete: false, interval: "2m" }}',
            "resolver_preload {",
            *(f"  {self.keyring.account(name)}: {token}" for name, token in self.accounts(at_s).items()),
            "}",
        ]

    @property
    def account(self) -> str:
        """Under which name the server keeps the streams."""
        if not self.keyring.made:
            with self.keyring.turn.taken_at_once():
                self.keyring.ensure(self._grants)
        return self.keyring.account("core")

    def accounts(self, at_s: int) -> dict[str, str]:
        """Return the accounts, signed, as of `at_s`."""
        return {name: self.signed(claims, at_s) for name, claims in self.claims(at_s).items()}

    def signed(self, claims: jwt.Claims, at_s: int) -> str:
        """Return what an account allows as the server takes it."""
        return jwt.signed(claims, self.keyring.operator(), at_s=at_s)

    def news(self, at_s: int) -> dict[str, jwt.Claims]:
        """Return what accounts allow by now, of those of which the server keeps something else."""
        return {name: claims for name, claims in self.claims(at_s).items() if claims != self._told(name)}

    def taken(self, name: str, token: str) -> None:
        """Note what a server elsewhere keeps of an account from now on."""
        if self._elsewhere:
            private_folder(self._file(name).parent)
            private(self._file(name), token)

    def _file(self, name: str) -> Path:
        kept = "told" if self._elsewhere else "accounts"
        return self.keyring.folder / kept / f"{self.keyring.account(name)}.jwt"

    def _told(self, name: str) -> jwt.Claims:
        """Return what the server keeps of an account, without who signed it and when."""
        try:
            found = jwt.claims_of(self._file(name).read_text("ascii").strip())
        except (OSError, ValueError):
            return {}
        return {key: value for key, value in found.items() if key not in jwt.SIGNING}

    def claims(self, at_s: int) -> dict[str, jwt.Claims]:
        """Return what each account allows; what was replaced and has run out by `at_s` is no part of it."""
        return {
            name: jwt.account(
                title,
                self.keyring.account(name),
                jetstream=name == "core",
                signers=self._signers(name, at_s),
                exports=[exported(self._root, one) for one in CROSSING if name == _giver(one)],
                imports=[self._imported(one) for one in CROSSING if name == _taker(one)],
                revoked=None
                if name == "system"
                else self.keyring.revoked(),  # nobody is given its credentials
            )
            for name, title in _TITLES.items()
        }

    def _signers(self, account: str, at_s: int) -> list[jwt.Claims]:
        """Return the keys that sign for an account, each with what its users may do."""
        roles = [name for name, grant in self._grants.items() if grant.account == account]
        keys = {self.keyring.signer(role).public: role for role in roles}
        keys |= {one.key: one.role for one in self.keyring.beside() if one.until_s > at_s}
        # in the order of the keys: which of them signs is no news to the server
        named = sorted((key, role) for key, role in keys.items() if role in roles)
        return [jwt.role(key, role, self._grants[role].template()) for key, role in named]

    def _imported(self, crossing: Crossing) -> dict[str, Any]:
        found = exported(self._root, crossing)
        found.pop("response_threshold", None)
        found["account"] = self.keyring.account(_giver(crossing))
        if crossing.asked:
            found["local_subject"] = found["subject"]
        if crossing.attested:
            found["share"] = True
        return found


def exported(root: str, crossing: Crossing) -> dict[str, Any]:
    """Return what an account lets the other one use."""
    subject = f"{root}.{crossing.subject}"
    if not crossing.asked:
        return {"name": subject, "subject": subject, "type": "stream"}
    return {
        "name": subject,
        "subject": subject,
        "type": "service",
        "response_threshold": crossing.answer_ns,
    }


def _giver(crossing: Crossing) -> str:
    """Who exports: who answers what is asked, and who says what is heard."""
    return crossing.to if crossing.asked else _other(crossing.to)


def _taker(crossing: Crossing) -> str:
    return _other(_giver(crossing))


def _other(account: str) -> str:
    return "agents" if account == "core" else "core"
