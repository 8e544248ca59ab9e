"""How often the hard moments really came: a set of schedules in which they never did proves nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.simulation.checks import ASKED_FOR
from tests.simulation.evidence import Evidence

TICK_US: Final = 1_000_000
NEEDED: Final = (
    "answer within a tick of its escalation",
    "commit whose reply was lost",
    "killed between commit and PubAck",
    "redelivered after an ack",
    "answer before its deadline, handled after an outage",
    "stopped beyond a lease",
    "stopped between a look and its publishing",
    "bus refilled from the store",
)
"""What a run of many schedules must have seen at least once."""


def moments(seen: Evidence, *, outages: Sequence[tuple[int, int]], stops: Sequence[float]) -> Counter[str]:
    """Count the hard moments of one schedule."""
    count: Counter[str] = Counter()
    missed = {
        int(fact.aggregate_id): fact.at
        for fact in seen.audit
        if fact.aggregate == "assignment" and fact.event == "timed_out"
    }
    for said in seen.history.said:
        if said.kind in ASKED_FOR and said.target in missed:
            when = said.stored_at or said.asked_at
            count["answer within a tick of its escalation"] += abs(when - missed[said.target]) <= TICK_US
        if said.told == "unknown" and seen.command(said) is not None:
            count["commit whose reply was lost"] += 1
    count["answer before its deadline, handled after an outage"] += sum(
        _over_an_outage(seen, began, ended) for began, ended in outages
    )
    lease_s = seen.timers.accept_sub_us / 1e6
    count["stopped beyond a lease"] += sum(length > lease_s for length in stops)
    return count


def _over_an_outage(seen: Evidence, began: int, ended: int) -> int:
    """Count answers stored while no service lived whose deadline passed before anybody handled them."""
    found = 0
    for said in seen.history.said:
        row = seen.assignments.get(said.target)
        if row is None or not began <= said.stored_at <= ended:
            continue
        asked_at = min(
            (ping["sent_at"] for ping in seen.tables["pings"] if ping["assignment_id"] == row["id"]),
            default=ended,
        )
        deadline = asked_at + row["accept_us"]
        found += said.stored_at < deadline <= ended and row["accepted_at"] is not None
    return found
