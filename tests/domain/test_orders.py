"""Orders: who can carry one out, and that what was taken is on record."""

import pytest

from contracts.errors import ConflictError, NotFoundError, UnavailableError
from contracts.messages import ProcessFacts
from contracts.operations.orders import OrderParams, OrderResult
from domain import orders
from tests.domain.world import World

RUNS = ProcessFacts(agent="a1", state="running", pid=7, session="b1", why="started")


def test_the_machine_that_keeps_an_agent_is_asked() -> None:
    world = World()
    world.agent("a1", beats="required")
    world.host("m1", "d1", RUNS)
    found = orders.target(world, "a1")
    assert found == OrderResult(agent="a1", machine="m1", process="running", why="started")


def test_who_cannot_be_asked_is_said() -> None:
    world = World()
    world.agent("a1", beats="required")
    world.agent("by-hand")
    world.host("m1", "d1", RUNS)
    with pytest.raises(NotFoundError, match="there is no active agent nobody"):
        orders.target(world, "nobody")
    with pytest.raises(NotFoundError, match="do you mean a1"):
        orders.target(world, "A1")
    with pytest.raises(ConflictError, match="no machine keeps by-hand"):
        orders.target(world, "by-hand")
    world.forward(minutes=5)
    with pytest.raises(UnavailableError, match="the daemon of m1 is not heard"):
        orders.target(world, "a1")


def test_what_was_taken_is_on_record() -> None:
    world = World()
    world.agent("a1", beats="required")
    taken = OrderResult(agent="a1", machine="m1", process="restarting", why="restarted by olga")

    params = OrderParams(name="a1", reason="it hangs")
    by = {"actor": "operator:olga", "timers": world.timers}
    assert world.decide(orders.ordered, world.now, "restart", params, taken, **by) == taken
    assert world.events("ordered") == ["ordered"]
