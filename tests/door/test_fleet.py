"""Every active agent has a door, from when it is added until it leaves for good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.work import StoreFaultError
from rollcall.door import fleet
from rollcall.door.fleet import fleet_doors
from tests.door.conftest import Caller
from tests.support.nats import until
from tests.support.world import World


@asynccontextmanager
async def served(world: World, folder: Path) -> AsyncIterator[None]:
    """Do in a test what `up` does."""
    async with fleet_doors(folder, world.house.runtime.ports):
        yield


class Log:
    """Keeps what is logged, whatever level an earlier test has set."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warning(self, event: str, *, reason: str) -> None:
        self.said.append((event, reason))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    monkeypatch.setattr(fleet, "log", found)
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.sock"))


async def test_who_is_active_has_a_door(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "PAUSE_S", 0)
    folder = tmp_path / "doors"
    _, lease = await world.given("ann")
    async with served(world, folder):
        assert names(folder) == ["Ruto", "ann"]
        caller = Caller(*await asyncio.open_unix_connection(str(folder / "ann.sock")))
        assert (await caller.asks("ack", {"assignment": lease.id})).json["status"] == "acknowledged"
        caller.leave()
        await world.agent("bob")
        await until(lambda: names(folder) == ["Ruto", "ann", "bob"])
        await world.operator("agent.set", name="bob", active=False)
        await until(lambda: names(folder) == ["Ruto", "ann"])
    assert names(folder) == []


async def test_a_store_that_cannot_tell_closes_no_door(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "PAUSE_S", 0)
    monkeypatch.setattr(fleet, "LOOK_AGAIN_S", 0)
    folder, asked = tmp_path / "doors", asyncio.Event()
    async with served(world, folder):

        async def fail(*_arguments: object) -> None:
            asked.set()
            raise StoreFaultError

        with monkeypatch.context() as patch:
            patch.setattr(world.house.store, "run", fail)
            await asked.wait()
        await world.agent("ann")
        await until(lambda: names(folder) == ["Ruto", "ann"])


async def test_there_are_so_many_doors_and_no_more(
    world: World, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "DOORS_MAX", 1)
    await world.agent("ann")
    async with served(world, tmp_path / "doors"):
        assert names(tmp_path / "doors") == ["ann"]
    assert log.said == [("doors.missing", "there are doors for 1 agents")]


async def test_a_folder_that_cannot_be_used_stops_nobody(world: World, tmp_path: Path, log: Log) -> None:
    (tmp_path / "doors").touch()
    async with served(world, tmp_path / "doors"):
        assert [event for event, _ in log.said] == ["doors.missing"]
