"""Another store on the bus of an earlier one, restored from a backup or new: no ping is swallowed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from bus.api import Incoming
from bus.nats import NatsBus
from contracts.messages import Ping
from tests.support.nats import connected
from tests.support.processes import start, up
from tests.system.truth import check_events, mailbox, rows, until

SETTINGS = {"durability": "relaxed", "timers.ping_first": "1s", "timers.ping_interval": "2s"}
AGENT = "a1"
Heard = dict[tuple[str, int, int], int]  # incarnation, assignment and attempt: how often


class House:
    """A running system, and what an agent of it hears."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.heard: Heard = {}
        self._more = anyio.Event()

    def on_ping(self, message: Incoming) -> None:
        if b'"kind":"ping"' in message.data:
            ping = msgspec.json.decode(message.data, type=Ping)
            key = (ping.incarnation, ping.assignment, ping.attempt)
            self.heard[key] = self.heard.get(key, 0) + 1
            self._more.set()

    async def hear(self, *keys: tuple[str, int, int]) -> None:
        """Wait until all of these were heard."""
        with anyio.fail_after(40):
            while not self.heard.keys() >= set(keys):
                self._more = anyio.Event()
                await self._more.wait()

    async def ask(self, subject: str, **body: object) -> dict[str, object]:
        reply = await self.bus.request(f"rollcall.v1.cmd.{subject}", msgspec.json.encode(body), timeout_s=10)
        found: dict[str, object] = msgspec.json.decode(reply.data)
        return found

    async def add(self, count: int) -> None:
        for number in range(count):
            await self.ask("assigner.task-add.tester", title=f"task {number}")


@asynccontextmanager
async def house(state: Path) -> AsyncIterator[House]:
    async with up(state, SETTINGS), connected((state / "nats.url").read_text("utf-8").strip()) as bus:
        found = House(bus)
        await bus.subscribe(f"rollcall.v1.ping.{AGENT}.*", found.on_ping)
        await bus.flush()
        yield found


async def rollcall(state: Path, *words: str, code: int = 0) -> str:
    program = await start("-m", "rollcall", *words, state=state, settings=SETTINGS)
    assert await program.ended() == code, "".join(program.said)
    return "".join(program.said)


def remove_store(state: Path) -> None:
    for file in state.glob("rollcall.db*"):
        file.unlink()


def life(state: Path) -> str:
    found: str = rows(state, "SELECT value FROM meta WHERE key = 'incarnation'")[0][0]
    return found


async def test_a_restored_backup_on_the_old_bus_delivers_every_ping(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup.db"
    async with house(state) as old:
        await old.ask("monitor.agent-add.tester", name=AGENT, beats="none", capacity=100)
        await old.add(10)
        first = life(state)
        await old.hear(*((first, number, 1) for number in range(1, 11)))
        await rollcall(state, "backup", str(backup))
        await old.add(5)
        later = [(first, number, attempt) for number in range(1, 16) for attempt in (1, 2, 3)]
        await old.hear(*later)  # numbers and attempts that the backup knows nothing of
    assert "in the way" in await rollcall(state, "restore", str(backup), code=78)
    remove_store(state)
    await rollcall(state, "restore", str(backup))
    second = life(state)
    assert second != first
    async with house(state) as new:
        # the second may have gone out before anybody could listen to a bus that had just begun
        await new.hear(*((second, number, attempt) for number in range(1, 11) for attempt in (3, 4)))
        await new.add(5)
        await new.hear(*((second, number, attempt) for number in range(11, 16) for attempt in (1, 2)))
        answer = await new.ask(f"agent.{AGENT}.ack", assignment=1, incarnation=first)
        assert answer["code"] == "other_incarnation"
        await all_heard_once(state, new, second, missed=2)


async def test_a_new_store_on_the_old_bus_delivers_every_ping(tmp_path: Path) -> None:
    lives: list[str] = []
    for _ in range(2):
        async with house(tmp_path) as found:
            await found.ask("monitor.agent-add.tester", name=AGENT, beats="none", capacity=100)
            await found.add(10)
            lives.append(life(tmp_path))
            await found.hear(*((lives[-1], number, attempt) for number in range(1, 11) for attempt in (1, 2)))
            await all_heard_once(tmp_path, found, lives[-1])
            if len(lives) == 1:
                await check_events(tmp_path, found.bus)
        remove_store(tmp_path)
    assert lives[0] != lives[1]


async def all_heard_once(state: Path, found: House, incarnation: str, *, missed: int = 1) -> None:
    """Check that every published ping of this life was heard once, and that the mailbox has none older."""
    published = "SELECT incarnation, assignment_id, attempt FROM pings WHERE published_at IS NOT NULL"
    sent = {row for row in rows(state, published) if row[0] == incarnation}
    since = set(found.heard)
    await until(lambda: set(found.heard) >= {key for key in sent if key in since or key[2] > missed})
    assert set(found.heard.values()) == {1}
    ping = await mailbox(found.bus, AGENT, 1)
    assert ping is not None
    assert ping["incarnation"] == incarnation
