"""What a decision sees: its keys with their company, as earlier units of the transaction left them."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contracts.records import Brake, Escalation, Hold, Policy, PolicyStep
from contracts.work import Changes, Committed, Failed, Lookup, Needs, View
from domain.brakes import silent_since
from store.sqlite import SqliteStore
from tests.support.store import (
    NOW,
    agent,
    bump,
    do,
    ended,
    fact,
    fill,
    get,
    lease,
    sql,
    task,
    unit,
)

ANSWER = Hold(start_at=1, end_at=2)


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
        seen.append({found.name for found in view.candidates.values()})
        free, full = view.agents["free"], view.agents["full"]
        return Changes(agents=(structs.replace(free, leases=1), structs.replace(full, leases=0)))

    needs = Needs(agents=("free", "full"), candidates=True)

    def look(view: View, _now: int) -> Changes:
        seen.append({found.name for found in view.candidates.values()})
        return Changes()

    await do(store, unit(make), unit(turn, needs), unit(look, Needs(candidates=True)))
    assert seen == [{"free", "Ruto", "boss"}, {"full", "Ruto", "boss"}]
    names = {found.name for found in (await get(store, Needs(candidates=True))).candidates.values()}
    assert names == {"full", "Ruto", "boss"}


async def test_a_candidate_is_seen_as_an_earlier_unit_left_it_and_the_main_agents_apart(
    store: SqliteStore,
) -> None:
    await fill(store, 1)
    await do(store, unit(Changes(agents=(agent(3, "Free"),))))

    def turn(view: View, _now: int) -> Changes:
        free, main = view.candidates["free"], view.main_agents["ruto"]
        return Changes(agents=(structs.replace(free, successes=7), structs.replace(main, failures=9)))

    seen: list[tuple[dict[str, int], dict[str, int]]] = []

    def look(view: View, _now: int) -> Changes:
        able, mains = view.candidates, view.main_agents
        seen.append(
            ({name: able[name].successes for name in able}, {name: mains[name].failures for name in mains})
        )
        return Changes()

    needs = Needs(candidates=True)
    await do(store, unit(look, needs), unit(turn, needs), unit(look, needs), unit(look))
    assert seen == [({"free": 0, "ruto": 0}, {"ruto": 0}), ({"free": 7, "ruto": 0}, {"ruto": 9}), ({}, {})]


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


async def test_dependencies_come_as_tasks_and_not_the_whole_web(store: SqliteStore) -> None:
    seen: list[tuple[set[int], dict[int, tuple[int, ...]]]] = []

    def make(view: View, _now: int) -> Changes:
        ids = [view.new_id("tasks") for _ in range(5)]
        chain = ((2, 1), (3, 2), (3, 5), (4, 3))
        return Changes(tasks=tuple(task(found) for found in ids), dependencies=chain)

    def look(view: View, _now: int) -> Changes:
        seen.append((set(view.tasks), dict(view.dependencies)))
        return Changes()

    await do(store, unit(make))
    near = unit(look, Needs(tasks=(2,), dependents=True))
    await do(store, near)
    await do(store, near, unit(look, Needs(tasks=(3,), dependents=True)), unit(look, Needs(tasks=(5,))))
    two = ({1, 2, 3, 5}, {2: (1,), 3: (2, 5)})
    assert seen == [two, two, ({2, 3, 4, 5}, {3: (2, 5), 4: (3,)}), ({5}, {})]


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


async def test_a_row_that_cannot_be_read_hurts_only_whoever_needs_it(store: SqliteStore, path: Path) -> None:
    await fill(store, 3)
    sql(path, "UPDATE tasks SET capabilities = 'no json' WHERE id = 2")
    sql(path, "UPDATE agents SET capabilities = '[1' WHERE name = 'a3'")
    sql(path, "UPDATE agents SET leases = 0")
    outcomes = await store.run([bump(1, note="x"), bump(2, note="x"), bump(3, note="x")], NOW)
    assert [type(found) for found in outcomes] == [Committed, Failed, Failed]
    names = [found.name for found in (await get(store, Needs(candidates=True))).candidates.values()]
    assert names == ["a1", "a2", "Ruto"]
    assert [
        found.id for found in await store.rows("list_tasks", status=None, agent=None, after=0, limit=9)
    ] == [1, 3]
    failed = (await store.run([unit(Changes(), Needs(agent_ids=(4,)))], NOW))[0]
    assert isinstance(failed, Failed)
    assert not (await get(store, Needs(agent_ids=(99,)))).agents


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


async def test_the_silent_are_those_on_whom_a_decision_comes_or_that_died_of_it(store: SqliteStore) -> None:
    judged = agent(101, "s1", suspect_at=NOW, silent_at=NOW)
    thrown = agent(102, "s2", suspect_at=NOW)
    dead = agent(103, "s3", suspect_at=NOW, dead_at=NOW)
    long_dead = agent(104, "s4", suspect_at=NOW - 3_000_000, dead_at=NOW, silent_at=NOW)
    await do(store, unit(Changes(agents=(judged, thrown, dead, long_dead))))
    silent = silent_since(NOW - 2_000_000)
    rows = (await get(store, Needs(lookups=(silent,)))).rows[silent]
    assert sorted(tuple(row) for row in rows) == [
        (None, NOW // 1_000_000, False, 1),
        (None, NOW // 1_000_000, True, 1),
    ]


async def test_a_brake_may_begin_anew(store: SqliteStore) -> None:
    await do(store, unit(Changes(brakes=(Brake(id=1, scope="fleet", began_at=NOW, members=4, silent=4),))))
    (brake,) = (await get(store, Needs(brakes=True))).brakes.values()
    await do(store, unit(Changes(brakes=(structs.replace(brake, began_at=NOW + 5),)), Needs(brakes=True)))
    (found,) = (await get(store, Needs(brakes=True))).brakes.values()
    assert (found.id, found.began_at) == (1, NOW + 5)
