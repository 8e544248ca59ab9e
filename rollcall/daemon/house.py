"""The whole: takes up what runs, keeps the agents, and speaks for the machine until it is asked to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from msgspec import structs

from bus.embedded import try_lock
from bus.nats import NatsBus
from contracts.messages import ProcessFacts
from rollcall.address import bus_url
from rollcall.clock import SystemClock
from rollcall.config import ConfigError
from rollcall.credentials import proof
from rollcall.daemon import logs
from rollcall.daemon.config import AgentSpec, DaemonFile, load
from rollcall.daemon.journal import Journal
from rollcall.daemon.link import Link, connected
from rollcall.daemon.process import Process
from rollcall.daemon.runner import Place, Runner, found
from rollcall.door import DoorError, Hall, doors
from rollcall.settings import Settings
from rollcall.settings_keys import masked
from rollcall.signals import watch_signals

log = structlog.get_logger(__name__)

LAST_WORDS_S: Final = 3.0
ROTATE_EVERY_S: Final = 1.0
STOP_S: Final = 10.0  # for a process that nobody defines any more
OURS: Final = ("ROLLCALL_", "NATS_")
NOT_OURS_ANY_MORE: Final = "ended: this machine's file does not name it any more"


def daemon(settings: Settings, path: Path) -> int:
    """Keep the agents of this machine until SIGTERM or SIGINT; return the exit code. Raises ConfigError."""
    if sys.platform != "linux":
        raise ConfigError("rollcall daemon needs Linux: it knows processes by pidfd and /proc")
    house = House(settings, load(path))
    with house.locked():
        return anyio.run(house.run)


def inherited(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every agent gets of the daemon's own environment: nothing that lets in anywhere of ours.

    Where the bus is it learns, for its own client.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(OURS)}
    place = {"ROLLCALL_ROOT": settings.root, "ROLLCALL_STATE_DIR": str(settings.state_dir)}
    if settings.nats.url and masked(settings.nats.url) == settings.nats.url:
        place["ROLLCALL_NATS__URL"] = settings.nats.url
    return kept | place


class House:
    """One machine: its agents and its line."""

    def __init__(self, settings: Settings, file: DaemonFile) -> None:
        """Prepare the folders; nothing runs yet. Raises ConfigError."""
        machine = file.machine
        self._file = file
        self._settings = settings
        # the credentials that the settings name are the machine's: under them no agent is let in
        self._agents = structs.replace(settings, nats=structs.replace(settings.nats, creds=None))
        self._folder = settings.state_dir / "machines" / machine.name
        self._clock = SystemClock()
        place = Place(
            logs=Path(machine.logs) if machine.logs else self._folder / "logs",
            doors=self._folder / "doors",
            environ=inherited(settings, os.environ),
        )
        for folder in (settings.state_dir, self._folder.parent, self._folder, place.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._place = place
        self._strangers: dict[str, ProcessFacts] = {}
        self._link = Link(
            machine.name,
            settings=settings,
            facts=self._facts,
            beat_us=machine.beat,
            release=version("rollcall"),
            clock=self._clock,
        )

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep a second daemon of this machine out."""
        holder = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(holder):
                owner = os.pread(holder, 32, 0).decode(errors="replace").strip()
                raise ConfigError(f"{self._folder}: process {owner or '?'} keeps the agents of this machine")
            os.ftruncate(holder, 0)
            os.pwrite(holder, f"{os.getpid()}\n".encode(), 0)
            self._journal = Journal(self._folder / "journal.json")
            yield
        finally:
            os.close(holder)

    async def run(self) -> int:
        """Keep the agents until a signal says to stop; return the exit code."""
        stop = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(watch_signals, stop)
            self._begin(group)
            group.start_soon(self._rotate)
            group.start_soon(self._speak)
            sys.stdout.write(f"ready: machine {self._file.machine.name}, {len(self._runners)} agents\n")
            sys.stdout.flush()
            await stop.wait()
            await self._close()
            group.cancel_scope.cancel()
        return 0

    def _begin(self, group: TaskGroup) -> None:
        """Take up what the last daemon left, and start the rest."""
        left = dict(self._journal.entries)
        self._runners = {
            spec.name: Runner(
                spec, place=self._place, journal=self._journal, clock=self._clock, tell=self._link.tell
            )
            for spec in self._file.agent
        }
        for name, entry in left.items():
            if name not in self._runners:
                process = found(entry) if entry.rest is None else None
                group.start_soon(self._end_stranger, name, process)
        for name, runner in self._runners.items():
            runner.begin(left.get(name), group)
            group.start_soon(runner.run)

    async def _end_stranger(self, name: str, process: Process | None) -> None:
        """End what the last daemon kept and this one does not, and say so."""
        if process is not None:
            log.info("process.ended", agent=name, pid=process.pid, why=NOT_OURS_ANY_MORE)
            async with anyio.create_task_group() as group:
                group.start_soon(process.end, STOP_S)
                await process.exited()
            self._strangers[name] = ProcessFacts(agent=name, state="stopped", why=NOT_OURS_ANY_MORE)
            self._link.tell(name)
        self._journal.write(name, None)

    def _facts(self) -> dict[str, ProcessFacts]:
        told = {name: runner.facts for name, runner in self._runners.items() if runner.is_told}
        return self._strangers | told

    async def _speak(self) -> None:
        """Connect, open the agents' doors, and talk to Rollcall for as long as we live."""
        bus = await connected(self._settings, "machine", self._file.machine.name)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._open_doors, bus)
                await self._link.run(bus, self._runners)
        finally:
            await bus.drain()

    async def _open_doors(self, bus: NatsBus) -> None:
        """Keep a door for every agent: under its own credentials, or under ours."""
        try:
            async with (
                doors(self._place.doors, bus, root=self._settings.root) as hall,
                anyio.create_task_group() as group,
            ):
                for runner in self._runners.values():
                    if self._knows(runner.spec):
                        group.start_soon(self._open_own, hall, runner.spec)
                    else:
                        await _open(hall, runner.name)
                await anyio.sleep_forever()
        except* DoorError as errors:
            log.error("doors.not_opened", reason=str(errors.exceptions[0]))  # noqa: TRY400 - it says it all

    def _knows(self, spec: AgentSpec) -> bool:
        """Return whether an agent can prove on its own who it is; a secured bus asks for that."""
        url = bus_url(self._settings)
        shown = proof(self._agents, url or "", "agent", spec.name, creds=spec.creds)
        return shown.known

    async def _open_own(self, hall: Hall, spec: AgentSpec) -> None:
        bus = await connected(self._agents, "agent", spec.name, spec.creds)
        try:
            await _open(hall, spec.name, bus)
            await anyio.sleep_forever()
        finally:
            await bus.drain()

    async def _close(self) -> None:
        """Stop all agents, each within its own time; tell of it, and leave."""
        self._link.closing = True
        async with anyio.create_task_group() as group:
            for runner in self._runners.values():
                group.start_soon(runner.close, "stopped with the daemon")
        with anyio.move_on_after(LAST_WORDS_S):
            await self._link.finish()

    async def _rotate(self) -> None:
        machine = self._file.machine
        while True:
            await anyio.sleep(ROTATE_EVERY_S)
            for runner in self._runners.values():
                try:
                    await anyio.to_thread.run_sync(
                        lambda path: logs.rotate(
                            path, bytes_max=machine.log_bytes_max, files=machine.log_files
                        ),
                        runner.log,
                    )
                except OSError as error:
                    log.warning("log.not_rotated", path=str(runner.log), reason=error.strerror)


async def _open(hall: Hall, agent: str, bus: NatsBus | None = None) -> None:
    try:
        await hall.open(agent, bus)
    except DoorError as error:
        log.warning("door.not_opened", agent=agent, reason=str(error))
