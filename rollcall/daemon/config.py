"""The daemon's file: the machine, and the agents that it keeps. TOML, or JSON.

A wrong file is refused whole, in one line that names the place and what is allowed there; a value is never
repeated, for it may be a secret.
"""

import difflib
import hashlib
import re
import shlex
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta, Struct

from contracts.limits import Capabilities, Name
from domain.keeper import RestartPolicy, Reviving
from domain.timers import SECOND_US
from rollcall.cli.tree import array_of, is_array, object_of
from rollcall.config import ConfigError
from rollcall.settings_keys import masked
from rollcall.settings_values import DURATION_FORM, DURATION_US_MAX, parse_duration

FILE: Final = "daemon.toml"
FILE_BYTES_MAX: Final = 256 * 1024
AGENTS_MAX: Final = 500
SET_BY_US: Final = ("ROLLCALL_AGENT", "ROLLCALL_SESSION", "ROLLCALL_SOCKET")
_CLOSE: Final = 0.6
_VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*\Z"
_SHOWN: Final = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<place>.*)`\Z", re.DOTALL)


class Length(int):
    """A length of time in microseconds, written with its unit."""


class RestartSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`restart`: when a process that ended is started again."""

    when: Reviving = "crash"
    tries: Annotated[int, Meta(ge=1, le=1_000)] = 3
    pause: Length = Length(3 * SECOND_US)
    steady: Length = Length(3 * SECOND_US)
    exits: Annotated[int, Meta(ge=2, le=1_000)] = 3
    window: Length = Length(300 * SECOND_US)
    cool: Length = Length(60 * SECOND_US)

    def policy(self) -> RestartPolicy:
        """Return it as the keeper takes it."""
        return RestartPolicy(
            when=self.when,
            tries=self.tries,
            pause_us=self.pause,
            steady_us=self.steady,
            exits=self.exits,
            window_us=self.window,
            cool_us=self.cool,
        )


class AgentSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[agent]]`: one agent, and how it is run."""

    name: Name
    command: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=1_000)]
    cwd: str = "."
    env: dict[Annotated[str, Meta(pattern=_VARIABLE)], str] = {}
    capabilities: Capabilities | None = None
    creds: str = ""
    autostart: bool = True
    stop: Length = Length(10 * SECOND_US)
    restart: RestartSpec = RestartSpec()

    def __repr__(self) -> str:
        """Name it, and nothing that may be a secret."""
        return f"AgentSpec({self.name})"

    @property
    def words(self) -> tuple[str, ...]:
        """The command as the kernel takes it; there is no shell."""
        return tuple(shlex.split(self.command)) if isinstance(self.command, str) else self.command

    def digest(self, session: str) -> str:
        """Return what changes with the definition; salted, for the environment may hold secrets."""
        body = msgspec.json.encode((self.words, self.cwd, sorted(self.env.items())))
        return hashlib.blake2b(body, key=session.encode()[:64], digest_size=16).hexdigest()


class MachineSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[machine]`: what it is called, how often it beats, where its agents' output goes."""

    name: Name = ""
    beat: Length = Length(30 * SECOND_US)
    logs: str = ""
    log_bytes_max: Annotated[int, Meta(ge=4_096, le=1 << 40)] = 10 << 20
    log_files: Annotated[int, Meta(ge=0, le=100)] = 5


class DaemonFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    machine: MachineSpec = MachineSpec()
    agent: Annotated[tuple[AgentSpec, ...], Meta(max_length=AGENTS_MAX)] = ()


def load(path: Path) -> DaemonFile:
    """Read the file; relative folders in it begin at its own. Raises ConfigError."""
    tree = _tree(path)
    for place, name, known in _unknown(tree, DaemonFile, ""):
        close = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ConfigError(f"{path}: unknown key {f'{place}{name}'[:100]!r}; {meant}")
    try:
        found: DaemonFile = msgspec.convert(tree, DaemonFile, dec_hook=_length)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_worded(str(error))}") from error
    for number, agent in enumerate(found.agent):
        _check(agent, f"{path}: agent[{number}] ({agent.name})")
    return _settled(found, path)


def _tree(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: more than {FILE_BYTES_MAX} bytes")
        tree: object = msgspec.json.decode(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad TOML, JSON or UTF-8
        raise ConfigError(f"{path}: cannot be understood: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: cannot be understood: an object is needed")
    return cast("dict[str, Any]", tree)


_INSIDE: Final[dict[tuple[type[Struct], str], type[Struct]]] = {
    (DaemonFile, "machine"): MachineSpec,
    (DaemonFile, "agent"): AgentSpec,
    (AgentSpec, "restart"): RestartSpec,
}


def _unknown(tree: Any, kind: type[Struct], place: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield every key that there is not: where it stands, its name, and those there are."""
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name, value in object_of(tree).items():
        if name not in known:
            yield place, name, known
        inner = _INSIDE.get((kind, name))
        if inner is None:
            continue
        for number, item in enumerate(array_of(value)):
            at = f"[{number}]" if is_array(value) else ""
            yield from _unknown(item, inner, f"{place}{name}{at}.")


def _length(kind: type, value: Any) -> Any:
    if kind is not Length or not isinstance(value, str):  # 3 may mean seconds to one and minutes to another
        raise ValueError(DURATION_FORM)
    us = parse_duration(value)
    if not 1 <= us <= DURATION_US_MAX:
        raise ValueError(DURATION_FORM)
    return Length(us)


def _worded(text: str) -> str:
    """Return msgspec's message with the place first."""
    found = _SHOWN.match(text)
    return f"{found['place']}: {found['what']}" if found else text


def _check(agent: AgentSpec, where: str) -> None:
    """Refuse what cannot be run, or would tell a secret."""
    try:
        words = agent.words
    except ValueError as error:
        raise ConfigError(f"{where}: command: {error}") from error
    if not words or not words[0]:
        raise ConfigError(f"{where}: command: there is no program in it")
    if any("\0" in text for text in (*words, agent.cwd, *agent.env.values())):
        raise ConfigError(f"{where}: a zero byte cannot be passed to a program")
    if any(masked(word) != word for word in words):
        raise ConfigError(f"{where}: everybody on this machine can read a command line: use env")
    for name in SET_BY_US:
        if name in agent.env:
            raise ConfigError(f"{where}: env: {name} is set by the daemon")


def _settled(found: DaemonFile, path: Path) -> DaemonFile:
    """Fill in the machine's name and the folders; refuse a name that stands twice."""
    names: set[str] = set()
    for agent in found.agent:
        if agent.name.lower() in names:
            raise ConfigError(f"{path}: there are two agents named {agent.name}")
        names.add(agent.name.lower())
    folder = path.absolute().parent
    machine = found.machine
    logs = machine.logs and _inside(folder, machine.logs)
    return DaemonFile(
        machine=msgspec.structs.replace(machine, name=machine.name or _host(), logs=logs),
        agent=tuple(
            msgspec.structs.replace(
                agent, cwd=_inside(folder, agent.cwd), creds=agent.creds and _inside(folder, agent.creds)
            )
            for agent in found.agent
        ),
    )


def _inside(folder: Path, name: str) -> str:
    return str(folder / Path(name).expanduser())


def _host() -> str:
    """Return a name for this machine."""
    host = socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]", "-", host).lstrip("-_")[:63] or "machine"
