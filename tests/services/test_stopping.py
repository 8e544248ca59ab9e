"""Stopping: what was taken in is finished and answered, what was committed is sent, the rest goes back."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from bus.api import NoResponders
from bus.commands import CommandLoop
from tests.support.nats import until
from tests.support.world import World, open_world


async def test_a_stop_with_a_hundred_in_flight_answers_and_publishes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are in the store's hands when the stop comes, some wait for it, some come while doors close."""
    async with open_world(tmp_path) as world:
        answered: list[bool] = []
        begun, go_on = anyio.Event(), anyio.Event()
        store, runtime = world.house.store, world.house.runtime
        sound_run, sound_close = store.run, runtime._close_doors

        async def run(units: Any, now: int) -> Any:
            begun.set()
            await go_on.wait()
            return await sound_run(units, now)

        async def close_doors() -> None:
            await sound_close()
            go_on.set()

        monkeypatch.setattr(store, "run", run)
        monkeypatch.setattr(runtime, "_close_doors", close_doors)

        async def add(number: int) -> None:
            body = msgspec.json.encode({"title": f"task {number}", "command_id": f"c-{number}"})
            try:
                reply = await world.raw("cmd.assigner.task-add.tester", body)
            except NoResponders:  # it knocked when the door was closed already, and knows it
                return
            answered.append("Nats-Service-Error-Code" not in reply.headers)

        async with anyio.create_task_group() as group:
            for number in range(150):
                if number == 50:
                    await begun.wait()
                if number == 100:
                    await anyio.lowlevel.checkpoint()
                    await world.bus.flush()
                    world.house.stopping.set()
                group.start_soon(add, number)
            await world.stop()
        assert len(answered) >= 100
        assert all(answered)
        assert world.rows("SELECT count(*) FROM tasks") == [(len(answered),)]
        assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
        await world.hear()
        assert len(world.events("created", of="task")) == len(answered)


async def test_who_knocks_while_the_doors_close_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was going on when the stop came."""
    came = anyio.Event()
    sound_accept, sound_close = CommandLoop.accept, world.house.runtime._close_doors

    def accept(self: CommandLoop, *what: Any) -> None:
        sound_accept(self, *what)
        came.set()

    async def close_doors() -> None:
        await came.wait()
        await sound_close()

    monkeypatch.setattr(CommandLoop, "accept", accept)
    monkeypatch.setattr(world.house.runtime, "_close_doors", close_doors)
    async with anyio.create_task_group() as group:
        group.start_soon(world.stop)
        await until(world.house.stopping.is_set)
        reply = await world.raw("cmd.assigner.task-add.tester", b'{"title":"late"}')
        assert "Nats-Service-Error-Code" not in reply.headers


async def test_a_stop_sends_every_outcome_that_was_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = world.house.bus.publish

    async def slowly(subject: str, *what: Any, **more: Any) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        await sound(subject, *what, **more)

    _, lease = await world.given("a1")
    monkeypatch.setattr(world.house.bus, "publish", slowly)
    for number in range(100):
        await world.leaves("a1", "progress", lease, note=f"part {number}")
    await world.stop()
    await world.hear()
    handled = world.rows("SELECT count(*) FROM audit WHERE event = 'progressed'")[0][0]
    assert len(world.on(f"answer.a1.{lease.id}")) == handled > 0


async def test_a_stop_gives_answers_back_to_the_bus(world: World) -> None:
    task, lease = await world.given("a1")
    for number in range(200):
        await world.leaves("a1", "progress", lease, note=f"part {number}")
    await world.stop()
    handled = len(world.events("progressed", lease.id))
    left = (await world.bus.backlog("ROLLCALL_ACKS")).count
    assert handled + left >= 200
    await world.start()
    await world.settle()
    assert len(world.events("progressed", lease.id)) == 200
    assert (await world.lease(task)).id == lease.id
