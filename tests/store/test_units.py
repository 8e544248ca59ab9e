"""Units of one transaction: what they see of each other, what is written, and who pays for a failure."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from contracts.errors import IdempotencyMismatchError, NotAllowedNowError, OverloadedError
from contracts.messages import Event
from contracts.records import Escalation, Hold, Policy, PolicyStep
from contracts.work import Changes, Committed, Failed, Lookup, Needs, Unit, View
from store.errors import StatementError, VersionConflictError
from store.sqlite import SqliteStore
from tests.support.store import (
    NOW,
    agent,
    bump,
    command,
    do,
    ended,
    fact,
    fill,
    get,
    get_lease,
    lease,
    ping_post,
    remark,
    sql,
    task,
    unit,
)

ANSWER = Hold(start_at=1, end_at=2)


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


async def test_a_unit_sees_its_keys_with_their_company_and_nothing_of_its_neighbours(
    store: SqliteStore,
) -> None:
    await fill(store, 3)
    seen: list[View] = []

    def look(view: View, _now: int) -> Changes:
        seen.append(view)
        return Changes()

    await do(
        store, unit(look, Needs(assignments=(1,))), unit(look, Needs(tasks=(2,), agents=("A3", "nobody")))
    )
    first, second = seen
    assert (list(first.assignments), list(first.tasks), list(first.agents)) == ([1], [1], ["a1"])
    assert (list(second.assignments), list(second.tasks)) == ([2], [2])
    assert set(second.agents) == {"a2", "a3"}
    assert list(first.policies) == ["default"]
    assert not first.candidates
    assert first.incarnation == await store.incarnation()


async def test_an_escalation_comes_with_its_lease(store: SqliteStore) -> None:
    await fill(store, 1)

    def escalate(view: View, now: int) -> Changes:
        made = Escalation(
            id=view.new_id("escalations"),
            task_id=1,
            round=1,
            policy="p",
            steps=(PolicyStep(kind="main"),),
            started_at=now,
        )
        return Changes(
            escalations=(made,), assignments=(structs.replace(view.assignments[1], escalation_id=made.id),)
        )

    await do(store, unit(escalate, Needs(assignments=(1,))))
    view = await get(store, Needs(assignments=(1,)))
    assert view.escalations[1].steps == (PolicyStep(kind="main"),)

    def go_on(view: View, _now: int) -> Changes:
        return Changes(escalations=(structs.replace(view.escalations[1], position=1),))

    await do(store, unit(go_on, Needs(assignments=(1,))))
    assert (await get(store, Needs(assignments=(1,)))).escalations[1].version == 2


async def test_a_unit_can_use_what_an_earlier_one_has_made(store: SqliteStore) -> None:
    def make(view: View, _now: int) -> Changes:
        return Changes(
            agents=(agent(view.new_id("agents"), "New", leases=1),),
            tasks=(task(view.new_id("tasks"), key="k1"),),
        )

    def assign(view: View, _now: int) -> Changes:
        found = view.tasks[view.task_ids["k1"]]
        made = lease(view.new_id("assignments"), found.id, view.agents["new"].name)
        after = structs.replace(found, status="in_progress", assignment_id=made.id, agent="New")
        return Changes(assignments=(made,), tasks=(after,))

    held: list[int] = []

    def hold(view: View, _now: int) -> Changes:
        held.extend(view.assignments)
        return Changes()

    await do(
        store,
        unit(make),
        unit(assign, Needs(task_keys=("k1", "k2"), agents=("NEW",))),
        unit(hold, Needs(agents=("new",), leases=True)),
    )
    assert held == [1]
    view = await get(store, Needs(task_keys=("k1",)))
    assert view.tasks[1].version == 2
    assert view.assignments[1].agent == "New"


async def test_whom_a_row_mentions_comes_along_when_it_is_an_agent(store: SqliteStore) -> None:
    await fill(store, 4)
    await do(
        store,
        bump(1, offered_by="A2", wait_who="a3"),
        bump(4, wait_who="the plumber"),
        unit(
            Changes(
                policies=(Policy(name="p", steps=(PolicyStep(kind="notify", who="A4"),), updated_at=NOW),)
            )
        ),
    )
    assert set((await get(store, Needs(assignments=(1,)))).agents) == {"a1", "a2", "a3"}
    assert set((await get(store, Needs(assignments=(4,)))).agents) == {"a4"}
    assert set((await get(store, Needs(policies=("p",)))).agents) == {"a4"}


async def test_leases_follow_what_earlier_units_did(store: SqliteStore) -> None:
    await fill(store, 2)
    seen: list[list[int]] = []

    def swap(view: View, _now: int) -> Changes:
        old = view.assignments[1]
        made = lease(view.new_id("assignments"), 1, "a2", epoch=2)
        after = structs.replace(view.tasks[1], assignment_id=made.id, agent="a2")
        return Changes(assignments=(ended(old), made), tasks=(after,))

    def look(view: View, _now: int) -> Changes:
        seen.append(sorted(view.assignments))
        return Changes()

    needs = Needs(agents=("a2",), leases=True)
    await do(store, unit(look, needs), unit(swap, Needs(assignments=(1,))), unit(look, needs))
    assert seen == [[2], [2, 3]]
    assert sorted((await get(store, structs.replace(needs, assignments=(2,)))).assignments) == [2, 3]
    assert sorted((await get(store, needs)).assignments) == [2, 3]
    assert not (await get(store, Needs(agents=("a1",), leases=True))).assignments


async def test_candidates_are_those_with_room_and_the_main_agents_as_earlier_units_left_them(
    store: SqliteStore,
) -> None:
    def make(view: View, _now: int) -> Changes:
        made: list[tuple[str, dict[str, Any]]] = [
            ("free", {}),
            ("full", {"leases": 1}),
            ("gone", {"active": False}),
            ("boss", {"kind": "main_agent", "capacity": 0}),
        ]
        return Changes(agents=tuple(agent(view.new_id("agents"), name, **fields) for name, fields in made))

    seen: list[set[str]] = []

    def turn(view: View, _now: int) -> Changes:
        seen.append({found.name for found in view.candidates})
        free, full = view.agents["free"], view.agents["full"]
        return Changes(agents=(structs.replace(free, leases=1), structs.replace(full, leases=0)))

    needs = Needs(agents=("free", "full"), candidates=True)
    await do(store, unit(make), unit(turn, needs))
    assert seen == [{"free", "Ruto", "boss"}]
    names = {found.name for found in (await get(store, Needs(candidates=True))).candidates}
    assert names == {"full", "Ruto", "boss"}


async def test_who_gave_a_task_up_is_excluded_in_that_round_only(store: SqliteStore) -> None:
    await fill(store, 1)

    def pass_on(view: View, _now: int) -> Changes:
        made = lease(view.new_id("assignments"), 1, "Ruto")
        return Changes(
            assignments=(ended(view.assignments[1], "declined"), made),
            tasks=(structs.replace(view.tasks[1], assignment_id=made.id, agent="Ruto"),),
        )

    seen: list[frozenset[str]] = []

    def new_round(view: View, _now: int) -> Changes:
        seen.append(view.excluded[1])
        return Changes(tasks=(structs.replace(view.tasks[1], round=2),))

    def look(view: View, _now: int) -> Changes:
        seen.append(view.excluded[1])
        return Changes()

    needs = Needs(tasks=(1,), excluded=True)
    await do(store, unit(look, needs), unit(pass_on, Needs(assignments=(1,))), unit(look, needs))
    await do(store, unit(look, needs), unit(new_round, needs), unit(look, needs))
    assert seen == [set(), {"a1"}, {"a1"}, {"a1"}, set()]


async def test_dependents_come_as_tasks_and_follow_earlier_units(store: SqliteStore) -> None:
    seen: list[dict[int, tuple[int, ...]]] = []

    def make(view: View, _now: int) -> Changes:
        ids = [view.new_id("tasks") for _ in range(3)]
        return Changes(tasks=tuple(task(found) for found in ids), dependencies=((2, 1),))

    def look(view: View, _now: int) -> Changes:
        assert all(found in view.tasks for waiting in view.dependents.values() for found in waiting)
        seen.append(dict(view.dependents))
        return Changes()

    needs = Needs(tasks=(1,), dependents=True)
    await do(store, unit(make), unit(look, needs))
    await do(store, unit(look, needs), unit(Changes(dependencies=((3, 1), (2, 1)))), unit(look, needs))
    assert seen == [{1: (2,)}, {1: (2,)}, {1: (2, 3)}]
    assert await store.rows("task_dependencies", task_id=3) == [(1,)]


async def test_a_lookup_sees_what_earlier_units_did(store: SqliteStore) -> None:
    lookup = Lookup(query="list_agents", params=(("all", True),))
    names: list[str] = []

    def look(view: View, _now: int) -> Changes:
        names.extend(found.name for found in view.rows[lookup])
        return Changes()

    def make(view: View, _now: int) -> Changes:
        return Changes(agents=(agent(view.new_id("agents"), "a1"),), facts=(fact("registered"),))

    def change(view: View, _now: int) -> Changes:
        return Changes(agents=(structs.replace(view.agents["a1"], active=False),))

    await do(store, unit(make), unit(look, Needs(lookups=(lookup,))), unit(change, Needs(agents=("a1",))))
    assert names == ["a1", "Ruto"]
    found = (await get(store, Needs(agents=("a1",)))).agents["a1"]
    assert (found.active, found.version) == (False, 2)


@pytest.mark.parametrize(
    "lookup",
    [
        Lookup(query="nothing_of_this_name"),
        Lookup(query="task_comments"),
        Lookup(query="forget_audit", params=(("before", 0), ("limit", 1))),
        Lookup(query="task_comments", params=(("task_id", 2**70),)),
    ],
)
@pytest.mark.parametrize("reads_only", [True, False])
async def test_a_lookup_that_cannot_be_made_fails_its_own_unit(
    store: SqliteStore, lookup: Lookup, *, reads_only: bool
) -> None:
    bad = unit(Changes(), Needs(lookups=(lookup,)), key="bad", reads_only=reads_only)
    good = unit(Changes(answer=ANSWER), reads_only=reads_only)
    failed, done = await store.run([bad, good], NOW)
    assert isinstance(failed, Failed)
    assert failed.key == "bad"
    assert isinstance(done, Committed)


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


async def test_a_row_that_cannot_be_read_hurts_only_whoever_needs_it(store: SqliteStore, path: Path) -> None:
    await fill(store, 3)
    sql(path, "UPDATE tasks SET capabilities = 'no json' WHERE id = 2")
    sql(path, "UPDATE agents SET capabilities = '[1' WHERE name = 'a3'")
    sql(path, "UPDATE agents SET leases = 0")
    outcomes = await store.run([bump(1, note="x"), bump(2, note="x"), bump(3, note="x")], NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Failed]
    names = [found.name for found in (await get(store, Needs(candidates=True))).candidates]
    assert names == ["a1", "a2", "Ruto"]
    assert [
        found.id for found in await store.rows("list_tasks", status=None, agent=None, after=0, limit=9)
    ] == [1, 3]
    failed = (await store.run([unit(Changes(), Needs(agent_ids=(4,)))], NOW))[0]
    assert isinstance(failed, Failed)
    assert not (await get(store, Needs(agent_ids=(99,)))).agents


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


async def test_random_numbers_and_ids_are_drawn_in_the_transaction(store: SqliteStore) -> None:
    drawn: list[float] = []

    def decide(view: View, _now: int) -> Changes:
        drawn.append(view.draw())
        with pytest.raises(ValueError, match="outbox"):
            view.new_id("outbox")
        return Changes(tasks=(task(view.new_id("tasks")),))

    await do(store, unit(decide), unit(decide))
    await do(store, unit(decide))
    assert len(set(drawn)) == 3
    assert all(0 <= number < 1 for number in drawn)
    assert [
        found.id for found in await store.rows("list_tasks", status=None, agent=None, after=0, limit=9)
    ] == [1, 2, 3]


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
