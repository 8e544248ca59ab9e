"""A bus that starts anew is joined by the whole fleet at once: all are answered, each of them once."""

from collections import Counter

import anyio
import msgspec

from bus.api import Incoming
from contracts.operations import BY_NAME
from contracts.operations.answers import JoinParams
from contracts.views import SyncView
from tests.support.house import ROOT
from tests.support.nats import until
from tests.support.world import World

AGENTS = 300


async def fleet(world: World) -> list[str]:
    """Register agents who have a session each."""
    names = [f"a{number}" for number in range(AGENTS)]
    add = BY_NAME["agent.add"]

    async def enter(name: str) -> None:
        params = {"name": name, "beats": "required"}
        await world.ask(f"cmd.{add.owner}.{add.verb}.tester", add.result, params)
        await world.ask(f"cmd.agent.{name}.join", SyncView, {"session": "old"})

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(enter, name)
    await world.settle()
    return names


async def test_a_storm_of_joins_is_answered_each_once(world: World) -> None:
    names = await fleet(world)
    replies: dict[str, list[Incoming]] = {name: [] for name in names}
    await world.bus.subscribe(
        "_INBOX.storm.*", lambda reply: replies[reply.subject.rpartition(".")[2]].append(reply)
    )
    await world.start_bus_anew()
    await until(lambda: world.house.bus.connected)
    await world.house.bus.flush()  # the endpoints are open again
    body = msgspec.json.encode(JoinParams(session="new"))
    for name in names:
        await world.bus.publish(f"{ROOT}.cmd.agent.{name}.join", body, reply=f"_INBOX.storm.{name}")
    await until(lambda: all(replies.values()))
    await world.settle()
    await world.bus.flush()
    assert Counter(len(each) for each in replies.values()) == {1: AGENTS}
    told = [msgspec.json.decode(reply.data, type=SyncView) for (reply,) in replies.values()]
    assert {view.session for view in told} == {"new"}
    assert {view.agent for view in told} == set(names)
    joined = "SELECT session, status, count(*) FROM agents WHERE kind = 'sub_agent' GROUP BY 1, 2"
    assert world.rows(joined) == [("new", "ready", AGENTS)]
