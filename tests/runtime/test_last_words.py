"""The last word of a mailbox is the newest one, whatever goes wrong while a process sends an older one."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from bus.last_words import WORDS_MAX, LastWords
from contracts.work import Post, StoreFaultError
from tests.scenarios.test_outages import mailbox
from tests.scenarios.test_overtaking import Gate, answers, hearing, overtaken, speaking, until_mailbox
from tests.support.house import House
from tests.support.nats import until
from tests.support.store import ping_post
from tests.support.world import World, open_world

SECOND_US = 1_000_000
ASKED_AND_TOLD = [("ping", 1), ("withdrawn", None), ("ping", 2), ("withdrawn", None)]


async def heard(world: World, lease: int, *speakers: House) -> list[tuple[str, int | None]]:
    """Let everything be sent, and said again; return what was heard about a lease."""
    await until(lambda: not any(len(house.runtime.outbox) for house in speakers))
    await world.settle()
    for house in speakers:
        world.live_until(world.clock.at + 2 * SECOND_US)
        await house.do_what_is_due()
        await world.settle()
    assert world.rows("SELECT count(*) FROM outbox WHERE slot IS NOT NULL") == [(0,)]
    assert world.rows("SELECT count(*) FROM assignments WHERE restate_at IS NOT NULL") == [(0,)]
    return [(said.body["kind"], said.body.get("attempt")) for said in world.on(f"ping.a1.{lease}")]


async def test_a_late_ping_whose_puback_is_lost_is_not_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        lease, gate = await overtaken(world, monkeypatch)
        await until_mailbox(world, lease)
        gate.losing = 1
        gate.open()
        assert await heard(world, lease, world.houses[1]) == ASKED_AND_TOLD
        assert gate.losing == 0
        assert await mailbox(world, lease) == ("withdrawn", None)


async def test_a_late_ping_that_could_not_be_confirmed_is_not_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        lease, gate = await overtaken(world, monkeypatch)
        store, faults = world.houses[1].store, [StoreFaultError()]
        confirm = store.confirm

        async def ill(posts: Sequence[Post], now: int) -> Sequence[Post]:
            if faults and any(post.slot for post in posts):
                raise faults.pop()
            return await confirm(posts, now)

        monkeypatch.setattr(store, "confirm", ill)
        await until_mailbox(world, lease)
        gate.open()
        assert await heard(world, lease, world.houses[1]) == ASKED_AND_TOLD
        assert faults == []
        assert await mailbox(world, lease) == ("withdrawn", None)


async def test_a_late_ping_whose_follower_is_dropped_is_not_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third ping waits behind the second, but its answer goes out elsewhere before either."""
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        await world.start()
        world.services = speaking
        await world.start()
        speaker = world.houses[1]
        gate = Gate(speaker, monkeypatch)
        task, lease = await world.given("a1")
        await world.forward(minutes=4)
        gate.close()
        world.live_until(world.clock.at + 60 * SECOND_US)
        await speaker.do_what_is_due()
        await until(lambda: gate.waiting == 1)
        ((third_at,),) = world.rows("SELECT ping_at FROM assignments")
        world.live_until(third_at + 1)
        await speaker.do_what_is_due()
        assert (await world.lease(task)).attempt == 3
        await answers(world, lease.id, attempt=3)
        await until_mailbox(world, lease.id)
        world.live_until(world.clock.at + 6 * SECOND_US)
        gate.open()
        assert await heard(world, lease.id, speaker) == ASKED_AND_TOLD
        assert await mailbox(world, lease.id) == ("withdrawn", None)


async def test_a_withdrawal_that_two_relays_send_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, houses=0, services=hearing) as world:
        await world.start()
        world.services = speaking
        await world.start()
        await world.start()
        first, second = world.houses[1:]
        _, lease = await world.given("a1")
        await world.forward(minutes=4)
        origin = Gate(world.houses[0], monkeypatch)
        origin.close()
        world.live_until(world.clock.at + 60 * SECOND_US)
        await first.do_what_is_due()
        await until(lambda: not len(first.runtime.outbox))
        await answers(world, lease.id)
        gates = [Gate(house, monkeypatch) for house in (first, second)]
        for gate in gates:
            gate.close()
        world.live_until(world.clock.at + 11 * SECOND_US)
        for house in (first, second):
            house.runtime.outbox.put(await house.store.unsent(world.clock.at, 100))
        await until(lambda: all(gate.waiting for gate in gates))
        for gate in gates:
            gate.open()
        await until(lambda: not len(first.runtime.outbox) and not len(second.runtime.outbox))
        origin.open()
        said = await heard(world, lease.id, first, second)
        assert said == [("ping", 1), ("ping", 2), ("withdrawn", None)]


def words(versions: int) -> list[Post]:
    """Return versions of one mailbox's row, a second apart."""
    first = structs.replace(ping_post(1, 1), id=5, created_at=0)
    return [
        structs.replace(first, version=number, attempt=number, created_at=number * SECOND_US)
        for number in range(1, versions + 1)
    ]


def test_a_word_is_let_off_until_the_newer_one_ends() -> None:
    older, newer = words(2)
    said = LastWords()
    said.expect(older)
    said.expect(newer)
    assert said.hand_over([older]) == []
    assert said.stored([older], [older], 0) == []
    said.hand_over([newer])
    assert said.stored([newer], [newer], 0) == [(older, newer)]
    assert said.end(newer) == ()


@pytest.mark.parametrize(("late", "left"), [(1, False), (2 * SECOND_US, True)])
def test_a_late_word_may_have_been_sent_before_by_a_sibling(late: int, *, left: bool) -> None:
    """The bus drops it as a repeat: then it does not stand behind the older word of this process."""
    older, newer = words(2)
    said = LastWords()
    said.expect(newer)
    said.hand_over([older, newer])
    assert said.stored([older, newer], [older], late) == [(older,)] * left


def test_what_is_remembered_of_a_slot_is_bounded() -> None:
    many = words(WORDS_MAX + 2)
    said = LastWords()
    assert said.hand_over(many) == many[:2]
    assert said.hand_over(many[-1:]) == []  # tried again
    assert said.end(many[-1]) == tuple(many[2:])
