"""A secured Rollcall, and whoever tries to get in."""

import asyncio
import json
import re
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from bus.client import Access, SafeClient, connect
from bus.embedded import EmbeddedServer
from bus.identity.keyring import Keyring, Login
from bus.identity.permissions import inbox
from rollcall.settings import Settings
from rollcall.settings_values import SERVICES
from rollcall.wiring import security
from tests.support.processes import Program, environment, running, up

ROOT = "rollcall.v1"
ACCOUNTS = {"agent": "agents", "machine": "agents", "system": "system"}


class Caller:
    """One connection, and what the server refused it."""

    def __init__(self, client: SafeClient) -> None:
        self.client = client
        self.refused: list[str] = []
        self.heard: list[tuple[str, bytes]] = []
        client.on_error.append(self._note)

    def _note(self, error: Exception) -> None:
        if "ermissions violation" in str(error):
            self.refused.append(str(error).lower())

    async def hear(self, subject: str, queue: str = "") -> Self:
        async def on_message(message: Any) -> None:
            self.heard.append((message.subject, message.data))

        await self.client.subscribe(subject, queue=queue, cb=on_message)
        return self

    async def ask(self, subject: str, body: object = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
        """Return the answer."""
        reply = await self.client.request(subject, json.dumps(body or {}).encode(), timeout=timeout_s)
        found: dict[str, Any] = json.loads(reply.data)
        return found

    async def denied(self, subject: str, body: object = None) -> bool:
        """Return whether the server refuses to take a request there; it says so before anything else."""
        before = len(self.refused)
        inbox = self.client.new_inbox()
        await self.client.publish(subject, json.dumps(body or {}).encode(), reply=inbox)
        await self.client.flush()
        return len(self.refused) > before

    async def flushed(self) -> Self:
        await self.client.flush()
        return self


class Site:
    """A running Rollcall."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = Keyring(folder / "identity")
        self._callers: list[Caller] = []

    @property
    def url(self) -> str:
        return (self.folder / "nats.url").read_text("utf-8")

    async def caller(self, role: str, name: str) -> Caller:
        """Connect as somebody whom the keyring vouches for."""
        account = ACCOUNTS.get(role, "core")
        login = Login(self.keyring, role=role, account=account, name=name)
        return await self.let_in(Access(login), inbox(role, name))

    async def let_in(self, access: Access, prefix: str) -> Caller:
        client = await connect(self.url, name="test", access=access, inbox_prefix=prefix, timeout_s=5)
        found = Caller(client)
        self._callers.append(found)
        return found

    async def work(self, agent: str, operator: Caller, name: str = "olga") -> int:
        """Register an agent, give it a task, and return its assignment."""
        command = f"{ROOT}.cmd.{{}}.{name}"
        await operator.ask(command.format("monitor.agent-add"), {"name": agent, **fresh()})
        task = await operator.ask(command.format("assigner.task-add"), {"title": "T", **fresh()})
        body = {"task": task["task"], "agent": agent, **fresh()}
        given = await operator.ask(command.format("assigner.task-assign"), body)
        return int(given["assignment"])

    async def close(self) -> None:
        for caller in self._callers:
            await caller.client.close()


def fresh() -> dict[str, str]:
    return {"command_id": str(uuid.uuid4())}


async def rollcall(site: Site, *arguments: str) -> str:
    """Run the command line on the machine of the keys."""
    code, complained, said = await ask(site, *arguments)
    assert code == 0, complained
    assert not re.search(r"\bS[OAU][A-Z2-7]{56}", said)  # no seed of a key
    return said


async def ask(
    site: Site, *arguments: str, settings: Mapping[str, object] | None = None
) -> tuple[int, str, str]:
    """Run the command line; return its code, what it complained of, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall", *arguments),
        env=environment(site.folder, settings or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode or 0, complained.decode(), said.decode()


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Site]:
    """Run `rollcall up` as it is without a word about security."""
    async with up(folder) as program:
        async with in_site(folder) as site:
            yield site
        assert not violations(program)


@asynccontextmanager
async def apart(folder: Path) -> AsyncIterator[Site]:
    """Run a secured server, and each service in a process of its own, under its own role."""
    settings = Settings(state_dir=folder)
    server = EmbeddedServer(folder, durability="relaxed", security=security(settings))
    await server.start()
    try:
        async with AsyncExitStack() as stack:
            programs = [
                await stack.enter_async_context(running("-m", "rollcall", "run", name, state=folder))
                for name in SERVICES
            ]
            async with in_site(folder) as site:
                yield site
            for program in programs:
                assert not violations(program)
    finally:
        await server.stop()


def violations(program: Program) -> list[str]:
    return [line for line in program.said if "ermissions violation" in line]


@asynccontextmanager
async def in_site(folder: Path) -> AsyncIterator[Site]:
    site = Site(folder)
    try:
        yield site
    finally:
        await site.close()
