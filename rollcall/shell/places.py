"""Where an agent's door and its session are."""

import os
from collections.abc import Mapping
from typing import Any, Final

from rollcall.shell.sessions import AGENT

SOCKET: Final = "ROLLCALL_SOCKET"
_ENDING: Final = ".sock"
_OWN_WAY: Final = (
    "ROLLCALL_NATS__CREDS",
    "NATS_CREDS",
    "ROLLCALL_NATS__CREDS_FILE",
    "ROLLCALL_NATS__URL_FILE",
)


class Place:
    """An agent on this machine: its name, its door, and where its session is kept."""

    def __init__(self, agent: str, folder: str, *, scale: float = 1.0) -> None:
        self.agent = agent
        self.folder = folder
        self.scale = scale  # of the house's clock

    @property
    def socket(self) -> str:
        """The path of its door."""
        return f"{self.folder}/{self.agent}{_ENDING}"

    @property
    def session(self) -> str:
        """The path of the file with its session."""
        return session_path(self.folder, self.agent)


def session_path(folder: str, agent: str) -> str:
    """Return where an agent's session is kept: beside its door."""
    return f"{folder}/{agent}.session"


def folder_of(agent: str, environ: Mapping[str, str], usual: str) -> str:
    """Return the folder of an agent's door: that of the door its process was told, else the usual one."""
    told = environ.get(SOCKET, "")
    return os.path.dirname(told) if told and _owner(told) == agent else usual


def find(agent: str | None, environ: Mapping[str, str]) -> Place | None:
    """Return the place of an agent, by default of the one that the environment names; None: go the long way.

    Who names a bus or credentials of their own is heard there, not at the door of a house on this machine.
    """
    told = environ.get(SOCKET, "")
    if told:
        owner = _owner(told)
        if owner and agent in {None, owner}:
            return Place(owner, os.path.dirname(told), scale=_number(environ.get("ROLLCALL_TIMERS__SCALE")))
        return None
    if any(environ.get(name) for name in _OWN_WAY):
        return None
    said = _said(environ)
    if said is None:
        return None
    name = agent or environ.get(AGENT) or said.get("agent")
    state = state_folder(environ, said)
    url = environ.get("ROLLCALL_NATS__URL", environ.get("NATS_URL") or said.get("url"))
    if not isinstance(name, str) or not name or "/" in name or (url and url != _bus(state)):
        return None
    scale = environ.get("ROLLCALL_TIMERS__SCALE", said.get("scale"))
    return Place(name, f"{state}/agents", scale=_number(scale))


def state_folder(environ: Mapping[str, str], said: Mapping[str, Any]) -> str:
    """Return the state folder, from the same sources as the configuration proper."""
    state = environ.get("ROLLCALL_STATE_DIR")
    if not state and environ.get("XDG_STATE_HOME"):
        state = f"{environ['XDG_STATE_HOME']}/rollcall"
    return os.path.abspath(os.path.expanduser(state or said.get("state_dir") or "~/.local/state/rollcall"))


def _said(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the file of settings says of this, or None where it is for the long way to judge."""
    named = environ.get("ROLLCALL_CONFIG")
    if not named and not os.path.exists("rollcall.toml"):
        return {}
    import tomllib

    try:
        with open(named or "rollcall.toml", "rb") as file:
            tree = tomllib.load(file)
        bus, timers = tree.get("nats", {}), tree.get("timers", {})
        if bus.get("creds"):
            return None
        return {
            "agent": tree.get("agent"),
            "state_dir": tree.get("state_dir"),
            "url": bus.get("url"),
            "scale": timers.get("scale"),
        }
    except (OSError, ValueError, AttributeError):
        return None


def _bus(state: str) -> str | None:
    """Return the address of the bus that runs over the state folder."""
    try:
        with open(f"{state}/nats.url", encoding="utf-8") as file:
            return file.read(2_000).strip()
    except (OSError, ValueError):
        return None


def _owner(path: str) -> str:
    name = os.path.basename(path)
    return name.removesuffix(_ENDING) if name.endswith(_ENDING) else ""


def _number(value: Any) -> float:
    try:
        return float(value or 1)
    except (TypeError, ValueError):
        return 1.0
