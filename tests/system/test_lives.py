"""Another store on the bus of an earlier one, restored from a backup or new: no ping is swallowed."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bus.api import Incoming
from bus.nats import NatsBus
from contracts.messages import Ping
from tests.support.nats import connected, server
from tests.support.processes import Program, start, up
from tests.system.truth import check_events, mailbox, rows, until

SETTINGS: dict[str, object] = {
    "durability": "relaxed",
    "timers.ping_first": "1s",
    "timers.ping_interval": "1s",
}
AGENT = "a1"
TASKS = 10
MORE = 5
Key = tuple[str, int, int]  # incarnation, assignment, attempt


class Listener:
    """An agent that is on the bus all the time, whoever lives there."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.heard: Counter[Key] = Counter()

    def on_ping(self, message: Incoming) -> None:
        if b'"kind":"ping"' in message.data:
            ping = msgspec.json.decode(message.data, type=Ping)
            self.heard[ping.incarnation, ping.assignment, ping.attempt] += 1

    async def hears(self, incarnation: str, attempts: dict[int, int]) -> None:
        """Wait until the named attempt of each assignment was heard."""
        wanted = {(incarnation, assignment, attempt) for assignment, attempt in attempts.items()}
        await until(lambda: self.heard.keys() >= wanted)

    async def ask(self, subject: str, **body: object) -> dict[str, object]:
        reply = await self.bus.request(f"rollcall.v1.cmd.{subject}", msgspec.json.encode(body), timeout_s=10)
        found: dict[str, object] = msgspec.json.decode(reply.data)
        return found

    async def add(self, count: int) -> None:
        for number in range(count):
            await self.ask("assigner.task-add.tester", title=f"task {number}")


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[Listener, dict[str, object]]]:
    """Run a bus for the whole test, with an agent on it; yield also what a system needs to find it."""
    async with server(folder / "bus") as nats, connected(nats.url) as bus:
        agent = Listener(bus)
        await bus.subscribe(f"rollcall.v1.ping.{AGENT}.*", agent.on_ping)
        await bus.flush()
        yield agent, SETTINGS | {"nats.url": nats.url}


async def rollcall(state: Path, settings: dict[str, object], *words: str, code: int = 0) -> str:
    program: Program = await start("-m", "rollcall", *words, state=state, settings=settings)
    assert await program.ended() == code, "".join(program.said)
    return "".join(program.said)


def remove_store(state: Path) -> None:
    for file in state.glob("rollcall.db*"):
        file.unlink()


def life(state: Path) -> str:
    found: str = rows(state, "SELECT value FROM meta WHERE key = 'incarnation'")[0][0]
    return found


def attempts(state: Path, ahead: int = 0) -> dict[int, int]:
    """Return the attempt that each assignment is at, or so many ahead."""
    return {number: attempt + ahead for number, attempt in rows(state, "SELECT id, attempt FROM assignments")}


async def all_heard_once(state: Path, agent: Listener, incarnation: str) -> None:
    """Check that each published ping of this life was heard, each ping once, the mailbox none older."""
    published = "SELECT incarnation, assignment_id, attempt FROM pings WHERE published_at IS NOT NULL"
    sent: set[Key] = {
        (ping[0], ping[1], ping[2]) for ping in rows(state, published) if ping[0] == incarnation
    }
    await until(lambda: agent.heard.keys() >= sent)
    assert set(agent.heard.values()) == {1}
    ping = await mailbox(agent.bus, AGENT, 1)
    assert ping is not None
    assert ping["incarnation"] == incarnation


async def test_a_restored_backup_on_the_old_bus_delivers_every_ping(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "rollcall.db"
    async with listening(tmp_path) as (agent, settings):
        async with up(state, settings):
            await agent.ask("monitor.agent-add.tester", name=AGENT, beats="none", capacity=100)
            await agent.add(TASKS)
            first = life(state)
            await agent.hears(first, dict.fromkeys(range(1, TASKS + 1), 1))
            await rollcall(state, settings, "backup", str(backup))
            await agent.add(MORE)  # numbers and attempts that the backup knows nothing of
            await agent.hears(first, attempts(tmp_path, ahead=2))
            await agent.hears(first, dict.fromkeys(range(TASKS + 1, TASKS + MORE + 1), 2))
        assert "in the way" in await rollcall(state, settings, "restore", str(backup), code=78)
        remove_store(state)
        await rollcall(state, settings, "restore", str(backup))
        second, then = life(state), attempts(state)
        assert (second != first, len(then)) == (True, TASKS)
        async with up(state, settings):
            for ahead in (1, 2):  # the same numbers again, and none is taken for a repeat
                await agent.hears(second, {number: attempt + ahead for number, attempt in then.items()})
            await agent.add(MORE)
            for attempt in (1, 2):
                await agent.hears(second, dict.fromkeys(range(TASKS + 1, TASKS + MORE + 1), attempt))
            answer = await agent.ask(f"agent.{AGENT}.ack", assignment=1, incarnation=first)
            assert answer["code"] == "other_incarnation"
            await all_heard_once(state, agent, second)


async def test_a_new_store_on_the_old_bus_delivers_every_ping(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lives: list[str] = []
    async with listening(tmp_path) as (agent, settings):
        for _ in range(2):
            async with up(state, settings):
                await agent.ask("monitor.agent-add.tester", name=AGENT, beats="none", capacity=100)
                await agent.add(TASKS)
                lives.append(life(state))
                for attempt in (1, 2):
                    await agent.hears(lives[-1], dict.fromkeys(range(1, TASKS + 1), attempt))
                await all_heard_once(state, agent, lives[-1])
                if len(lives) == 1:
                    await until(lambda: rows(state, "SELECT 1 FROM outbox WHERE stream = 'EVENTS'") == [])
                    await check_events(state, agent.bus)
            remove_store(state)
    assert lives[0] != lives[1]
