"""How this process proves to the bus who it is, and where replies to it go.

Named credentials (ROLLCALL_NATS__CREDS) come first. Beside the keys of `rollcall up` none are needed: whoever
may read that folder may be anybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from rollcall.address import our_keys, own_bus
from rollcall.config import ConfigError

if TYPE_CHECKING:
    from ssl import SSLContext

    from bus.client import Access, Login
    from rollcall.settings import Settings

Who = Literal["agent", "machine", "admin", "service"]
HOUSE: Final = "house"


class Proof(Struct, frozen=True):
    """A file, or a login of this process, or nothing; and the prefix of the subjects for replies."""

    inbox: str
    file: str | None = None
    login: Login | None = None
    tls: SSLContext | None = None

    @property
    def known(self) -> bool:
        """Whether there is something to show."""
        return self.file is not None or self.login is not None

    def access(self) -> Access:
        """Return it as `bus.client` takes it."""
        from bus.client import Access

        return Access(self.login, credentials_file=self.file, tls=self.tls)


def proof(settings: Settings, url: str, who: Who, name: str, *, creds: str = "") -> Proof:
    """Return what `name` shows to the bus at `url`; for a service, `name` is the service, or `house`."""
    inbox, tls = inbox_of(who, name), context(settings, url)
    file = creds or (str(settings.nats.creds) if settings.nats.creds else "")
    if not file and who in {"agent", "machine"} and (own := creds_file(settings, who, name)).exists():
        file = str(own)
    if file:
        return Proof(inbox, file=str(Path(file).expanduser()), tls=tls)
    if not our_keys(settings, url) or not (settings.identity_dir / "accounts.json").exists():
        return Proof(inbox, tls=tls)
    from bus.identity.keyring import Keyring, Login

    account = "agents" if who in {"agent", "machine"} else "core"
    role = name if who == "service" else who
    login = Login(Keyring(settings.identity_dir), role=role, account=account, name=name)
    return Proof(inbox, login=login, tls=tls)


def context(settings: Settings, url: str) -> SSLContext | None:
    """Return how the bus at `url` has to prove who it is; None: in no way, or by what a TLS address implies.

    The bus of this state folder is known by its very certificate, whatever its name. Raises ConfigError.
    """
    said, own = settings.nats.tls, settings.state_dir / "nats.crt"
    pinned = own_bus(settings, url) and own.exists()
    if not pinned and said.ca is None and said.certificate is None:
        return None
    import ssl

    try:
        found = ssl.create_default_context(cafile=own if pinned else said.ca)
        if pinned:
            found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            found.check_hostname = False
        elif said.certificate is not None:
            found.load_cert_chain(said.certificate, said.key)
    except OSError as error:
        files = ", ".join(str(path) for path in (said.ca, said.certificate, said.key) if path)
        raise ConfigError(f"nats.tls: {files}: {error.strerror or error}") from error
    return found


def bearer(path: Path) -> str:
    """Return whose credentials a file holds; raises OSError, or ValueError if it holds none."""
    from bus.identity.jwt import claims_of

    lines = path.read_text("utf-8").splitlines()
    at = next((number for number, line in enumerate(lines) if "BEGIN NATS USER JWT" in line), None)
    if at is None or at + 1 >= len(lines):
        raise ValueError("it holds no credentials: it has no line BEGIN NATS USER JWT")
    return str(claims_of(lines[at + 1].strip()).get("name", ""))


def seen_by_others(path: Path) -> bool:
    """Whether anybody but its owner may read a file."""
    return bool(path.stat().st_mode & 0o077)


def inbox_of(who: Who, name: str) -> str:
    """Return where somebody hears replies; as `bus.identity.permissions` allows it."""
    if who == "agent":
        return f"_INBOX_{name}"
    if who == "machine":
        return f"_INBOX__{name}"
    return f"_INBOX._{name}" if who == "service" else f"_INBOX.{name}"


def creds_file(settings: Settings, who: Who, name: str) -> Path:
    """Return where the credentials of an agent or a machine are kept on this machine."""
    folder = settings.state_dir / "creds"
    return folder / ("machines" if who == "machine" else "") / f"{name}.creds"
