"""Units of one transaction: written together, and who pays for a failure."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from contracts.errors import NotAllowedNowError
from contracts.records import Assignment, Hold, Policy
from contracts.work import Changes, Committed, Failed, Needs, Unit, View
from store.errors import StatementError, VersionConflictError
from store.sqlite import SqliteStore
from tests.support.store import (
    NOW,
    agent,
    bump,
    command,
    do,
    fact,
    fill,
    get,
    get_lease,
    lease,
    remark,
    sql,
    task,
    unit,
)

ANSWER = Hold(start_at=1, end_at=2)


def moved(view: View) -> Assignment:
    """Return a lease as if it could change its holder."""
    return structs.replace(view.assignments[1], agent="Ruto")


def raising(error: Exception) -> Unit:
    def decide(_view: View, _now: int) -> Changes:
        raise error

    return unit(decide, key="bad")


async def test_a_later_unit_sees_what_an_earlier_one_did_and_the_row_is_written_once(
    store: SqliteStore,
) -> None:
    await fill(store, 1)
    await do(store, bump(note="one"), bump(snoozes=1), bump(note="two"))
    row = await get_lease(store)
    assert (row.note, row.snoozes, row.version) == ("two", 1, 4)
    versions = [
        found.aggregate_version
        for found in await store.rows("audit_of", aggregate="assignment", id="1", after=0, limit=9)
    ]
    assert versions == [2, 3, 4]


async def test_what_throws_is_not_written_and_leaves_no_gap_in_the_audit(store: SqliteStore) -> None:
    await fill(store, 1)
    boom = ZeroDivisionError("boom")
    unwritable = unit(Changes(facts=(fact("x", data={"at": object()}),), tasks=(task(99),)), key="unwritable")
    outcomes = await store.run([bump(note="a"), raising(boom), unwritable, bump(note="b")], NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Failed, Committed]
    assert isinstance(outcomes[1], Failed)
    assert (outcomes[1].key, outcomes[1].error) == ("bad", boom)
    assert (await get_lease(store)).note == "b"
    seqs = [row.seq for row in await store.rows("audit_page", after=0, limit=99)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert not (await get(store, Needs(tasks=(99,)))).tasks


@pytest.mark.parametrize(
    "guilty",
    [
        unit(Changes(tasks=(task(50, priority=9),))),  # a CHECK
        unit(Changes(assignments=(lease(50, 1, "a1"),))),  # a second open lease
        unit(Changes(assignments=(lease(50, 77, "a1"),))),  # no such task
        unit(lambda view, _now: Changes(assignments=(moved(view),)), Needs(assignments=(1,))),  # for good
        unit(remark("x", task_id=77)),
        unit(remark("\ud800")),  # no text
        unit(remark("n" * 10, task_id=2**64)),  # no 64-bit number
        unit(Changes(agents=(agent(50, "RUTO"),))),  # a name, but for its case
        unit(Changes(policies=(Policy(name=object(), steps=(), updated_at=1),))),  # type: ignore[arg-type]
    ],
)
async def test_a_write_that_the_schema_refuses_fails_alone(store: SqliteStore, guilty: Unit) -> None:
    await fill(store, 2)
    decided = 0

    def count(view: View, now: int) -> Changes:
        nonlocal decided
        decided += 1
        return bump(1, note="mine").decide(view, now)

    first = unit(count, Needs(assignments=(1,)), command=command("c1"))
    outcomes = await store.run([first, guilty, bump(2, note="too")], NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Committed]
    assert isinstance(outcomes[1], Failed)
    assert isinstance(outcomes[1].error, StatementError)
    assert decided == 2  # once with the others, once alone
    assert [(await get_lease(store, n)).note for n in (1, 2)] == ["mine", "too"]
    row = await get_lease(store)
    assert row.version == 2
    seqs = [found.seq for found in await store.rows("audit_page", after=0, limit=99)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_single_unit_that_may_not_be_written_fails_without_a_second_try(store: SqliteStore) -> None:
    decided = 0

    def decide(_view: View, _now: int) -> Changes:
        nonlocal decided
        decided += 1
        return remark("x", task_id=77)

    outcome = (await store.run([unit(decide)], NOW))[0]
    assert isinstance(outcome, Failed)
    assert decided == 1


async def test_a_record_seen_at_another_version_is_a_conflict_of_its_own_unit(store: SqliteStore) -> None:
    await fill(store, 3)
    stale = await get_lease(store)
    await do(store, bump(1, note="newer"))
    late = unit(Changes(assignments=(structs.replace(stale, note="stale"),)), Needs(assignments=(1,)))
    unseen = unit(Changes(assignments=(structs.replace(await get_lease(store, 3), note="blind"),)))
    twice = unit(Changes(agents=(agent(2, "a1"),)), Needs(agents=("a1",)))
    outcomes = await store.run([late, unseen, twice, bump(2, note="fine")], NOW)
    assert [isinstance(found, Failed) and type(found.error) for found in outcomes] == [
        VersionConflictError,
        VersionConflictError,
        VersionConflictError,
        False,
    ]
    assert (await get_lease(store)).note == "newer"
    assert (await get_lease(store, 2)).note == "fine"


async def test_the_statement_itself_finds_a_version_that_has_passed(store: SqliteStore, path: Path) -> None:
    await fill(store, 2)

    def behind_its_back(view: View, now: int) -> Changes:
        changes = bump(1, note="late").decide(view, now)
        writing = store._writing._connection._connection  # type: ignore[attr-defined]
        writing.execute("UPDATE assignments SET version = 9 WHERE id = 1")
        return changes

    outcomes = await store.run([unit(behind_its_back, Needs(assignments=(1,))), bump(2, note="fine")], NOW)
    assert isinstance(outcomes[0], Failed)
    assert isinstance(outcomes[0].error, VersionConflictError)
    assert isinstance(outcomes[1], Committed)
    assert (await get_lease(store)).version == 1  # the savepoint took that back too
    assert sql(path, "SELECT count(*) FROM audit WHERE aggregate_id = '1'") == [(0,)]


async def test_reading_units_read_after_the_writing_ones_and_may_not_write(store: SqliteStore) -> None:
    await fill(store, 1)
    notes: list[str | None] = []

    def look(view: View, _now: int) -> Changes:
        notes.append(view.assignments[1].note)
        return Changes(answer=ANSWER)

    def refuse(_view: View, _now: int) -> Changes:
        raise NotAllowedNowError

    reader = unit(look, Needs(assignments=(1,)), reads_only=True)
    writer = unit(remark("x"), reads_only=True, key="writes")
    outcomes = await store.run([reader, bump(note="x"), writer, unit(refuse, reads_only=True)], NOW)
    assert notes == ["x"]
    assert [type(found) for found in outcomes] == [Committed, Committed, Failed, Committed]
    assert isinstance(outcomes[0], Committed)
    assert outcomes[0].answer == b'{"start_at":1,"end_at":2}'
    assert isinstance(outcomes[2], Failed)
    assert "comments" in str(outcomes[2].error)
    assert isinstance(outcomes[3], Committed)
    assert outcomes[3].problem is not None


async def test_casts_and_wakes_are_handed_back(store: SqliteStore) -> None:
    done = (await do(store, unit(Changes(wakes=frozenset({"pinger"})))))[0]
    assert done.wakes == {"pinger"}
    assert (await store.run([], NOW)) == []


async def test_runs_that_come_together_share_commits_and_stay_apart(store: SqliteStore) -> None:
    await fill(store, 40)
    runs = [store.run([bump(number, note="x")], NOW) for number in range(1, 41)]
    outcomes = await asyncio.gather(
        *runs, store.due_at("nothing"), store.run([raising(KeyError("k"))], NOW), return_exceptions=True
    )
    assert all(isinstance(found, list) and isinstance(found[0], Committed) for found in outcomes[:40])
    assert isinstance(outcomes[40], KeyError)
    view = await get(store, Needs(assignments=tuple(range(1, 41))))
    assert {row.version for row in view.assignments.values()} == {2}


async def test_whoever_wants_no_company_sees_the_lease_and_its_task_only(store: SqliteStore) -> None:
    await fill(store, 2)
    seen: list[tuple[set[int], set[int], set[str]]] = []

    def decide(view: View, _now: int) -> Changes:
        seen.append((set(view.assignments), set(view.tasks), set(view.agents)))
        return Changes()

    for alone in (True, False):
        await do(store, unit(decide, Needs(assignments=(2,), alone=alone)))
    assert seen == [({2}, {2}, set()), ({2}, {2}, {"a2"})]
