"""What operators and waiting agents say holds: nothing goes round a flag or a freeze, waits cost no lease."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from contracts.records import AuditRow
from tests.simulation.evidence import ENDS, Evidence, said_by

TURNS: Final = frozenset({"waiting", "resumed", "wait_ended"})
FLAGS: Final = frozenset({"paused", "draining", "quarantined", "retired"})
TICK_US: Final = 1_000_000


def nothing_goes_round_a_word(seen: Evidence) -> Iterator[str]:
    """By the audit nobody was given anything while it was flagged, nor anybody while the fleet was frozen."""
    flagged: dict[str, set[str]] = {}
    frozen = False
    for fact in seen.audit:
        if fact.aggregate == "agent":
            words = flagged.setdefault(fact.aggregate_id, set())
            if fact.event in FLAGS:
                words.add(fact.event)
            elif fact.event == "resumed":
                words.clear()
        elif fact.aggregate == "system" and fact.event in ("frozen", "thawed"):
            frozen = fact.event == "frozen"
        elif fact.aggregate == "assignment" and fact.event == "assigned":
            agent = seen.assignments[int(fact.aggregate_id)]["agent"]
            if frozen:
                yield f"assignment {fact.aggregate_id} was given to {agent} while frozen (audit {fact.seq})"
            if flagged.get(agent):
                said = ", ".join(sorted(flagged[agent]))
                yield f"assignment {fact.aggregate_id} was given to {agent}, which is {said} ({fact.seq})"


def waits_cost_nothing(seen: Evidence) -> Iterator[str]:
    """No lease is lost while it waits, nor at once when its wait is over.

    Its clock runs on from the wait's own end, which may be put on record late by two ticks and a second.
    """
    for number in seen.assignments:
        for fact, after in pairwise(_turns(seen, number)):
            if after.event != "timed_out":
                continue
            if fact.event == "waiting":
                yield f"assignment {number} timed out while it waited"
            if fact.event == "wait_ended" and after.at - fact.at < seen.timers.resume_min_us - 3 * TICK_US:
                yield f"assignment {number} timed out {after.at - fact.at} us after its wait was over"


def in_peace_nobody_is_pinged(seen: Evidence) -> Iterator[str]:
    """No ping is made for an agent while any of its assignments waits for a human, nor while it is paused."""
    waits = {agent["name"]: _pauses(seen, agent["name"]) for agent in seen.tables["agents"]}
    for number, row in seen.assignments.items():
        for fact, after in pairwise((*_turns(seen, number), None)):
            if fact is not None and fact.event == "waiting" and said_by(fact.data).get("kind") == "human":
                until = seen.now if after is None else after.at
                waits[row["agent"]].append((fact.at, until))
    for ping in seen.tables["pings"]:
        if any(since < ping["sent_at"] < until for since, until in waits[ping["agent"]]):
            yield f"{ping['agent']} was pinged about {ping['assignment_id']} while it was to be left in peace"


def _pauses(seen: Evidence, agent: str) -> list[tuple[int, int]]:
    """Return from when until when an agent was paused."""
    facts = [fact for fact in seen.facts("agent", agent) if fact.event in ("paused", "resumed")]
    return [
        (fact.at, seen.now if after is None else after.at)
        for fact, after in pairwise((*facts, None))
        if fact is not None and fact.event == "paused"
    ]


def _turns(seen: Evidence, number: int) -> list[AuditRow]:
    """Return how an assignment turned to waiting and back, and how it ended."""
    return [fact for fact in seen.facts("assignment", number) if fact.event in TURNS or fact.event in ENDS]
