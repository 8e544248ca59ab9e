"""What a stream refuses for good is put aside with the reason: it is neither sent for ever nor lost."""

import msgspec
import pytest

from bus.api import Incoming
from contracts.operations.dead_letters import Entry
from contracts.work import Changes, Committed, Needs, Post, Unit
from tests.support.nats import until
from tests.support.world import World

TOO_LARGE = 70_000  # a ping may have 64 KiB
DLQ = "ROLLCALL_DLQ"


async def letters(world: World) -> list[Entry]:
    return list((await world.operator("dlq.ls")).items)


async def commit(world: World, *bodies: bytes) -> None:
    """Commit posts as a service does; they go to the bus at once."""
    posts = tuple(
        Post(
            stream="PINGS",
            subject=f"in.ping.a1.{number}",
            message_id=f"test:{number}",
            body=body,
            created_at=world.clock.at,
        )
        for number, body in enumerate(bodies, 1)
    )
    unit = Unit(key="test", needs=Needs(), decide=lambda _view, _now: Changes(posts=posts))
    (done,) = await world.house.store.run([unit], world.clock.at)
    assert isinstance(done, Committed)
    world.house.runtime.outbox.put(done.posts)
    await until(lambda: world.house.idle)
    await world.settle()


async def letters_of_at_most(world: World, size: int) -> None:
    """Let the stream of dead letters take no larger ones; -1: of any size."""
    info: Incoming = await world.bus.request(f"$JS.API.STREAM.INFO.{DLQ}", b"", timeout_s=5)
    config = msgspec.json.decode(info.data)["config"] | {"max_msg_size": size}
    answer = await world.bus.request(f"$JS.API.STREAM.UPDATE.{DLQ}", msgspec.json.encode(config), timeout_s=5)
    assert msgspec.json.decode(answer.data)["config"]["max_msg_size"] == size


async def test_a_refused_post_becomes_a_dead_letter_and_its_neighbours_are_sent(world: World) -> None:
    await commit(world, b'"first"', b"x" * TOO_LARGE, b'"last"')
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
    (entry,) = await letters(world)
    letter = entry.letter
    assert (letter.source, letter.stream) == ("message", "ROLLCALL_PINGS")
    assert (letter.subject, letter.body) == ("rollcall.v1.in.ping.a1.2", "x" * TOO_LARGE)
    assert "maximum" in letter.reason
    (fact,) = world.events("post_refused")
    assert fact["data"]["subject"] == "in.ping.a1.2"
    assert [heard.subject for heard in world.on("ping.a1")] == ["ping.a1.1", "ping.a1.3"]


async def test_a_refused_dead_letter_is_kept_without_its_body(world: World) -> None:
    await letters_of_at_most(world, 2_000)
    await commit(world, b"x" * TOO_LARGE)
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
    (entry,) = await letters(world)
    assert (entry.letter.subject, entry.letter.body) == ("rollcall.v1.in.ping.a1.1", "")
    assert "the body of 70000 bytes" in entry.letter.reason


async def test_nothing_is_sent_for_ever_though_no_letter_is_taken(world: World) -> None:
    await letters_of_at_most(world, 10)
    await commit(world, b"x" * TOO_LARGE)
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert await letters(world) == []
    assert len(world.events("post_refused")) == 3  # the post, the letter, and what was left of the letter


async def test_an_unreadable_answer_is_kept_without_its_body_when_it_is_too_large(world: World) -> None:
    await letters_of_at_most(world, 2_000)
    await world.stores("ack.a1.1", b"x" * 5_000)
    await world.settle()
    (entry,) = await letters(world)
    assert (entry.letter.consumer, entry.letter.body) == ("answers", "")
    assert entry.letter.reason.startswith("malformed")


async def test_the_only_copy_of_an_answer_stays_on_the_bus(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.inboxes.GIVE_BACK_S", 0.05)
    await letters_of_at_most(world, 10)
    given_back = 0
    give_back = Incoming.nak

    def counted(message: Incoming, delay_s: float = 0.0) -> None:
        nonlocal given_back
        given_back += 1
        give_back(message, delay_s)

    monkeypatch.setattr(Incoming, "nak", counted)
    await world.stores("ack.a1.1", b"x" * 5_000)
    await until(lambda: given_back >= 2)
    assert (await world.bus.backlog("ROLLCALL_ACKS")).count == 1
    await letters_of_at_most(world, -1)
    await world.settle()
    (entry,) = await letters(world)
    assert entry.letter.body == "x" * 5_000
