"""A server that starts anew is joined by its whole fleet: each agent waits a while of its own before."""

import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rollcall.client import Agent
from tests.client.house import BUSY, furnished

AGENTS = 20


async def test_a_fleet_comes_back_spread_out_and_goes_on_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first in line are told to come again later, and do."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return usual(low, high)

    def back() -> set[str]:
        return {body["session"] for verb, body in house.commands if verb == "join"}

    usual = random.uniform
    async with furnished(tmp_path) as (house, server), AsyncExitStack() as fleet:
        for number in range(AGENTS):
            await fleet.enter_async_context(Agent(f"a{number}", url=server.url, interval_s=3))
        monkeypatch.setattr(random, "uniform", draw)
        await house.complain()
        await house.until(lambda: house.verbs().count("join") == AGENTS + 1)
        assert drawn == []  # whom the monitor asks to come is awaited now
        house.commands.clear()
        house.problems["join"] = [BUSY] * AGENTS
        await server.kill()
        await server.start()
        await house.until(lambda: drawn.count((0, 0.3)) == AGENTS == len(back()))
        await house.until(lambda: not house.problems["join"] and house.verbs().count("join") >= 2 * AGENTS)
        assert len({body["command_id"] for _, body in house.commands}) == AGENTS
