"""One process of an agent, in a process group of its own: launched or adopted, awaited, and ended.

The daemon is not in the way of what the process writes, and takes nothing with it when it dies: the process
lives on, and the next daemon adopts it. Its end is heard through a pidfd, which is sure to mean this process,
whoever its parent is.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from rollcall.daemon import procfs
from rollcall.daemon.logs import private
from rollcall.daemon.procfs import Identity

LOOK_S: Final = 0.05  # how often a group is looked at whose leader has ended
FORCE_S: Final = 10.0  # how long the kernel may take to end what was killed


class NotLaunched(Exception):
    """The process could not be started; the message says why."""


class Process:
    """A running process and its group."""

    def __init__(self, identity: Identity, pidfd: int, child: subprocess.Popen[bytes] | None) -> None:
        """Watch a process; `child` if it is one of ours."""
        self.identity = identity
        self._pidfd = pidfd
        self._child = child
        self._ending = False
        self._group_ended = anyio.Event()
        self._reaped = False

    @property
    def pid(self) -> int:
        """Its number, which is its group's too."""
        return self.identity.pid

    @classmethod
    def launch(cls, command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], log: Path) -> Process:
        """Start it; it writes to the end of `log` by itself. Raises NotLaunched."""
        try:
            with open(log, "ab", opener=private) as output:
                child = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            raise NotLaunched(_reason(error, command, cwd)) from error
        pidfd = os.pidfd_open(child.pid)  # a child that ended already is there until it is reaped
        return cls(_own_identity(child.pid), pidfd, child)

    @classmethod
    def adopt(cls, known: Identity) -> Process | None:
        """Watch a process that another life started; None if it has ended."""
        try:
            pidfd = os.pidfd_open(known.pid)
        except OSError:
            return None
        if procfs.identity(known.pid) != known:  # looked at after opening: the number cannot change hands now
            os.close(pidfd)
            return None
        return cls(known, pidfd, None)

    async def exited(self) -> tuple[str, bool]:
        """Wait for its end; say how it was, and whether with 0. Nothing of its group is left then."""
        try:
            await anyio.wait_readable(self._pidfd)
            if self._ending:
                await self._group_ended.wait()
            else:
                await self._kill_group()
            code = None if self._child is None else self._child.wait()  # only now can the number change hands
            self._reaped = True
        finally:
            os.close(self._pidfd)
        return _how(code), code == 0

    async def end(self, grace_s: float) -> None:
        """Ask the whole group to stop; kill after `grace_s` (seconds) what is left of it."""
        if self._reaped:
            return
        self._ending = True
        self._signal_group(signal.SIGTERM)
        self._signal_group(signal.SIGCONT)  # a stopped process hears nothing else
        with anyio.move_on_after(grace_s):
            await self._group_gone()
        await self._kill_group()
        self._group_ended.set()

    async def _kill_group(self) -> None:
        self._signal_group(signal.SIGKILL)
        with anyio.move_on_after(FORCE_S):
            await self._group_gone()

    async def _group_gone(self) -> None:
        while procfs.group(self.pid):  # noqa: ASYNC110 - nobody tells when a group is empty
            await anyio.sleep(LOOK_S)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._reaped:  # the number may be somebody else's by now
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _own_identity(pid: int) -> Identity:
    """Return the identity of a child that is not reaped yet, whether it still runs or not."""
    return procfs.identity(pid) or Identity(pid, 0, procfs.boot_id())


def _reason(error: Exception, command: Sequence[str], cwd: Path) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not cwd.is_dir():
        return f"cannot be started: there is no folder {cwd}"
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be started: {command[0]}: {said}"


def _how(code: int | None) -> str:
    match code:
        case None:
            return "ended; how is not known, for an earlier daemon started it"
        case _ if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        case _:
            return f"exited with {code}"
