"""The keys of one installation: a folder that only its owner can read.

`operator.nk` signs the accounts. Each role has a key that signs its users (`roles/agent.nk`, ...); of a key
that was replaced only the public half is kept, for as long as what it signed still counts. An account
signs nothing itself, so its own seed is thrown away as soon as it is drawn.
"""

from __future__ import annotations

import base64
import fcntl
import os
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import msgspec
from msgspec import Struct, structs

from bus.api import BusError
from bus.identity import jwt
from bus.identity.keys import Key
from bus.private import private, private_folder

T = TypeVar("T")

TURN_S: Final = 30.0
LOOK_S: Final = 0.01
ACCOUNTS: Final = ("core", "agents", "system")


class KeyringError(BusError):
    """The keys are not there, or cannot be read."""


class Beside(Struct, frozen=True):
    """A key that signs no more, or not yet; what it signed counts until then (seconds since the epoch)."""

    role: str
    key: str
    until_s: int


class Turn:
    """Whoever changes the keys, or tells the server of them, does so alone: a lock on the folder.

    It belongs to the process, and ends with it.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the lock in `folder`."""
        self._folder = folder

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """Wait for the turn, at most 30 s, and keep it for the block; raises KeyringError."""
        with self._opened() as lock:
            with anyio.move_on_after(TURN_S) as patience:
                while not _try_lock(lock):  # noqa: ASYNC110 - of another process: nobody tells us
                    await anyio.sleep(LOOK_S)
            if patience.cancelled_caught:
                raise self._refused()
            yield

    @contextmanager
    def taken_at_once(self) -> Generator[None]:
        """Do the same where nothing can be awaited."""
        give_up = time.monotonic() + TURN_S
        with self._opened() as lock:
            while not _try_lock(lock):
                if time.monotonic() > give_up:
                    raise self._refused()
                time.sleep(LOOK_S)
            yield

    @contextmanager
    def _opened(self) -> Generator[int]:
        private_folder(self._folder)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)

    def _refused(self) -> KeyringError:
        return KeyringError(f"{self._folder}: another process has been changing keys for {TURN_S:g} s")


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Keyring:
    """The keys in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use those in `folder`; nothing is read yet."""
        self.folder = folder
        self.turn = Turn(folder)

    @property
    def made(self) -> bool:
        """Whether there are keys at all."""
        return (self.folder / "accounts.json").exists()

    def ensure(self, roles: Iterable[str]) -> None:
        """Draw what is missing: everything at first, later the keys of roles that are new."""
        private_folder(self.folder)
        private_folder(self.folder / "roles")
        if not self.made:
            private(self.folder / "operator.nk", Key.new("operator").seed)
            ids = {name: Key.new("account").public for name in ACCOUNTS}
            private(self.folder / "accounts.json", msgspec.json.encode(ids).decode())
        for role in roles:
            if not self._file(role).exists():
                private(self._file(role), Key.new("account").seed)

    def account(self, name: str) -> str:
        """Return the public key of an account."""
        return self._read("accounts.json", dict[str, str])[name]

    def operator(self) -> Key:
        """Return the key that signs the accounts."""
        return _read_key(self.folder / "operator.nk")

    def signer(self, role: str) -> Key:
        """Return the key that signs the users of a role; raises KeyringError."""
        return _read_key(self._file(role))

    def roles(self) -> list[str]:
        """Return the roles that have a key."""
        return sorted(path.stem for path in (self.folder / "roles").glob("*.nk"))

    def announce(self, role: str, *, until_s: int) -> Key:
        """Draw a key which is to sign for a role; one that does not by then is forgotten."""
        key = Key.new("account")
        self._keep([*self.beside(), Beside(role, key.public, until_s)])
        return key

    def replace(self, role: str, key: Key, *, until_s: int) -> None:
        """Sign with the key that was announced; what those before signed counts until then at the most."""
        old = Beside(role, self.signer(role).public, until_s)
        self._keep([*self.beside(), old])  # before another signs: at no moment it counts for nothing
        private(self._file(role), key.seed)
        kept = [one for one in self.beside() if one.key != key.public]
        ends = [min(one.until_s, until_s) if one.role == role else one.until_s for one in kept]
        self._keep([structs.replace(one, until_s=end) for one, end in zip(kept, ends, strict=True)])

    def beside(self) -> list[Beside]:
        """Return the keys that do not sign and whose signatures may count."""
        if not (self.folder / "beside.json").exists():
            return []
        return self._read("beside.json", list[Beside])

    def _keep(self, keys: list[Beside]) -> None:
        now_s = int(time.time())
        kept = [one for one in keys if one.until_s > now_s]
        private(self.folder / "beside.json", msgspec.json.encode(kept).decode())

    def revoked(self) -> Mapping[str, int]:
        """Return the public keys that were let in once, and until when issued they count no more."""
        return self._read("revoked.json", dict[str, int]) if (self.folder / "revoked.json").exists() else {}

    def revoke(self, keys: Mapping[str, int]) -> None:
        """Note who is let in no more, so that a server which starts knows it at once."""
        if dict(keys) != dict(self.revoked()):
            private(self.folder / "revoked.json", msgspec.json.encode(dict(keys)).decode())

    def next_issue(self) -> int:
        """Return when accounts are issued (seconds): a server takes only what is newer than what it has."""
        file = self.folder / "issued"
        last = int(file.read_text("ascii")) if file.exists() else 0
        issue = max(int(time.time()), last + 1)
        private(file, str(issue))
        return issue

    def user(self, role: str, account: str, name: str, public: str, *, expires_s: int | None = None) -> str:
        """Return the token of a user of a role."""
        claims = jwt.user(name, public, account=self.account(account), expires_s=expires_s)
        return jwt.signed(claims, self.signer(role), at_s=int(time.time()))

    def _file(self, role: str) -> Path:
        return self.folder / "roles" / f"{role}.nk"

    def _read(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError) as error:
            raise KeyringError(f"{self.folder / name} cannot be read: {error}") from error


def _read_key(path: Path) -> Key:
    try:
        return Key(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise KeyringError(f"{path} holds no key: {error}") from error


class Login:
    """A user of a role whose key lives and dies with this process; each connection shows a new token."""

    def __init__(self, keyring: Keyring, *, role: str, account: str, name: str) -> None:
        """Speak as `name` in that role."""
        self._keyring = keyring
        self._role, self._account, self._name = role, account, name
        self._key = Key.new("user")

    def token(self) -> bytes:
        """Return what to show; signed by the key that the role has now."""
        return self._keyring.user(self._role, self._account, self._name, self._key.public).encode()

    def sign(self, nonce: str) -> bytes:
        """Prove that the token is ours."""
        return base64.b64encode(self._key.sign(nonce.encode()))
