"""Whether a team is ready: who is expected, who is there, and what keeps the others."""

from collections.abc import Sequence

from contracts.codec import instant
from contracts.operations.presence import MemberView, ReadyParams, ReadyResult
from contracts.records import Agent
from domain.projection import GONE, alive, flags, status6


def ready(rows: Sequence[Agent], params: ReadyParams) -> ReadyResult:
    """Return the readiness of the named agents, of all with a capability, or of the whole fleet.

    `rows` are the listed agents. A name that nobody has is expected all the same, and missing; a named agent
    that has not the capability asked for is expected, and not ready.
    """
    by_name = {row.name.lower(): row for row in rows}
    once = {name.lower(): name for name in params.names}
    named = [by_name.get(key, name) for key, name in once.items()]
    among = [row for row in rows if row.active and row.retired_at is None]
    wanted = params.capability
    team = named or [row for row in among if wanted is None or wanted in row.capabilities]
    items = tuple(_unknown(row) if isinstance(row, str) else _member(row, wanted) for row in team)
    there = sum(isinstance(row, Agent) and row.status not in GONE for row in team)
    able = sum(item.ready for item in items)
    return ReadyResult(
        ready=bool(items) and able == len(items), expected=len(items), there=there, able=able, items=items
    )


def _member(agent: Agent, capability: str | None) -> MemberView:
    said = flags(agent)
    absent = alive(agent)
    why = f"{', '.join(said)}: {agent.flag_reason or 'no reason given'}" if said else absent
    if why is None and capability is not None and capability not in agent.capabilities:
        why = f"not capable: {capability}"
    return MemberView(
        name=agent.name,
        ready=why is None,
        why=agent.status_why if why is None or why == absent else why,
        status=agent.status,
        status_since=instant(agent.status_since),
        status6=status6(agent),
        flags=said,
        leases=agent.leases,
        capacity=agent.capacity,
        beat_at=None if agent.beat_at is None else instant(agent.beat_at),
        machine=agent.machine,
    )


def _unknown(name: str) -> MemberView:
    return MemberView(
        name=name,
        ready=False,
        why="nobody of this name is registered, or its record is a tombstone",
        status="unknown",
        status_since=None,
        status6="offline",
        flags=(),
        leases=0,
        capacity=0,
        beat_at=None,
        machine=None,
    )
