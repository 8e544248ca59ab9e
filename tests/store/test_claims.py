"""Claims: what is due, in its order, by several claimers, and what becomes of rows whose decision throws."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from contracts.errors import ConflictError
from contracts.messages import DeadLetter
from contracts.records import PingRow
from contracts.work import Changes, Claim, Committed, Failed, Needs, View
from store.open import open_store
from store.sqlite import SqliteStore
from tests.support.store import (
    MINUTE,
    NOW,
    agent,
    bump,
    do,
    fill,
    get,
    get_lease,
    ping_post,
    sql,
    stamp,
    task,
    unit,
)


def ping(view: View, row_id: int, now: int) -> Changes:
    row = view.assignments[row_id]
    after = structs.replace(row, attempt=row.attempt + 1, ping_at=now + 30 * MINUTE)
    history = PingRow(
        assignment_id=row.id,
        attempt=after.attempt,
        agent=row.agent,
        incarnation=view.incarnation,
        due_at=row.ping_at or 0,
        sent_at=now,
    )
    return Changes(assignments=(after,), pings=(history,), posts=(ping_post(row.id, after.attempt),))


HEARD = (("misses", 3), ("heard_since", 0), ("heard_until", NOW))  # by whoever has listened all the time
PINGS = Claim(query="claim_pings", rows="assignments", decide=ping)


def order_of(seen: list[int]) -> Claim:
    def decide(_view: View, row_id: int, _now: int) -> Changes:
        seen.append(row_id)
        return Changes()

    return Claim(query="", rows="assignments", decide=decide)


async def test_what_is_due_is_claimed_decided_and_written_at_once(store: SqliteStore) -> None:
    await fill(store, 3, ping_at=NOW)
    await do(store, bump(2, ping_at=NOW + 1))
    done = await store.claim(PINGS, NOW)
    assert [isinstance(found, Committed) and found.posts[0].assignment_id for found in done] == [1, 3]
    row = await get_lease(store)
    assert (row.attempt, row.version) == (1, 3)  # the claim raises it too
    assert await store.claim(PINGS, NOW) == []
    pings = await store.rows("assignment_pings", assignment_id=1)
    assert [(found.attempt, found.published_at) for found in pings] == [(1, None)]
    posts = [post for found in done if isinstance(found, Committed) for post in found.posts]
    await store.confirm(posts, NOW + 5)
    pings = await store.rows("assignment_pings", assignment_id=1)
    assert [found.published_at for found in pings] == [NOW + 5]
    await store.confirm([], NOW)
    assert await store.current([]) == []


async def test_a_ping_that_was_replaced_still_counts_as_published(store: SqliteStore) -> None:
    await fill(store, 1, ping_at=NOW)
    first = (await store.claim(PINGS, NOW))[0]
    second = (await store.claim(PINGS, NOW + 30 * MINUTE))[0]
    assert isinstance(first, Committed)
    assert isinstance(second, Committed)
    assert await store.confirm(first.posts, NOW + 7) == list(first.posts)
    assert await store.confirm(first.posts, NOW + 8) == []  # the history tells that this one was published
    assert await store.current(second.posts) == list(second.posts)
    pings = await store.rows("assignment_pings", assignment_id=1)
    assert [found.published_at for found in pings] == [NOW + 7, None]


async def test_what_was_confirmed_in_its_place_was_not_replaced(store: SqliteStore) -> None:
    await fill(store, 2, ping_at=NOW)
    done = await store.claim(PINGS, NOW)
    posts = [post for found in done if isinstance(found, Committed) for post in found.posts]
    assert len(posts) == 2
    assert await store.confirm(posts, NOW) == []
    assert await store.confirm(posts, NOW) == []


async def test_a_word_that_was_overtaken_is_due_to_be_said_again(store: SqliteStore) -> None:
    await fill(store, 2)
    await store.restate([ping_post(2, 1)], NOW + 1)
    assert await store.due_at("next_restate_at") == NOW + 1
    seen: list[int] = []

    def decide(view: View, row_id: int, _now: int) -> Changes:
        seen.append(row_id)
        row = structs.replace(view.assignments[row_id], restate_at=None)
        return Changes(assignments=(row,))

    claim = Claim(query="claim_restates", rows="assignments", decide=decide)
    await store.claim(claim, NOW)
    assert seen == []
    await store.claim(claim, NOW + 1)
    assert seen == [2]
    assert await store.due_at("next_restate_at") is None


async def test_a_claim_takes_no_more_than_its_limit_most_overdue_first(store: SqliteStore) -> None:
    await fill(store, 5)
    for number, at in ((1, 50), (2, 10), (3, 40), (4, 30), (5, 20)):
        await do(store, bump(number, ping_at=NOW + at))
    seen: list[int] = []
    claim = structs.replace(order_of(seen), query="claim_pings", limit=3)
    assert len(await store.claim(claim, NOW + 99)) == 3
    assert seen == [2, 5, 4]


async def test_tasks_are_assigned_by_priority_then_due_date_then_age(store: SqliteStore) -> None:
    made = [
        task(1, priority=2, assign_at=NOW, created_at=NOW - 9),
        task(2, priority=2, assign_at=NOW, created_at=NOW - 10),
        task(3, priority=2, assign_at=NOW, due_at=NOW + 9),
        task(4, priority=0, assign_at=NOW - 1),
        task(5, priority=2, assign_at=NOW, due_at=NOW + 8),
        task(6, priority=0, assign_at=NOW + 1),
        task(7, priority=0),
    ]
    await do(store, unit(Changes(tasks=tuple(made))))
    seen: list[int] = []
    claim = structs.replace(order_of(seen), query="claim_assignable", rows="tasks")
    await store.claim(structs.replace(claim, params=(("until", NOW),), limit=2), NOW)
    assert seen == [4, 5]
    seen.clear()
    await store.claim(structs.replace(claim, params=(("until", NOW),)), NOW)
    assert seen == [4, 5, 3, 2, 1]
    seen.clear()
    await store.claim(structs.replace(claim, params=(("until", NOW + 1),)), NOW)  # before its own next try
    assert seen == [4, 6, 5, 3, 2, 1]


async def test_deadlines_wait_for_answers_that_are_on_their_way(store: SqliteStore) -> None:
    await fill(store, 4)
    for number, status in ((1, "pending"), (2, "waiting"), (3, "snoozed"), (4, "pending")):
        await do(store, bump(number, status=status, deadline_at=NOW + number))
    seen: list[int] = []
    claim = structs.replace(order_of(seen), query="claim_deadlines", needs=Needs(clocks=True))
    await store.claim(claim, NOW + 9)
    assert seen == [2, 3]  # nobody has said yet up to when answers are handled
    seen.clear()
    await store.answered(NOW + 2, stamp())
    await store.claim(claim, NOW + 9)
    assert seen == [1, 2, 3]
    seen.clear()
    await store.answered(NOW + 9, stamp())
    await store.claim(claim, NOW + 9)
    assert seen == [1, 2, 3, 4]


async def test_silent_agents_are_claimed_by_id_and_seen_by_name(store: SqliteStore) -> None:
    made = (agent(2, "Quiet", silent_at=NOW), agent(3, "loud", silent_at=NOW + 1), agent(4, "web"))
    await do(store, unit(Changes(agents=made)))
    names: list[str] = []

    def decide(view: View, row_id: int, _now: int) -> Changes:
        found = next(iter(view.agents.values()))
        assert found.id == row_id
        names.append(found.name)
        return Changes(agents=(structs.replace(found, silent_at=None, suspect_at=NOW),))

    behind = (*HEARD[:2], ("heard_until", NOW - 1))  # somebody who has not written yet what came since
    quiet = Claim(query="claim_silent", rows="agents", decide=decide, params=behind)
    assert await store.claim(quiet, NOW) == []
    assert await store.claim(structs.replace(quiet, params=HEARD), NOW) == []  # answers may be unhandled
    await store.answered(NOW, stamp())
    await store.claim(structs.replace(quiet, params=HEARD), NOW)
    assert names == ["Quiet"]
    assert (await get(store, Needs(agents=("quiet",)))).agents["quiet"].suspect_at == NOW
    assert await store.due_at("next_silent_at") == NOW + 1


async def test_due_at_names_the_earliest_instant(store: SqliteStore) -> None:
    for query in ("next_ping_at", "next_deadline_at", "next_assign_at", "next_silent_at"):
        assert await store.due_at(query) is None
    await fill(store, 2, ping_at=NOW + 5, deadline_at=NOW + 7)
    await do(store, bump(2, ping_at=NOW + 4), unit(Changes(tasks=(task(9, assign_at=NOW + 3),))))
    assert await store.due_at("next_ping_at") == NOW + 4
    assert await store.due_at("next_deadline_at") == NOW + 7
    assert await store.due_at("next_assign_at") == NOW + 3


async def test_an_unknown_claim_is_the_caller_s_mistake(store: SqliteStore) -> None:
    with pytest.raises(KeyError):
        await store.claim(structs.replace(PINGS, query="claim_nothing"), NOW)
    assert await store.claim(PINGS, NOW) == []


@pytest.mark.parametrize("error", [ZeroDivisionError("boom"), ConflictError("nobody hears this")])
async def test_a_row_whose_decision_throws_fails_alone(store: SqliteStore, error: Exception) -> None:
    await fill(store, 3, ping_at=NOW)

    def decide(view: View, row_id: int, now: int) -> Changes:
        if row_id == 2:
            raise error
        return ping(view, row_id, now)

    outcomes = await store.claim(structs.replace(PINGS, decide=decide), NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Committed]
    assert outcomes[1] == Failed(key="assignments:2", error=error, row=2, rows="assignments", version=2)
    assert (await get_lease(store, 2)).ping_at == NOW


async def test_a_row_whose_write_is_refused_fails_alone(store: SqliteStore) -> None:
    await fill(store, 3, ping_at=NOW)
    sql(store.path, "INSERT INTO pings VALUES (2, 1, 'a2', 'x', 0, 0, NULL)")
    outcomes = await store.claim(PINGS, NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Committed]
    assert [(await get_lease(store, number)).attempt for number in (1, 2, 3)] == [1, 0, 1]


async def test_a_poisoned_row_is_put_aside_loudly_and_can_be_put_back(store: SqliteStore, path: Path) -> None:
    await fill(store, 2, ping_at=NOW, deadline_at=NOW + 1)
    sql(path, "UPDATE assignments SET status = 'pending', accept_us = 'soon' WHERE id = 2")
    failed = (await store.claim(PINGS, NOW))[1]
    assert isinstance(failed, Failed)
    done = await store.quarantine(failed, NOW)
    assert sql(path, "SELECT ping_at, deadline_at, version FROM assignments WHERE id = 2") == [
        (None, None, 3)
    ]
    assert "accept_us" in sql(path, "SELECT quarantined FROM assignments WHERE id = 2")[0][0]
    letter_post, event = done.posts
    assert (letter_post.stream, letter_post.subject) == ("DLQ", "dlq.rows.assignments")
    letter = msgspec.json.decode(letter_post.body, type=DeadLetter)
    assert (letter.source, letter.stream, letter.row) == ("row", "assignments", 2)
    assert event.subject == "evt.assignment.2.quarantined"
    assert (await store.rows("figures"))[0].quarantined == 1
    sql(path, "UPDATE assignments SET accept_us = 5 WHERE id = 2")
    back = await store.release("assignments", 2, NOW + 9)
    assert back.wakes == {"pinger", "escalator"}
    row = await get_lease(store, 2)
    assert (row.ping_at, row.deadline_at, row.quarantined) == (NOW + 9, NOW + 9, None)
    assert (await store.release("assignments", 2, NOW + 9)).posts == ()  # done already
    assert (await store.quarantine(structs.replace(failed, row=99), NOW)).posts == ()


async def test_a_row_that_changed_since_it_was_claimed_is_not_put_aside(store: SqliteStore) -> None:
    """The agent has answered meanwhile: what could not be decided then is not what stands there now."""
    await fill(store, 2, ping_at=NOW, deadline_at=NOW + 1)

    def broken(view: View, row_id: int, now: int) -> Changes:
        raise ValueError("boom")

    first, second = await store.claim(Claim(query="claim_pings", rows="assignments", decide=broken), NOW)
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert (first.row, first.version, second.row, second.version) == (1, 2, 2, 2)
    await do(store, bump(1, note="here I am"))
    assert (await store.quarantine(first, NOW)).posts == ()
    assert len((await store.quarantine(second, NOW)).posts) == 2
    assert [(await get_lease(store, number)).quarantined for number in (1, 2)] == [None, "ValueError: boom"]


async def test_tasks_and_agents_are_put_aside_too(store: SqliteStore) -> None:
    await do(
        store,
        unit(
            Changes(tasks=(task(1, assign_at=NOW),), agents=(agent(2, "a1", silent_at=NOW, joined_at=NOW),))
        ),
    )
    boom = ValueError("boom")
    await store.quarantine(Failed(key="k", error=boom, row=1, rows="tasks", version=1), NOW)
    await store.quarantine(Failed(key="k", error=boom, row=2, rows="agents", version=1), NOW)
    assert await store.due_at("next_assign_at") is None
    assert await store.due_at("next_silent_at") is None
    assert (await store.release("tasks", 1, NOW + 3)).wakes == {"assigner"}
    assert (await store.release("agents", 2, NOW + 4)).wakes == {"monitor"}
    assert await store.due_at("next_assign_at") == NOW + 3
    assert await store.due_at("next_silent_at") == NOW + 4
    rows = await store.rows("audit_page", after=2, limit=9)
    said = [(row.aggregate, row.aggregate_id, row.event) for row in rows]
    assert said == [
        ("task", "1", "quarantined"),
        ("agent", "a1", "quarantined"),
        ("task", "1", "put_back"),
        ("agent", "a1", "put_back"),
    ]
    with pytest.raises(ValueError, match="meta"):
        await store.release("meta", 1, NOW)


@pytest.mark.parametrize(
    ("fields", "ping_at", "deadline_at"),
    [
        ({"status": "waiting"}, None, NOW),
        ({"pings_enabled": False}, None, NOW),
        ({"status": "completed", "end_reason": "completed", "ended_at": NOW}, None, None),
    ],
)
async def test_what_is_put_back_has_the_clocks_of_its_state(
    store: SqliteStore, fields: dict[str, Any], ping_at: int | None, deadline_at: int | None
) -> None:
    await fill(store, 1)
    await do(store, bump(quarantined="why", **fields))
    await store.release("assignments", 1, NOW)
    row = await get_lease(store)
    assert (row.ping_at, row.deadline_at, row.quarantined) == (ping_at, deadline_at, None)


async def test_two_connections_never_claim_one_row_twice(store: SqliteStore, path: Path) -> None:
    await fill(store, 1000, ping_at=NOW)
    other = await open_store(path, now=NOW, rng=random.Random(2))
    claim = structs.replace(PINGS, limit=37)
    taken: Counter[int] = Counter()

    async def work(claimer: SqliteStore) -> None:
        while outcomes := await claimer.claim(claim, NOW):
            for found in outcomes:
                assert isinstance(found, Committed)
                taken.update(post.assignment_id for post in found.posts if post.assignment_id)

    await asyncio.gather(work(store), work(other), work(other))
    await other.close()
    assert taken == Counter(range(1, 1001))


CLAIMER = """
import asyncio, sys
from pathlib import Path
from msgspec import structs
from contracts.work import Changes, Claim, Committed
from store.open import open_store

def decide(view, row_id, now):
    row = view.assignments[row_id]
    return Changes(assignments=(structs.replace(row, ping_at=None, attempt=row.attempt + 1),))

async def main():
    store = await open_store(Path(sys.argv[1]), now=0)
    print("ready", flush=True)
    sys.stdin.readline()
    claim = Claim(query="claim_pings", rows="assignments", decide=decide, limit=50)
    while outcomes := await store.claim(claim, int(sys.argv[2])):
        assert all(isinstance(found, Committed) for found in outcomes)
        print(len(outcomes), flush=True)
    await store.close()

asyncio.run(main())
"""


def claimers(path: Path) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CLAIMER, str(path), str(NOW)]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    return [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) for _ in range(2)]


async def test_two_processes_never_claim_one_row_twice(store: SqliteStore, path: Path) -> None:
    await fill(store, 1000, ping_at=NOW)
    processes = claimers(path)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = await asyncio.gather(*(asyncio.to_thread(process.communicate, "go\n") for process in processes))
    assert sum(int(count) for out, _ in said for count in out.split()) == 1000
    assert sql(path, "SELECT min(attempt), max(attempt), max(version) FROM assignments") == [(1, 1, 3)]
    assert [process.returncode for process in processes] == [0, 0]


async def test_an_agent_that_left_is_put_back_and_not_judged_by_silence(store: SqliteStore) -> None:
    gone = agent(2, "a2", joined_at=NOW, left_at=NOW + 1)
    lost = agent(3, "a3", joined_at=NOW, left_at=NOW + 1, dead_at=NOW + 2)
    await do(store, unit(Changes(agents=(gone, lost))))
    await store.release("agents", 2, NOW + 4)
    assert await store.due_at("next_silent_at") is None
    await store.release("agents", 3, NOW + 5)
    assert await store.due_at("next_silent_at") == NOW + 5
