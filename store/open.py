"""Opening a store: the file is made ready, and what every store begins with is written."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contracts.records import Agent, Policy, PolicyStep
from contracts.work import Changes, Committed, Fact, Lookup, Needs, Unit, View
from store.connection import Link, Setup, ThreadLink
from store.errors import StoreError
from store.file import Durability, place, prepare, tune_reader
from store.sqlite import SqliteStore
from store.view import Rng

MAIN_CAPABILITIES = ("task_management", "escalation", "coordination")
POLICY = "default"
_MAIN_TIMEOUT_US = 60 * 60_000_000
_ACTOR = "rollcall:store"
_MAIN_AGENTS = Lookup(query="main_agents")


async def open_store(
    path: Path | str,
    *,
    now: int,
    durability: Durability = "full",
    main_agent: str = "Ruto",
    main_capacity: int = 10,
    main_timeout_us: int = _MAIN_TIMEOUT_US,
    rng: Rng | None = None,
    open_link: Callable[[Path, Setup], Awaitable[Link]] = ThreadLink.open,
) -> SqliteStore:
    """Open the store at `path`, creating it where there is none; raises StoreError when it may not be used.

    A simulator has its own `open_link`: no threads, every call is a step of the event loop.
    """
    path = Path(path)
    dice = random.SystemRandom() if rng is None else rng
    place(path)
    writing = await open_link(
        path, lambda connection: prepare(connection, path, durability=durability, rng=dice)
    )
    try:
        reading = await open_link(path, tune_reader)
    except BaseException:
        writing.abandon()
        raise
    store = SqliteStore(path, writing=writing, reading=reading, rng=dice)
    try:
        await _begin(store, now, main=(main_agent, main_capacity, main_timeout_us))
    except BaseException:
        await store.close()
        raise
    return store


async def _begin(store: SqliteStore, now: int, main: tuple[str, int, int]) -> None:
    """Write the policy and the main agent that every store has, where they are missing."""
    name, capacity, timeout_us = main

    def decide(view: View, now: int) -> Changes:
        facts: list[Fact] = []
        policies: tuple[Policy, ...] = ()
        agents: tuple[Agent, ...] = ()
        if POLICY not in view.policies:
            policies = (Policy(name=POLICY, steps=(PolicyStep(kind="main"),), updated_at=now),)
            facts.append(_fact("policy", POLICY, "changed", steps=["main"]))
        if not view.rows[_MAIN_AGENTS] and name.lower() not in view.agents:
            agents = (_main_agent(view.new_id("agents"), name, capacity, timeout_us, now),)
            facts.append(_fact("agent", name, "registered", kind="main_agent", capacity=capacity))
        return Changes(policies=policies, agents=agents, facts=tuple(facts))

    needs = Needs(policies=(POLICY,), agents=(name,), lookups=(_MAIN_AGENTS,))
    outcome = (await store.run([Unit(key="begin", needs=needs, decide=decide)], now))[0]
    if not isinstance(outcome, Committed):
        raise StoreError(f"{store.path} cannot be begun: {outcome.error}") from outcome.error


def _fact(aggregate: str, identity: str, event: str, **data: Any) -> Fact:
    return Fact(aggregate=aggregate, id=identity, event=event, version=1, actor=_ACTOR, data=data)


def _main_agent(agent_id: int, name: str, capacity: int, timeout_us: int, now: int) -> Agent:
    return Agent(
        id=agent_id,
        name=name,
        kind="main_agent",
        capabilities=MAIN_CAPABILITIES,
        capacity=capacity,
        timeout_us=timeout_us,
        beats="none",
        created_at=now,
        status="ready",
        status_since=now,
        status_why="registered with the store",
    )
