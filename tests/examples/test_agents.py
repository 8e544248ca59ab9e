"""Every example agent does what it says, and the template of permissions is all that it needs."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bus.identity import jwt
from bus.identity.keys import Key
from rollcall.demo.node import node
from tests.client.house import House, guarded, lease, may_hear, may_publish

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NODE_MODULES = EXAMPLES / "js/node_modules"
LOOK_S = 0.02


class Stage:
    """One agent's process, and the house it talks to."""

    def __init__(self, house: House, process: asyncio.subprocess.Process, name: str) -> None:
        self.house = house
        self.process = process
        self.name = name

    async def ask(self, assignment: int, attempt: int = 1) -> None:
        """Ping once the agent listens, and wait until it has said something about it."""
        before = len(self.said(assignment))
        async with asyncio.timeout(30):
            while not await self.house.reaches(assignment, attempt, agent=self.name):
                assert self.process.returncode is None, "the agent has ended"
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), LOOK_S)
            await self.house.until(lambda: len(self.said(assignment)) > before)

    async def heard(self, assignment: int, *kinds: str) -> None:
        """Wait until the agent has said just this."""
        await self.house.until(lambda: len(self.said(assignment)) >= len(kinds))
        assert self.said(assignment) == list(kinds)

    def said(self, assignment: int) -> list[str]:
        stored = [body for subject, body, _ in self.house.acks if subject.endswith(f".{assignment}")]
        asked = [body for _, body in self.house.commands if body.get("assignment") == assignment]
        assert {body["incarnation"] for body in stored} <= {"i1"}
        return [str(body["kind"]) for body in [*stored, *asked]]


def made_up(folder: Path) -> Path:
    """Write credentials that are as sound as others, but that nobody vouches for."""
    key = Key.new("user")
    token = jwt.signed(jwt.user("x", key.public, account="A"), Key.new("account"), at_s=0)
    path = folder / "x.creds"
    path.write_text(jwt.credentials(token, key.seed), "utf-8")
    return path


@asynccontextmanager
async def playing(
    folder: Path, name: str, command: Sequence[str | Path], cwd: Path = ROOT
) -> AsyncIterator[Stage]:
    """Run an agent that may do no more than the template allows."""
    async with guarded(folder / "bus", publish=may_publish(name), subscribe=may_hear(name), agent=name) as (
        house,
        server,
    ):
        ours = {
            "NATS_URL": server.url,
            "NATS_CREDS": str(made_up(folder)),  # this server asks for a password: that it is shown is enough
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        foreign = ("ROLLCALL_", "COVERAGE_")  # it is killed at its end, while it writes what it ran through
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=kept | ours, start_new_session=True, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield Stage(house, process, name)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, 9)
            _, errors = await process.communicate()
            print(errors.decode())


def python(name: str) -> list[str | Path]:
    return [sys.executable, EXAMPLES / f"{name}.py"]


async def test_diligent(tmp_path: Path) -> None:
    async with playing(tmp_path, "diligent", python("diligent")) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "progress", "progress", "progress", "complete")
        await stage.house.until(lambda: stage.house.beats)


async def test_ruto(tmp_path: Path) -> None:
    async with playing(tmp_path, "Ruto", python("ruto")) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "complete")


async def test_snoozer(tmp_path: Path) -> None:
    async with playing(tmp_path, "snoozer", python("snoozer")) as stage:
        await stage.ask(1)
        await stage.ask(1, 2)
        await stage.heard(1, "snooze", "ack", "complete")


async def test_silent(tmp_path: Path) -> None:
    async with playing(tmp_path, "silent", python("silent")) as stage:
        await stage.house.until(lambda: stage.house.verbs() == ["join"])
        await stage.house.ping(1, agent="silent")
        await stage.house.until(lambda: len(stage.house.beats) >= 2)
        assert stage.said(1) == []


async def test_dies(tmp_path: Path) -> None:
    async with playing(tmp_path, "dies", python("dies")) as stage:
        await stage.ask(1)
        assert await stage.process.wait() == -9
        assert stage.house.verbs() == ["join"]  # it did not leave
        assert stage.said(1) == ["ack"]


async def test_bare_nats(tmp_path: Path) -> None:
    async with playing(tmp_path, "bare", python("bare_nats")) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "progress", "complete")


async def test_javascript(tmp_path: Path) -> None:
    async with playing(tmp_path, "js", [str(node()), EXAMPLES / "js/agent.js"]) as stage:
        await stage.house.until(lambda: stage.house.beats)
        await stage.ask(1)
        await stage.heard(1, "ack", "progress", "complete")
        assert stage.house.verbs() == ["join"]


async def test_bash(tmp_path: Path) -> None:
    async with playing(tmp_path, "bash", [EXAMPLES / "agent.sh"]) as stage:
        stage.house.results["next"] = {"status": "due", "lease": lease(1)}
        await stage.house.until(lambda: stage.said(1)[:3] == ["ack", "progress", "complete"])
