"""kill -9 at chosen points: what had an OK or a PubAck is there, and the bus tells what the store says."""

from pathlib import Path

import anyio
import pytest
from msgspec import Struct

from bus.nats import NatsBus
from tests.support.nats import connected, own_port
from tests.support.processes import Program, running
from tests.system.load import History, Load
from tests.system.truth import check, until

DRIVER = str(Path(__file__).with_name("killed.py"))
# A killed process loses nothing either way, and the disk is shared. One connection speaks for all agents and
# looks into the streams: no role may do that, so the bus is open.
SETTINGS = {"durability": "relaxed", "nats.open": "true"}


class Point(Struct, frozen=True):
    """Where the process or its server is killed."""

    target: str
    when: str
    nth: int
    victim: str = "self"
    since: str = "ready"
    argument: str | None = None
    stopping: bool = False

    @property
    def command(self) -> list[str]:
        words = [DRIVER, self.target, self.when, str(self.nth), self.victim, self.since]
        return words if self.argument is None else [*words, self.argument]


EXECUTE = "store.driver:_execute"
PROCESS = {
    "making the store": Point(EXECUTE, "before", 2, since="start", argument="COMMIT"),
    "making the streams": Point("bus.streams:_ensure_stream", "after", 2, since="start"),
    "taking the write lock": Point(EXECUTE, "after", 40, argument="BEGIN IMMEDIATE"),
    "inside a transaction": Point("store.driver:perform", "before", 301),
    "inside another": Point("store.driver:perform", "after", 888),
    "before the commit": Point(EXECUTE, "before", 30, argument="COMMIT"),
    "after the commit": Point(EXECUTE, "after", 30, argument="COMMIT"),
    "after a claim": Point("store.sqlite:SqliteStore.claim", "after", 25),
    "before the reply": Point("bus.commands:reply", "before", 25),
    "after the reply": Point("bus.commands:reply", "after", 25),
    "between commit and publish": Point("bus.outbox:Outbox._send", "before", 20),
    "in the midst of a batch": Point("bus.publisher:Publisher._send", "after", 50),
    "between PubAck and confirming": Point("bus.nats:NatsBus.publish_batch", "after", 20),
    "after confirming": Point("store.sqlite:SqliteStore.confirm", "after", 20),
    "between handling and settling": Point("bus.inboxes:InboxLoop._settle", "before", 20),
    "between burying and settling": Point("bus.api:Incoming.term", "before", 3),
    "while stamping": Point("store.sqlite:SqliteStore.stamp", "after", 2),
    "while closing the doors": Point("bus.actor:Runtime._close_doors", "after", 1, stopping=True),
    "while closing the puller": Point("bus.puller:StandingPuller.close", "before", 1, stopping=True),
    "before closing the store": Point("store.sqlite:SqliteStore.close", "before", 1, stopping=True),
    "before stopping the server": Point("bus.embedded:EmbeddedServer.stop", "before", 1, stopping=True),
}
SERVER = {
    "before publishing": Point("bus.nats:NatsBus.publish_batch", "before", 20, "server"),
    "in the midst of a batch": Point("bus.publisher:Publisher._send", "after", 50, "server"),
    "between PubAck and confirming": Point("store.sqlite:SqliteStore.confirm", "before", 20, "server"),
    "between commit and reply": Point("bus.commands:reply", "before", 25, "server"),
    "between handling and settling": Point("bus.inboxes:InboxLoop._settle", "before", 20, "server"),
    "while burying": Point("bus.api:Incoming.term", "before", 2, "server"),
    "while stopping": Point("bus.actor:Runtime._close_doors", "before", 1, "server", stopping=True),
}
ENOUGH = 60  # commands answered, before a stop or after the server is back


def address(state: Path) -> str:
    return (state / "nats.url").read_text("utf-8").strip()


async def until_killed(program: Program, load: Load | None, point: Point) -> None:
    """Let the load work until the point is reached."""
    code = 0
    async with anyio.create_task_group() as group:
        if load is not None:
            group.start_soon(load.run)
        if point.stopping:
            assert load is not None
            await until(lambda: load.done >= ENOUGH)
            program.ask_to_stop()
        code = await program.ended()
        group.cancel_scope.cancel()
    assert code == -9, (code, "".join(program.said))


async def rest(state: Path, history: History) -> None:
    """Start again as if nothing had happened, go on working for a while, and compare."""
    async with running(DRIVER, state=state, settings=SETTINGS), connected(address(state), name="rest") as bus:
        load = Load(bus, history, "after")
        async with anyio.create_task_group() as group:
            group.start_soon(load.run)
            await until(lambda: load.done >= ENOUGH)
            group.cancel_scope.cancel()
        await check(state, bus, history)


@pytest.mark.parametrize("point", PROCESS.values(), ids=PROCESS)
async def test_all_that_was_promised_outlives_the_process(tmp_path: Path, point: Point) -> None:
    history = History()
    at_start = point.since == "start"
    async with running(*point.command, state=tmp_path, settings=SETTINGS, wait=not at_start) as program:
        if at_start:
            await until_killed(program, None, point)
        else:
            bus = await NatsBus.open(address(tmp_path), name="load")
            await until_killed(program, Load(bus, history, "before"), point)
            await bus.drain()
    await rest(tmp_path, history)


@pytest.mark.parametrize("point", SERVER.values(), ids=SERVER)
async def test_all_that_was_promised_outlives_the_server(tmp_path: Path, point: Point) -> None:
    history = History()
    with own_port(tmp_path):
        await outlive(tmp_path, point, history)
    await rest(tmp_path, history)


async def outlive(tmp_path: Path, point: Point, history: History) -> None:
    """Work on while the server is killed and started again, then stop."""
    async with running(*point.command, state=tmp_path, settings=SETTINGS) as program:
        async with connected(address(tmp_path), name="load") as bus:
            lost = anyio.Event()
            bus.client.on_lost.append(lost.set)
            load = Load(bus, history, "before")
            async with anyio.create_task_group() as group:
                group.start_soon(load.run)
                if point.stopping:
                    await until(lambda: load.done >= ENOUGH)
                    program.ask_to_stop()
                with anyio.fail_after(20):
                    await lost.wait()
                if not point.stopping:
                    enough = load.done + ENOUGH
                    await until(lambda: load.done >= enough)
                group.cancel_scope.cancel()
        if not point.stopping:
            program.ask_to_stop()
        assert await program.ended() == 0, "".join(program.said)
