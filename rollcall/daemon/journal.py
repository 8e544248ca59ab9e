"""What a killed daemon leaves to the next one: which processes it started, and who is not to be started.

A start is written down before it happens, with the session that the process carries in its environment, so
that no process can be running that nothing tells of. Nothing of an agent's environment is written.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from domain.keeper import Rest
from rollcall.config import ConfigError
from rollcall.daemon.procfs import Identity

log = structlog.get_logger(__name__)


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent."""

    session: str | None = None  # of its last process
    identity: Identity | None = None  # while it runs; absent for a moment, between writing and starting
    digest: str = ""  # of the definition that was started
    rest: Rest | None = None  # how it came to rest; None: it runs, or is about to
    why: str = ""
    held: bool = False  # an operator stopped it: it is not started with the next daemon
    orders: dict[str, str] = {}  # the last orders: command ids and verbs


class Journal:
    """The file; every change is in it before anything follows from it."""

    def __init__(self, path: Path) -> None:
        """Read what is there; raises ConfigError where that cannot be understood."""
        self._path = path
        self._entries = _read(path)
        self._is_behind = False

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is written of each agent."""
        return self._entries

    def write(self, agent: str, entry: Entry | None) -> None:
        """Write one agent's entry, or take it out; on a full disk it is written with the next one."""
        before = self._entries.get(agent)
        if before == entry and not self._is_behind:
            return
        if entry is None:
            self._entries.pop(agent, None)
        else:
            self._entries[agent] = entry
        # processes do not outlive a power cut, but an operator's word has to
        lasting = (before is not None and before.held) or (entry is not None and entry.held)
        try:
            _replace(self._path, msgspec.json.encode(self._entries), lasting=lasting)
            self._is_behind = False
        except OSError as error:
            log.error("journal.not_written", path=str(self._path), reason=error.strerror)  # noqa: TRY400
            self._is_behind = True


def _replace(path: Path, data: bytes, *, lasting: bool) -> None:
    """Write the file whole or not at all; `lasting` if a power cut must not undo it."""
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
    if lasting:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: Path) -> dict[str, Entry]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Entry])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{path} cannot be read ({detail}): it says which agents run; end those, then delete it"
        ) from error
