"""The loop of the simulator: time that jumps, processes that die without a word or stand still."""

import contextvars
import random

import anyio
import pytest

from tests.simulation.loop import PROCESS, Process, VirtualLoop, run


async def _ticks(said: list[tuple[str, float]], name: str, loop: VirtualLoop) -> None:
    try:
        for _ in range(5):
            await anyio.sleep(10)
            said.append((name, loop.time()))
    finally:
        said.append((f"{name} ended", loop.time()))


def _spawn(loop: VirtualLoop, name: str, said: list[tuple[str, float]]) -> Process:
    process = Process(name)
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)
    loop.create_task(_ticks(said, name, loop), context=context)
    return process


def test_hours_pass_at_once() -> None:
    async def main(loop: VirtualLoop) -> float:
        with anyio.move_on_after(3_600):
            await anyio.sleep(7_200)
        return loop.time()

    assert run(main) == pytest.approx(3_600)


def test_the_dead_say_nothing_and_the_stopped_say_it_late() -> None:
    said: list[tuple[str, float]] = []

    async def main(loop: VirtualLoop) -> None:
        dies, stops = _spawn(loop, "dies", said), _spawn(loop, "stops", said)
        await anyio.sleep(25)
        dies.state, stops.state = "dead", "stopped"
        await anyio.sleep(60)
        stops.go_on(loop)
        await anyio.sleep(100)

    run(main, random.Random(1))
    assert [at for name, at in said if name == "dies"] == [10, 20]
    assert "dies ended" not in dict(said)  # no `finally` runs after kill -9
    assert [at for name, at in said if name == "stops"] == [10, 20, 85, 95, 105]
    assert "stops ended" in dict(said)


def test_who_waits_for_nothing_is_told() -> None:
    async def forever(loop: VirtualLoop) -> None:
        await loop.create_future()

    async def restless(_: VirtualLoop) -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(forever)
    with pytest.raises(RuntimeError, match="livelock"):
        run(restless)
