"""What cannot be handled stops nobody: rows are quarantined, messages put aside; both can be replayed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.operations.dead_letters import Entry
from contracts.work import Changes, StoreFaultError
from domain import answers, assigning, escalation, pinging
from tests.support.nats import until
from tests.support.world import Refused, World, open_world

THOUSAND = 1_000


class Poisoned(Exception):
    """Planted."""


def poison(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, row: int) -> None:
    """Let a decision throw for one row and work for all others."""
    sound: Callable[..., Changes] = getattr(module, name)

    def decide(*args: Any, **named: Any) -> Changes:
        if row in args[1:4]:
            raise Poisoned(f"row {row} is poison")
        return sound(*args, **named)

    monkeypatch.setattr(module, name, decide)


async def letters(world: World) -> list[Entry]:
    return list((await world.operator("dlq.ls")).items)


async def many(world: World, count: int) -> list[int]:
    """Let one agent hold so many tasks; return their assignments."""
    await world.agent("a1", capacity=count)
    for first in range(0, count, 200):
        tasks = [{"title": f"task {first + number}"} for number in range(min(200, count - first))]
        await world.operator("task.import", tasks=tasks)
    held = [number for (number,) in world.rows("SELECT id FROM assignments WHERE agent = 'a1' ORDER BY id")]
    assert len(held) == count
    return held


async def test_a_ping_that_cannot_be_decided_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await many(world, THOUSAND)
    bad = held[500]
    with monkeypatch.context() as planted:
        poison(planted, pinging, "ping", bad)
        await world.forward(minutes=6)
        heard = {
            ping.body["assignment"]: ping.minute for ping in world.pings("a1") if ping.body["attempt"] == 2
        }
        assert heard == dict.fromkeys(set(held) - {bad}, 5.0)
        query = "SELECT ping_at, deadline_at, quarantined FROM assignments WHERE id = ?"
        ((ping_at, deadline_at, reason),) = world.rows(query, bad)
        assert (ping_at, deadline_at) == (None, None)
        assert f"row {bad} is poison" in reason
        (entry,) = await letters(world)
        assert (entry.letter.source, entry.letter.row, entry.letter.stream) == ("row", bad, "assignments")
        assert "Poisoned" in entry.letter.reason
        assert (await world.operator("system.status")).quarantined == 1
        assert len(world.events("quarantined", bad)) == 1
    assert (await world.operator("dlq.replay", seq=entry.seq)).replayed == f"assignments {bad}"
    assert world.pinged("a1", bad) == [0, 6]
    assert await letters(world) == []
    assert (await world.operator("system.status")).quarantined == 0
    await world.forward(minutes=30)
    assert world.rows("SELECT end_reason FROM assignments WHERE id = ?", bad) == [("timed_out",)]


async def test_a_deadline_that_cannot_be_decided_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await many(world, 20)
    poison(monkeypatch, escalation, "deadline", held[7])
    await world.forward(minutes=31)
    assert len(world.pings("Ruto")) == 19
    assert [entry.letter.row for entry in await letters(world)] == [held[7]]
    await world.operator("dlq.replay", seq=(await letters(world))[0].seq)  # still poison: quarantined again
    assert [entry.letter.row for entry in await letters(world)] == [held[7]]


async def test_a_poisoned_row_is_put_aside_once_whoever_else_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, houses=4) as world:
        held = await many(world, 5)
        poison(monkeypatch, pinging, "ping", held[3])
        await world.forward(minutes=6)
        assert len(await letters(world)) == 1
        assert len(world.events("quarantined", held[3])) == 1
        assert len(world.pings("a1")) == 9


async def test_a_task_that_cannot_be_assigned_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.agent("a1", capacity=10)
    poison(monkeypatch, assigning, "assign_due", 2)
    for number in range(4):
        await world.task(f"task {number}")
    assert world.rows("SELECT task_id FROM assignments ORDER BY id") == [(1,), (3,), (4,)]
    (entry,) = await letters(world)
    assert (entry.letter.stream, entry.letter.row) == ("tasks", 2)
    monkeypatch.undo()
    await world.operator("dlq.replay", seq=entry.seq)
    assert (await world.lease(2)).agent == "a1"


UNREADABLE = [
    ("cut short", b'{"kind":"ack","incarnation":'),
    ("bad UTF-8", b'{"kind":"ack","incarnation":"\xff\xfe"}'),
    ("nothing", b""),
    ("null", b"null"),
    ("deep nesting", b'{"kind":"ack","x":' + b"[" * 20_000),
    ("an unknown kind", b'{"kind":"dance","incarnation":"x"}'),
    ("no kind", b'{"incarnation":"x"}'),
    ("a lone surrogate", b'{"kind":"ack","incarnation":"\\ud800"}'),
]


@pytest.mark.parametrize("body", [body for _, body in UNREADABLE], ids=[name for name, _ in UNREADABLE])
async def test_an_answer_that_cannot_be_read_is_put_aside_at_once(world: World, body: bytes) -> None:
    task, lease = await world.given("a1")
    await world.stores(f"ack.a1.{lease.id}", body)
    await world.writes("a1", "ack", lease)
    assert (await world.lease(task)).status == "acknowledged"
    (entry,) = await letters(world)
    assert (entry.letter.tries, entry.letter.source) == (1, "message")
    assert entry.letter.subject == f"rollcall.v1.ack.a1.{lease.id}"
    assert entry.letter.reason.split(":")[0] in {"malformed", "invalid"}
    refused = [heard.body for heard in world.on(f"answer.a1.{lease.id}") if not heard.body["accepted"]]
    assert len(refused) == 1
    await world.operator("dlq.replay", seq=entry.seq)
    again = (await letters(world))[0].letter
    assert (again.body, again.body_base64) == (entry.letter.body, entry.letter.body_base64)  # byte for byte


@pytest.mark.parametrize(
    "subject", ["ack.a1.first", "ack.a1.-1", "ack.a1.9999999999999999999", "ack.-a1.1", "ack.a1.٣"]
)
async def test_a_subject_of_nobody_is_put_aside_with_the_reason(world: World, subject: str) -> None:
    _, lease = await world.given("a1")
    await world.stores(subject, b'{"kind":"ack","incarnation":"%s"}' % world.incarnation.encode())
    await world.writes("a1", "ack", lease)
    (entry,) = await letters(world)
    assert entry.letter.reason.startswith("invalid: ")
    assert entry.letter.tries == 1


async def test_a_handler_that_fails_five_times_alone_is_poison_and_its_neighbours_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.work.ALONE_DELAYS_S", (0.0,))
    held = await many(world, 100)
    await world.asks("a1", "agent.join", session="private")
    with monkeypatch.context() as planted:
        poison(planted, answers, "answer", held[42])
        for number in held:
            await world.leaves("a1", "ack", number, session="private")
        await world.settle()
        pending = world.rows("SELECT id FROM assignments WHERE status <> 'acknowledged'")
        assert pending == [(held[42],)]
        (entry,) = await letters(world)
        assert (entry.letter.tries, entry.letter.consumer) == (5, "answers")
        assert "Poisoned" in entry.letter.reason
    shown = await world.operator("dlq.show", seq=entry.seq)
    assert shown == entry
    assert "ack" in shown.letter.body
    assert "private" not in shown.letter.body  # a session is shown to nobody
    await world.operator("dlq.replay", seq=entry.seq)
    assert world.rows("SELECT count(*) FROM assignments WHERE status = 'acknowledged'") == [(100,)]
    assert await letters(world) == []


async def test_a_failing_command_is_answered_and_harms_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.work.ALONE_DELAYS_S", (0.0,))
    _, lease = await world.given("a1")
    with monkeypatch.context() as planted:
        poison(planted, answers, "answer", lease.id)
        problem = await world.refused("a1", "ack", lease)
        assert (problem.status, problem.code, problem.retryable) == (500, "internal", False)
        assert "poison" not in str(problem)
    assert (await world.says("a1", "ack", lease)).accepted


async def test_an_ill_store_is_no_fault_of_a_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.inboxes.GIVE_BACK_S", 0.05)
    held = await many(world, 30)
    sound, tries = world.house.store.run, 0

    async def ill(units: Any, now: int) -> Any:
        nonlocal tries
        tries += 1
        if tries < 8:
            raise StoreFaultError("disk full")
        return await sound(units, now)

    with monkeypatch.context() as planted:
        planted.setattr(world.house.store, "run", ill)
        for number in held:
            await world.leaves("a1", "ack", number)
        await until(
            lambda: world.rows("SELECT count(*) FROM assignments WHERE status = 'acknowledged'") == [(30,)]
        )
    await world.settle()
    assert await letters(world) == []
    assert tries >= 8


async def test_a_command_to_an_ill_store_may_be_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lease = await world.given("a1")

    async def ill(units: Any, now: int) -> Any:
        raise StoreFaultError("/secret/path is full")

    with monkeypatch.context() as planted:
        planted.setattr(world.house.store, "run", ill)
        problem = await world.refused("a1", "ack", lease, command_id="c-1")
        assert (problem.status, problem.code, problem.retryable) == (503, "unavailable", True)
        assert "secret" not in str(problem)
    assert (await world.says("a1", "ack", lease, command_id="c-1")).accepted


async def test_duties_wait_for_an_ill_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = await world.given("a1")

    async def ill(claim: Any, now: int) -> Any:
        raise StoreFaultError("locked")

    with monkeypatch.context() as planted:
        planted.setattr(world.house.store, "claim", ill)
        world.clock.move(world.clock.at + 31 * 60_000_000)
        for duties in world.house.runtime.duties.values():
            for duty in duties:
                duty.ring()
                with pytest.raises(StoreFaultError):
                    await duty.once()
    await world.settle()
    assert (await world.lease(task)).agent == "Ruto"


async def test_there_is_no_such_letter(world: World) -> None:
    for verb in ("show", "replay"):
        with pytest.raises(Refused, match="404 not_found"):
            await world.operator(f"dlq.{verb}", seq=12)


async def test_letters_come_in_pages(world: World) -> None:
    for _ in range(5):
        await world.stores("ack.a1.1", b"{")
    await world.settle()
    first = await world.operator("dlq.ls", limit=2)
    rest = await world.operator("dlq.ls", after=first.next, limit=100)
    assert [entry.seq for entry in (*first.items, *rest.items)] == [1, 2, 3, 4, 5]
    assert rest.next is None
