"""What a unit leaves behind: answers kept for repeats, refusals on record, audit rows, events, posts."""

import msgspec
import pytest
from msgspec import structs

from contracts.errors import IdempotencyMismatchError, NotAllowedNowError, OverloadedError
from contracts.messages import Event
from contracts.records import Hold
from contracts.work import Changes, Lookup, Needs, Unit, View
from store.sqlite import SqliteStore
from tests.support.store import (
    NOW,
    bump,
    command,
    do,
    fact,
    fill,
    get_lease,
    ping_post,
    unit,
)

ANSWER = Hold(start_at=1, end_at=2)


async def test_facts_become_audit_rows_and_events_under_one_id(store: SqliteStore) -> None:
    said = fact("acknowledged", 7, data={"task": 3}, cause="why")
    done = (
        await do(store, unit(Changes(facts=(said, fact("again", 7)), answer=ANSWER), command=command("c9")))
    )[0]
    rows = [row for row in await store.rows("audit_page", after=0, limit=99) if row.aggregate_id == "7"]
    assert [row.seq for row in rows] == [3, 4]  # two stand there since the beginning
    assert [row.cause for row in rows] == ["why", "c9"]
    incarnation = await store.incarnation()
    assert [post.message_id for post in done.posts] == [f"evt:{incarnation}:3", f"evt:{incarnation}:4"]
    event = msgspec.json.decode(done.posts[0].body, type=Event)
    assert (event.seq, event.event, event.data, event.version) == (3, "acknowledged", {"task": 3}, 1)
    unsent = {post.id: post for post in await store.unsent(NOW + 1, 99)}
    assert [unsent[post.id] for post in done.posts] == list(done.posts)
    assert done.answer == b'{"start_at":1,"end_at":2}'


async def test_a_good_batch_is_decided_once_however_its_units_meet(store: SqliteStore) -> None:
    await fill(store, 2)
    decided: list[str] = []

    def counted(name: str, inner: Unit) -> Unit:
        def decide(view: View, now: int) -> Changes:
            decided.append(name)
            return inner.decide(view, now)

        return structs.replace(inner, decide=decide)

    once = structs.replace(bump(1, note="a"), command=command("c1"))
    units = [
        counted("first", once),
        counted("again", once),
        counted("same row", bump(1, note="b")),
        counted("neighbour", bump(2, note="c")),
        counted("slot", unit(Changes(posts=(ping_post(1, 1),), facts=(fact("x"), fact("y"))))),
        counted("same slot", unit(Changes(posts=(ping_post(1, 2),), facts=(fact("z"),)))),
    ]
    await do(store, *units)
    assert decided == ["first", "same row", "neighbour", "slot", "same slot"]


async def test_a_repeated_command_gets_its_stored_answer(store: SqliteStore) -> None:
    await fill(store, 1)
    once = structs.replace(bump(note="x"), command=command("c1"))
    first = (await do(store, once))[0]
    assert not first.repeated
    again, other_actor, beside = await do(
        store, once, structs.replace(once, command=command("c1", actor="agent:b")), bump(snoozes=1)
    )
    assert (again.repeated, again.answer, again.posts) == (True, first.answer, ())
    assert not other_actor.repeated
    assert not beside.repeated
    assert (await get_lease(store)).version == 4


async def test_the_same_command_twice_in_one_batch_is_done_once(store: SqliteStore) -> None:
    await fill(store, 1)
    once = structs.replace(bump(note="x"), command=command("c1"))
    other = structs.replace(bump(note="y"), command=command("c1", b"another body"))
    first, second, third = await do(store, once, once, other)
    assert [first.repeated, second.repeated, third.repeated] == [False, True, False]
    assert third.problem == IdempotencyMismatchError().problem()
    assert (await get_lease(store)).version == 2
    again = (await do(store, other))[0]
    assert again.problem is not None
    assert again.problem.code == "idempotency_mismatch"


async def test_a_refusal_is_kept_under_its_command_and_put_on_record(store: SqliteStore) -> None:
    await fill(store, 1)

    def refuse(_view: View, _now: int) -> Changes:
        raise NotAllowedNowError("no", status="done")

    asked = unit(
        refuse, Needs(assignments=(1,)), command=command("c1"), actor="agent:a1", refusals=("assignment", "1")
    )
    first, second = await do(store, asked, asked)
    assert first.problem is not None
    assert (first.problem.code, first.problem.state, first.repeated) == (
        "not_allowed_now",
        {"status": "done"},
        False,
    )
    assert (second.problem, second.repeated) == (first.problem, True)
    rows = await store.rows("audit_of", aggregate="assignment", id="1", after=0, limit=9)
    assert [(row.event, row.aggregate_version, row.actor, row.cause) for row in rows] == [
        ("refused", 1, "agent:a1", "c1")
    ]
    assert [post.stream for post in first.posts] == ["EVENTS"]


@pytest.mark.parametrize(
    ("refusals", "needs", "version"),
    [
        (("task", "1"), Needs(tasks=(1,)), 1),
        (("agent", "A1"), Needs(agents=("a1",)), 1),
        (("task", "x"), Needs(), 0),
        (("assignment", "9"), Needs(assignments=(9,)), 0),
    ],
)
async def test_a_refusal_names_the_version_it_met(
    store: SqliteStore, refusals: tuple[str, str], needs: Needs, version: int
) -> None:
    await fill(store, 1)

    def refuse(_view: View, _now: int) -> Changes:
        raise NotAllowedNowError

    await do(store, unit(refuse, needs, refusals=refusals))
    row = (await store.rows("audit_page", after=0, limit=99))[-1]
    assert (row.event, row.aggregate, row.aggregate_id, row.aggregate_version) == (
        "refused",
        *refusals,
        version,
    )


async def test_a_refusal_that_will_pass_is_not_kept(store: SqliteStore) -> None:
    tries = 0

    def decide(_view: View, _now: int) -> Changes:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OverloadedError
        return Changes(answer=ANSWER)

    asked = unit(decide, command=command("c1"))
    assert (await do(store, asked))[0].problem is not None
    done = (await do(store, asked))[0]
    assert (done.problem, done.repeated) == (None, False)


async def test_posts_of_a_slot_replace_each_other_and_their_versions_go_on(store: SqliteStore) -> None:
    await fill(store, 1)
    first = (await do(store, unit(Changes(posts=(ping_post(1, 1),)))))[0].posts[0]
    assert first.version == 1
    overtaken, last = await do(
        store, unit(Changes(posts=(ping_post(1, 2),))), unit(Changes(posts=(ping_post(1, 3, b"[3]"),)))
    )
    assert overtaken.posts == ()
    second = last.posts[0]
    assert (second.id, second.version, second.attempt) == (first.id, 2, 3)
    assert [post for post in await store.unsent(NOW + 1, 9) if post.slot] == [second]
    assert await store.current([first, second]) == [second]
    await store.confirm([first], NOW)
    assert await store.current([second]) == [second]
    await store.confirm([second], NOW)
    assert await store.current([second]) == []
    third = (await do(store, unit(Changes(posts=(ping_post(1, 4),)))))[0].posts[0]
    assert third.id != first.id
    assert third.version == 1


async def test_a_slot_written_before_a_lookup_and_after_it_stands_once(store: SqliteStore) -> None:
    await fill(store, 1)
    lookup = Lookup(query="list_policies")
    units = [
        unit(Changes(posts=(ping_post(1, 1),))),
        unit(Changes(posts=(ping_post(1, 2),)), Needs(lookups=(lookup,))),
    ]
    before, after = await do(store, *units)
    assert before.posts == ()
    assert (after.posts[0].version, after.posts[0].attempt) == (2, 2)
    assert await store.current(after.posts) == list(after.posts)
