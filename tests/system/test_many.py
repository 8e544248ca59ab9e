"""Several of each service, in processes of their own, on one store and one bus: as if there were one."""

import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import msgspec
import pytest

from bus.api import Incoming
from bus.nats import NatsBus
from contracts.messages import Ping
from tests.support.nats import connected, server
from tests.support.processes import Program, running
from tests.system.truth import check_leases, rows

TASKS = 2_000
AGENTS = 20
PINGS = "SELECT assignment_id, attempt FROM pings"
SCALE = 1 / 300  # the second ping after a second, a step after six
SETTINGS = {
    "durability": "relaxed",
    "timers.scale": SCALE,
    "limits.pings_per_second": 100_000,
    "limits.steps_per_second": 100_000,
}


async def ask(bus: NatsBus, subject: str, body: Mapping[str, object]) -> None:
    """Ask, and again under the same id while the store is held by others for too long."""
    data = msgspec.json.encode({**body, "command_id": str(uuid.uuid4())})
    while True:
        reply = await bus.request(f"rollcall.v1.cmd.{subject}.tester", data, timeout_s=20)
        code = reply.headers.get("Nats-Service-Error-Code")
        if code != "503":
            break
    assert code is None, reply.data


async def fill(bus: NatsBus) -> None:
    """Add the agents and all tasks."""
    async with anyio.create_task_group() as group:
        for number in range(AGENTS):
            agent = {"name": f"a{number}", "beats": "none", "capacity": TASKS // AGENTS}
            group.start_soon(ask, bus, "monitor.agent-add", agent)
    async with anyio.create_task_group() as group:
        for first in range(0, TASKS, 200):
            tasks = [{"title": f"task {first + number}"} for number in range(200)]
            group.start_soon(ask, bus, "assigner.task-import", {"tasks": tasks})


class Ears:
    """A plain subscriber to all pings."""

    def __init__(self) -> None:
        self.heard: Counter[tuple[int, int]] = Counter()
        self.assignments: set[int] = set()
        self.enough = anyio.Event()
        self._decode = msgspec.json.Decoder(Ping).decode

    def __call__(self, message: Incoming) -> None:
        if b'"kind":"ping"' not in message.data:
            return
        ping = self._decode(message.data)
        self.heard[ping.assignment, ping.attempt] += 1
        self.assignments.add(ping.assignment)
        if len(self.assignments) == 2 * TASKS:
            self.enough.set()


async def run(services: list[str], state: Path, url: str, stack: AsyncExitStack) -> list[Program]:
    """Start each service as a process of its own, all at once, and wait until all are ready."""
    settings = SETTINGS | {"nats.url": url}
    programs = [
        await stack.enter_async_context(
            running("-m", "rollcall", "run", service, state=state, settings=settings, wait=False)
        )
        for service in services
    ]
    for program in programs:
        await program.ready()
    return programs


@pytest.mark.timeout(120)
@pytest.mark.parametrize("copies", [4, 2, 1])
async def test_each_attempt_is_heard_once_and_each_missed_promise_has_one_successor(
    tmp_path: Path, copies: int
) -> None:
    ears = Ears()
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(server(tmp_path / "bus"))
        bus = await stack.enter_async_context(connected(nats.url))
        await bus.subscribe("rollcall.v1.ping.*.*", ears)
        services = ["monitor", *["assigner", "pinger", "escalator"] * copies]
        programs = await run(services, tmp_path, nats.url, stack)
        await fill(bus)
        with anyio.fail_after(90):
            await ears.enough.wait()
        for program in programs:
            program.ask_to_stop()
        assert [await program.ended() for program in programs] == [0] * len(programs)
        await bus.flush()
    # a ping that waited until the next was due is not sent any more
    assert set(ears.heard.values()) == {1}
    assert ears.heard.keys() <= set(rows(tmp_path, PINGS))
    assert ears.heard.keys() >= set(rows(tmp_path, f"{PINGS} WHERE published_at IS NOT NULL"))
    assert any(attempt > 1 for _, attempt in ears.heard)
    check_leases(tmp_path)
    held = "SELECT count(*), count(DISTINCT task_id), max(epoch) FROM assignments"
    assert rows(tmp_path, held) == [(2 * TASKS, TASKS, 2)]
    assert rows(tmp_path, "SELECT count(*) FROM outbox") == [(0,)]
