"""Composing changes: one record once, facts with the version after the write, posts in their slot."""

import pytest
from msgspec import json, structs

from contracts.errors import NotFoundError
from contracts.messages import Ping
from contracts.records import Agent, Brake, Frozen, Policy
from domain.draft import Draft
from domain.machines import assignment_diagram, document, policy_diagram
from domain.matrix import EVENTS
from tests.domain.world import TASK_MOVES, World


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


@pytest.fixture
def draft(world: World) -> Draft:
    return Draft(world, world.now, actor="operator:ann", timers=world.timers, cause="c1")


def test_several_puts_collapse_into_the_last(world: World, draft: Draft) -> None:
    agent = draft.agent("A1")
    draft.put(structs.replace(agent, capacity=2))
    draft.put(structs.replace(draft.agent("a1"), successes=7))
    (found,) = draft.changes().agents
    assert (found.capacity, found.successes, found.version) == (2, 7, agent.version)


def test_a_fact_has_the_version_after_the_write(world: World, draft: Draft) -> None:
    draft.fact(draft.agent("a1"), "changed", what=1, nothing=None)
    draft.fact(Policy(name="p", steps=(), updated_at=0), "changed", cause="c2")
    first, second = draft.changes().facts
    assert (first.aggregate, first.id, first.version, first.data) == ("agent", "a1", 2, {"what": 1})
    assert (first.cause, second.cause, second.version, second.id) == ("c1", "c2", 1, "p")


def test_what_is_not_there(draft: Draft) -> None:
    for look in (draft.task, draft.assignment):
        with pytest.raises(NotFoundError):
            look(999)
    with pytest.raises(NotFoundError):
        draft.agent("nobody")
    assert draft.escalation(None) is None
    assert draft.escalation(999) is None


def test_a_brake_is_found_by_its_scope_while_it_is_on(world: World, draft: Draft) -> None:
    assert draft.brake("fleet") is None
    row = Brake(id=1, scope="fleet", began_at=world.now, members=3, silent=3)
    draft.put(row)
    assert draft.brake("fleet") == row
    assert draft.brake("machine:m1") is None
    draft.put(structs.replace(row, ended_at=world.now))
    assert draft.brake("fleet") is None
    assert [brake.ended_at for brake in draft.changes().brakes] == [world.now]


def test_a_freeze_is_written_and_taken_back(world: World, draft: Draft) -> None:
    word = Frozen(since=world.now, by="operator:ann", reason="a leak")
    world.write(draft.changes())
    seen = [world.frozen]
    for said in (word, None):
        draft.freeze(said)
        world.write(draft.changes())
        seen.append(world.frozen)
    assert seen == [None, word, None]


def test_candidates_are_found_by_name_and_known_as_they_stand(world: World) -> None:
    main = world.agents["ruto"]

    class Short(World):
        agents = {}  # noqa: RUF012

        @property
        def candidates(self) -> dict[str, Agent]:
            return {"ruto": main}

    draft = Draft(world, world.now, actor="x", timers=world.timers)
    draft.put(structs.replace(draft.agent("a1"), active=False))
    assert {agent.name for agent in draft.candidates()} == {"Ruto", "a1"}
    assert [agent.name for agent in draft.main_agents()] == ["Ruto"]
    view = Short.__new__(Short)
    assert Draft(view, 0, actor="x", timers=world.timers).find_agent("RUTO") is main


def test_a_slot_holds_the_last_post(world: World, draft: Draft) -> None:
    task = world.task()
    row = world.holder(task)
    draft.post_ping(row, world.tasks[task])
    draft.withdraw(row, "a2")
    (post,) = draft.changes().posts
    assert (post.slot, post.attempt, post.version) == (f"ping:{row.id}", None, 1)
    brief = structs.replace(row, ping_interval_us=1000)
    draft.post_ping(brief, world.tasks[task])
    (post,) = draft.changes().posts
    assert (post.ttl_s, post.attempt, post.assignment_id) == (1, row.attempt, row.id)
    assert json.decode(post.body, type=Ping).incarnation == "inc1"


# --- the pictures ---


def test_the_document_names_every_event_and_every_move() -> None:
    text = document()
    for event in EVENTS:
        assert f"`{event}`" in text
    for before, after in TASK_MOVES:
        assert f"{before} --> {after}: " in text
    assert text.count("```mermaid") == 4
    assert "waiting --> acknowledged: resume, wait_over" in assignment_diagram()
    assert "failed -->" not in assignment_diagram()


def test_a_policy_is_drawn_step_by_step() -> None:
    assert "step0" in policy_diagram()
    assert 'used{"no step is left"}' in policy_diagram(())
