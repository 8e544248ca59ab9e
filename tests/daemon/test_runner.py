"""One agent under the keeper: what the last daemon left is adopted, ended, revived or left alone."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from msgspec import structs

from domain.keeper import Restart, Start, Stop
from rollcall.clock import SystemClock
from rollcall.daemon import procfs
from rollcall.daemon.config import AgentSpec, Length, RestartSpec
from rollcall.daemon.journal import Entry, Journal
from rollcall.daemon.process import Process
from rollcall.daemon.runner import Place, Runner
from tests.daemon.conftest import alive, child, until

QUICK = RestartSpec(pause=Length(20_000), steady=Length(20_000))
OF_OLD = procfs.Identity(1, 1, "another boot")


class Life:
    """Daemons of one machine, one after the other, each with one agent."""

    def __init__(self, folder: Path, environ: dict[str, str], group: TaskGroup) -> None:
        self.folder = folder
        self.environ = environ
        self.group = group
        self.session = secrets.token_hex(8)  # the machine may run these tests twice at once
        self.orphans: list[Process] = []
        self.runner: Runner

    def begin(self, entry: Entry | None = None, **spec: Any) -> Runner:
        """Begin a daemon's life where the entry says that the last one ended."""
        place = Place(logs=self.folder, doors=self.folder, environ=self.environ)
        self.runner = Runner(
            self.spec(**spec),
            place=place,
            journal=Journal(self.folder / "journal"),
            clock=SystemClock(),
            tell=lambda _: None,
        )
        self.runner.begin(entry, self.group)
        self.group.start_soon(self.runner.run)
        return self.runner

    def spec(self, **more: Any) -> AgentSpec:
        given: dict[str, Any] = {
            "name": "a1",
            "command": tuple(child("wait")),
            "cwd": str(self.folder),
            "restart": QUICK,
        }
        return AgentSpec(**given | more)

    def orphan(self) -> Process:
        """Start what a daemon started that was killed."""
        environ = self.environ | {"ROLLCALL_SESSION": self.session}
        log = self.folder / "a1.log"
        process = Process.launch(child("wait"), cwd=self.folder, environ=environ, log=log)
        self.orphans.append(process)
        return process

    async def is_so(self, state: str, why: str) -> None:
        await until(lambda: (self.runner.facts.state, self.runner.facts.why) == (state, why))

    @property
    def entry(self) -> Entry | None:
        return Journal(self.folder / "journal").entries.get("a1")


@pytest.fixture
async def life(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[Life]:
    begun: asyncio.Future[Life] = asyncio.get_running_loop().create_future()
    over = anyio.Event()

    async def host() -> None:
        """Live in a task of its own: a group of tasks ends where it began."""
        async with anyio.create_task_group() as group:
            begun.set_result(Life(tmp_path, environ, group))
            await over.wait()
            group.cancel_scope.cancel()

    hosting = asyncio.create_task(host())
    made = await begun
    yield made
    await made.runner.close("the test is over")
    for orphan in made.orphans:
        await orphan.exited()
    over.set()
    await hosting


async def test_who_is_not_to_be_started_waits_for_an_order(life: Life) -> None:
    runner = life.begin(autostart=False)
    assert (runner.facts.state, runner.facts.pid) == ("stopped", None)
    runner.order(Start("started by olga"), "c1")
    await life.is_so("running", "started by olga")
    runner.order(Stop("stopped by olga"), "c2")
    await life.is_so("stopped", "stopped by olga")
    assert life.entry is not None
    assert (life.entry.held, life.entry.rest, life.entry.orders) == (
        True,
        "stopped",
        {"c1": "start", "c2": "stop"},
    )


async def test_what_cannot_be_started_is_given_up_and_says_why(life: Life) -> None:
    runner = life.begin(command=("/no/such/program",))
    why = "cannot be started: /no/such/program: No such file or directory; 3 tries failed"
    await life.is_so("failed", why)
    assert runner.facts.exits == 0
    runner.order(Restart("restarted by olga"), "c1")
    await life.is_so("failed", why)


async def test_a_machine_that_was_started_anew_starts_its_agents(life: Life) -> None:
    life.begin(Entry(session="s1", identity=OF_OLD))
    await life.is_so("running", "started with the machine")


async def test_who_was_stopped_stays_so_whatever_became_of_the_process(life: Life) -> None:
    why = "stopped, as ordered before the daemon ended"
    life.begin(Entry(session="s1", identity=OF_OLD, held=True))
    await life.is_so("stopped", why)
    process = life.orphan()
    life.begin(
        Entry(
            session=life.session,
            identity=process.identity,
            held=True,
            digest=life.spec().digest(life.session),
        )
    )
    await life.is_so("stopped", why)
    assert not alive(process.pid)


async def test_a_process_that_was_not_written_down_yet_is_found_by_its_session(life: Life) -> None:
    process = life.orphan()
    await until(lambda: procfs.leaders_with("ROLLCALL_SESSION", life.session) == [process.pid])
    runner = life.begin(Entry(session=life.session, digest=life.spec().digest(life.session)))
    await life.is_so("running", f"adopted: process {process.pid} ran on without a daemon")
    assert (runner.facts.pid, runner.facts.session) == (process.pid, life.session)
    assert life.entry is None or life.entry.identity == process.identity


async def test_nobody_is_taken_for_the_agent_but_the_agent(life: Life) -> None:
    process = life.orphan()
    known = structs.replace(process.identity, start=process.identity.start + 1)
    life.begin(Entry(session="another", identity=known))  # the number is another's now
    await life.is_so("running", "it ended while no daemon ran here; try 1 of 3")
    assert alive(process.pid)
    await life.runner.close("the next one")
    gone = structs.replace(process.identity, pid=2**22 + 1)
    life.begin(Entry(session=life.session, identity=gone))  # what left the group of the agent is on its own
    await life.is_so("running", "it ended while no daemon ran here; try 1 of 3")
    assert alive(process.pid)
    os.kill(process.pid, signal.SIGKILL)


async def test_who_was_given_up_is_tried_again_under_a_new_definition_only(life: Life) -> None:
    entry = Entry(session="s5", rest="failed", why="3 tries failed", digest=life.spec().digest("s5"))
    life.begin(entry)
    await life.is_so("failed", "3 tries failed")
    life.begin(entry, env={"MODEL": "large"})
    await life.is_so("running", "started with the daemon, under a new definition")


async def test_a_daemon_that_ends_well_leaves_nothing_to_be_adopted(life: Life) -> None:
    runner = life.begin()
    await life.is_so("running", "started with the daemon")
    await runner.close("stopped with the daemon")
    assert life.entry is None
    assert runner.facts.state == "stopped"


async def test_a_reason_is_fit_to_be_told(life: Life) -> None:
    runner = life.begin(command=("/no/such/\x1b[2J" + "ü" * 200,))
    await until(lambda: runner.facts.state == "failed")
    why = runner.facts.why or ""
    assert why.startswith("cannot be started: /no/such/?[2Jü")
    assert len(why.encode()) <= 200


async def test_that_a_process_ended_is_told_of_the_one_that_did(life: Life) -> None:
    runner = life.begin(restart=RestartSpec(pause=Length(20_000), steady=Length(1_000_000)))
    await life.is_so("running", "started with the daemon")
    first = runner.facts
    os.kill(first.pid or 0, signal.SIGKILL)
    await until(lambda: runner.kept.phase == "up" and runner.facts.state == "restarting")
    assert (runner.facts.session, runner.facts.pid) == (first.session, None)
    await life.is_so("running", "killed by SIGKILL; try 1 of 3")
    assert runner.facts.session != first.session
    assert runner.facts.exits == 1
