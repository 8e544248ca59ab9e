"""Key pairs in the form of NATS (nkeys): the seed stays where it was drawn, the public key goes around."""

# nkeys is typed in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import os
import re
from typing import Final, Literal

import nkeys  # type: ignore[import-untyped]

Kind = Literal["operator", "account", "user"]

_PREFIX: Final[dict[Kind, int]] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
USER_PATTERN: Final = r"^U[A-Z2-7]{55}$(?!\n)"
_SEED: Final = re.compile(r"S[OAU][A-Z2-7]{56}")


class Key:
    """One key pair; it does not print its seed."""

    __slots__ = ("_pair", "public", "seed")

    def __init__(self, seed: str) -> None:
        """Take the seed; raises ValueError if it is none."""
        if not _SEED.fullmatch(seed):
            raise ValueError("not the seed of a key of NATS")
        try:
            self._pair = nkeys.from_seed(bytearray(seed.encode()))
        except nkeys.NkeysError as error:
            raise ValueError("not the seed of a key of NATS") from error
        self.seed = seed
        self.public = bytes(self._pair.public_key).decode()  # pyright: ignore[reportArgumentType]

    @classmethod
    def new(cls, kind: Kind) -> Key:
        """Draw a new one."""
        return cls(nkeys.encode_seed(os.urandom(32), _PREFIX[kind]).decode())

    def sign(self, data: bytes) -> bytes:
        """Return the signature (Ed25519, 64 bytes)."""
        return bytes(self._pair.sign(data))

    def __repr__(self) -> str:
        return f"Key({self.public})"
