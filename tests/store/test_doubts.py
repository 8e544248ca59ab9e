"""A ping that was replaced before the bus was known to have it stays in doubt until its mailbox was asked."""

import pytest
from msgspec import structs

from contracts.records import Doubt, PingRow
from contracts.work import Changes, Claim, Post, View
from store.doubts import ASK_AFTER_US, ASKED_MAX
from store.sqlite import SqliteStore
from tests.support.store import NOW, do, fill, ping_post, unit

LATER = NOW + ASK_AFTER_US


async def say(store: SqliteStore, post: Post, now: int = NOW) -> Post:
    """Commit a word, and a ping's place in the history."""
    history = PingRow(
        assignment_id=post.assignment_id or 0,
        attempt=post.attempt or 0,
        agent="a1",
        incarnation="x",
        due_at=now,
        sent_at=now,
    )
    pings = (history,) if post.attempt else ()
    (done,) = await do(store, unit(Changes(pings=pings, posts=(post,))), now=now)
    return done.posts[0]


async def overtaken(store: SqliteStore) -> tuple[Post, Post]:
    """Return a ping that nobody has confirmed, and what replaced it."""
    await fill(store, 1, attempt=1, answered_attempt=1)
    return await say(store, ping_post(1, 1)), await say(store, ping_post(1, None))


def said_again(view: View, row_id: int, _now: int) -> Changes:
    return Changes(assignments=(structs.replace(view.assignments[row_id], restate_at=None),))


async def doubted(store: SqliteStore, now: int = LATER) -> list[Doubt]:
    return await store.doubts(now, 9)


async def test_a_ping_that_is_replaced_is_in_doubt_once_its_follower_was_sent(store: SqliteStore) -> None:
    ping, follower = await overtaken(store)
    assert await doubted(store) == []  # the follower waits in the outbox, and will come after it
    await store.confirm([follower], NOW)
    assert await doubted(store, LATER - 1) == []
    (found,) = await doubted(store)
    assert (found.subject, found.message_id, found.asked) == (ping.subject, ping.message_id, 0)
    assert await store.doubts(LATER, 0) == []


async def test_what_was_confirmed_in_time_is_in_no_doubt(store: SqliteStore) -> None:
    await fill(store, 1)
    await store.confirm([await say(store, ping_post(1, 1))], NOW)
    withdrawn = await say(store, ping_post(1, None))
    await say(store, ping_post(1, 2))  # replaces a withdrawal: nobody is asked for what that hides
    await store.confirm([withdrawn], NOW)
    assert await store.rows("due_doubts", now=2 * NOW, limit=9) == []


async def test_a_ping_that_comes_after_its_doubt_was_settled_is_in_doubt_again(store: SqliteStore) -> None:
    ping, follower = await overtaken(store)
    await store.confirm([follower], NOW)
    for _ in range(ASKED_MAX):
        (found,) = await doubted(store, 2 * NOW)
        await store.settle([(found, False)], found.ask_at)
    assert await doubted(store, 2 * NOW) == []
    await store.confirm([ping], LATER)
    (found,) = await doubted(store, 2 * NOW)
    assert (found.ask_at, found.asked) == (LATER + ASK_AFTER_US, 0)


async def test_the_newest_word_is_said_again_where_the_mailbox_holds_the_older(store: SqliteStore) -> None:
    _, follower = await overtaken(store)
    await store.confirm([follower], NOW)
    (found,) = await doubted(store)
    await store.settle([(found, True)], LATER)
    assert await store.due_at("next_restate_at") == LATER
    assert await doubted(store, 2 * NOW) == []
    claim = Claim(query="claim_restates", rows="assignments", decide=said_again)
    assert len(await store.claim(claim, LATER)) == 1
    await store.settle([(found, True)], LATER)  # another relay asked at the same time
    assert await store.due_at("next_restate_at") is None


async def test_what_the_mailbox_does_not_hold_may_still_come(store: SqliteStore) -> None:
    _, follower = await overtaken(store)
    await store.confirm([follower], NOW)
    waits: list[int] = []
    now = NOW
    while left := await doubted(store, 2 * NOW):
        waits.append((left[0].ask_at - now) // 1_000_000)
        now = left[0].ask_at
        await store.settle([(left[0], False)], now)
    assert waits == [15, 30, 60, 120, 240]
    assert await store.due_at("next_restate_at") is None


async def test_what_the_bus_has_is_asked_for_once(store: SqliteStore) -> None:
    ping, follower = await overtaken(store)
    await store.confirm([ping], NOW)
    await store.confirm([follower], NOW)
    (found,) = await doubted(store)
    await store.settle([(found, False)], LATER)
    assert await doubted(store, 2 * NOW) == []


@pytest.mark.parametrize("holds", [True, False])
async def test_an_answer_from_before_the_ping_came_settles_nothing(
    store: SqliteStore, *, holds: bool
) -> None:
    """A relay asks, the ping comes and is confirmed, and then the relay writes down what it heard."""
    ping, follower = await overtaken(store)
    await store.confirm([follower], NOW)
    (found,) = await doubted(store)
    await store.confirm([ping], LATER)
    await store.settle([(found, holds)], LATER)
    (again,) = await doubted(store, LATER + ASK_AFTER_US)
    assert again == structs.replace(found, ask_at=LATER + ASK_AFTER_US)
    assert await store.due_at("next_restate_at") is None
