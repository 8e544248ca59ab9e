"""A daemon on a secured bus has the credentials of its machine, and its agents theirs: nobody has keys."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollcall.daemon import procfs
from tests.daemon.conftest import child
from tests.security.site import ROOT, Caller, Site, fresh, rollcall, secured
from tests.support.nats import until
from tests.support.processes import Program, start


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with secured(tmp_path / "state") as running:
        yield running


class Box:
    """Another machine: its folder holds what was copied there, and its daemon knows an address."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.program: Program | None = None

    async def start(self, *agents: dict[str, Any]) -> Program:
        file = self.folder / "daemon.json"
        file.write_bytes(msgspec.json.encode({"machine": {"name": "box", "beat": "1s"}, "agent": agents}))
        settings = {"nats.url": self.site.url, "nats.creds": str(self.folder / "box.creds")}
        self.program = await start(
            "-m", "rollcall", "daemon", str(file), state=self.folder, settings=settings
        )
        await self.program.ready()
        return self.program


@pytest.fixture
async def box(site: Site, tmp_path: Path) -> AsyncIterator[Box]:
    made = Box(site, tmp_path / "box")
    made.folder.mkdir()
    yield made
    if made.program is not None and made.program.process.returncode is None:
        await made.program.stop()


async def shown(olga: Caller, name: str) -> dict[str, Any]:
    said = await olga.ask(f"{ROOT}.cmd.monitor.agent-show.olga", {"name": name})
    found: dict[str, Any] = said.get("agent", said)
    return found


async def is_ready(olga: Caller, name: str, *, other_than: int = 0) -> int:
    """Wait until an agent is there, in another process than that one, and return its process."""

    async def ready() -> bool:
        view = await shown(olga, name)
        return view["status"] == "ready" and view.get("pid") not in {None, other_than}

    await until(ready)
    return int((await shown(olga, name))["pid"])


async def at_the_door(path: Path) -> int:
    """Return the status of what an agent asks at its own door."""
    await until(path.exists)
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(
        b"POST /api/v1/agent/sync HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    )
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def test_a_machine_keeps_its_agents_with_its_own_credentials(site: Site, box: Box) -> None:
    olga = await site.caller("admin", "olga")
    named, kept = box.folder / "ann.creds", box.folder / "creds/bob.creds"
    await rollcall(site, "machine", "add", "box", "--creds", str(box.folder / "box.creds"))
    kept.parent.mkdir()
    for name, path in (("ann", named), ("bob", kept)):
        await rollcall(site, "agent", "add", name, "--beats", "required", "--creds", str(path))
    agents = (
        {"name": "ann", "command": child("agent"), "creds": str(named)},
        {"name": "bob", "command": child("agent")},
    )
    program = await box.start(*agents)
    first = {name: await is_ready(olga, name) for name in ("ann", "bob")}
    for name in first:
        assert await at_the_door(box.folder / "machines/box/doors" / f"{name}.sock") == 200
    order = f"{ROOT}.cmd.monitor.agent-{{}}.olga"
    taken = await olga.ask(order.format("restart"), {"name": "ann", **fresh()})
    assert taken["machine"] == "box", taken
    await is_ready(olga, "ann", other_than=first["ann"])

    program.process.kill()  # its agents live on, and the next daemon adopts them
    assert await program.ended() == -signal.SIGKILL
    program = await box.start(*agents)
    assert await is_ready(olga, "bob") == first["bob"]
    assert any("process.adopted" in line for line in program.said)
    await until(lambda: any("machine.joined" in line for line in program.said))
    assert (await olga.ask(order.format("stop"), {"name": "bob", **fresh()}))["machine"] == "box"
    await until(lambda: procfs.identity(first["bob"]) is None)
    assert (await olga.ask(order.format("start"), {"name": "bob", **fresh()}))["machine"] == "box"
    await is_ready(olga, "bob", other_than=first["bob"])
    assert not [line for line in program.said if "iolation" in line]
