"""Ten times too much: answers and beats are kept, new tasks are refused at once, memory has its bounds."""

import anyio
import msgspec
import pytest

from bus.api import Incoming, Outgoing
from contracts.errors import Problem
from contracts.limits import SESSIONS_HEARD_MAX
from tests.support.held import Held
from tests.support.house import ROOT
from tests.support.nats import Seen, until
from tests.support.world import World

BOUNDS = {"answer": 1_000, "order": 30, "work": 20, "look": 10}


class Crowd:
    """Everybody who asks at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: list[str] = []
        self.refused: list[tuple[str, Problem]] = []

    async def ask(self, verb: str, body: bytes) -> None:
        reply: Incoming = await self.world.bus.request(f"{ROOT}.cmd.{verb}", body, timeout_s=60)
        if "Nats-Service-Error-Code" in reply.headers:
            self.refused.append((verb, msgspec.json.decode(reply.data, type=Problem)))
        else:
            self.taken.append(verb)


async def test_new_tasks_are_refused_at_once_and_answers_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.commands.WAITING_MAX", BOUNDS)
    held = [(await world.given(f"a{number}"))[1] for number in range(30)]
    store, crowd = Held(world, monkeypatch), Crowd(world)
    loops = world.house.runtime.commands
    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(crowd.ask, "assigner.task-add.tester", b'{"title":"task %d"}' % number)
            group.start_soon(crowd.ask, "assigner.task-ls.tester", b"{}")
            group.start_soon(crowd.ask, "assigner.task-comment.tester", b'{"task":1,"text":"remark"}')
        for number, lease in list(enumerate(held)) * 10:
            group.start_soon(crowd.ask, f"agent.a{number}.ack", b'{"assignment":%d}' % lease.id)
        await until(lambda: len(crowd.refused) == 180 + 190 + 170)  # while nothing can be committed
        await until(lambda: loops["pinger"].in_hand["answer"] == 300)
        assert crowd.taken == []
        assert loops["assigner"].in_hand == {"answer": 0, "order": 30, "work": 20, "look": 10}
        store.open()
    assert len(crowd.taken) == 300 + 20 + 10 + 30
    assert {problem.code for _, problem in crowd.refused} == {"overloaded"}
    assert {(problem.status, problem.retry_after_s) for _, problem in crowd.refused} == {(429, 5)}
    assert loops["assigner"].shed == {"answer": 0, "order": 170, "work": 180, "look": 190}
    assert not any(sum(loop.in_hand.values()) for loop in loops.values())
    monkeypatch.undo()
    await world.operator("dlq.ls")
    await until(lambda: not any(sum(loop.in_hand.values()) for loop in loops.values()))
    await world.settle()
    assert world.rows("SELECT count(*) FROM assignments WHERE status = 'acknowledged'") == [(30,)]
    assert world.rows("SELECT count(*) FROM tasks") == [(50,)]


async def test_what_is_urgent_goes_first_and_leaves_a_little_to_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.given("a1")
    store, crowd = Held(world, monkeypatch), Crowd(world)
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.ask, "assigner.task-ls.tester", b"{}")
        await until(lambda: len(store.asked) == 1)
        for _ in range(100):
            group.start_soon(crowd.ask, "assigner.task-ls.tester", b"{}")
        await until(lambda: world.house.runtime.commands["assigner"].in_hand["look"] == 101)
        for _ in range(700):
            group.start_soon(crowd.ask, "assigner.task-comment.tester", b'{"task":1,"text":"remark"}')
        await until(lambda: world.house.runtime.commands["assigner"].in_hand["order"] == 700)
        store.open()
    assert store.asked[1] == ["task.comment"] * 475 + ["task.ls"] * 25
    assert len(crowd.taken) == 801


async def test_answers_on_the_stream_stay_there_until_they_can_be_handled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten batches come while nothing can be committed: a few are in hand, all are on the bus."""
    _, lease = await world.given("a1")
    body = msgspec.json.encode({"kind": "progress", "incarnation": world.incarnation, "note": "on"})
    store = Held(world, monkeypatch)
    count, answers = 5_000, Seen()  # to look through all that the world heard, at each turn, takes minutes
    await world.bus.subscribe(f"{ROOT}.answer.a1.{lease.id}", answers)
    for start in range(0, count, 1_000):
        items = [Outgoing(f"{ROOT}.ack.a1.{lease.id}", body, f"a:{start + n}") for n in range(1_000)]
        assert await world.bus.publish_batch(items, stream="ROLLCALL_ACKS") == []
    await until(lambda: bool(store.asked))
    assert (await world.bus.backlog("ROLLCALL_ACKS")).count == count
    asked = await world.bus.request("$JS.API.CONSUMER.INFO.ROLLCALL_ACKS.answers", b"", timeout_s=5)
    info = msgspec.json.decode(asked.data)
    assert info["num_ack_pending"] <= 3 * world.house.runtime.ports.batch
    assert sum(map(len, store.asked)) <= 3 * world.house.runtime.ports.batch
    store.open()
    await answers.have(count)
    await world.settle()
    assert len(answers) == count


async def test_beats_are_coalesced_and_none_is_shed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"a{number}" for number in range(40)]
    for name in names:
        await world.agent(name, beats="required")
        await world.asks(name, "agent.join", session="s1")
    await world.forward(seconds=60)
    store = Held(world, monkeypatch)
    listener = world.house.runtime.listeners["hb.*"]
    await world.bus.publish(f"{ROOT}.hb.{names[0]}", b'{"session":"s1"}')
    await until(lambda: bool(store.asked))
    for name in names * 10:
        await world.bus.publish(f"{ROOT}.hb.{name}", b'{"session":"s1"}')
    await until(lambda: listener.in_hand == len(names))
    for number in range(20):
        await world.bus.publish(f"{ROOT}.hb.{names[0]}", b'{"session":"old%d"}' % number)
    await world.hear()
    await until(lambda: listener.in_hand == len(names) - 1 + SESSIONS_HEARD_MAX)
    await world.bus.publish(f"{ROOT}.hb.{names[0]}", b'{"session":"s1"}')
    await world.hear()
    assert listener.in_hand == len(names) - 1 + SESSIONS_HEARD_MAX
    store.open()
    beaten = "SELECT count(*) FROM agents WHERE beat_at = ?"
    await until(lambda: world.rows(beaten, world.clock.at) == [(len(names),)])
    assert listener.in_hand == 0


async def test_who_is_dropped_among_too_many_is_not_judged_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.commands.BEATING_MAX", 2)
    await world.agent("a1", beats="required")
    await world.asks("a1", "agent.join", session="s1")
    await world.forward(seconds=60)
    store = Held(world, monkeypatch)
    for name in ("g1", "g2", "g3", "g4", "g5", "a1"):
        await world.bus.publish(f"{ROOT}.hb.{name}", b"{}")
    await until(lambda: world.house.runtime.pulse.hearing_since == world.clock.at)
    assert world.house.runtime.listeners["hb.*"].in_hand <= 2
    store.open()
    await world.forward(seconds=89)
    assert (await world.who("a1")).status == "ready"
