"""Who needs somebody: what an operator looks at first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.attention import KINDS, AttentionRow
from contracts.codec import instant
from contracts.operations.attention import AttentionView, ListResult
from contracts.records import Agent
from contracts.work import Lookup

ITEMS_MAX: Final = 500
"""Of each sort: whoever has more of them needs another page than a list."""
LOOKUPS: Final = tuple(
    Lookup(query=f"attention_{sort}", params=(("limit", ITEMS_MAX),))
    for sort in ("assignments", "tasks", "agents")
)
"""All that needs somebody; `listed` reads their rows."""


def listed(rows: Mapping[Lookup, Sequence[Any]]) -> ListResult:
    """Return all that needs somebody, the most pressing kind first, and of one kind the oldest."""
    assignments, tasks, dead = (rows[part] for part in LOOKUPS)
    found = [*map(_of_task, (*assignments, *tasks)), *map(_of_agent, dead)]
    found.sort(key=lambda item: (KINDS.index(item.kind), item.priority or 0, item.since))
    more = any(len(sort) >= ITEMS_MAX for sort in (assignments, tasks, dead))
    return ListResult(items=tuple(found), more=more)


def _of_task(row: AttentionRow) -> AttentionView:
    return AttentionView(
        kind=row.kind,
        since=instant(row.since),
        why=_why(row),
        task=row.task_id,
        title=row.title,
        priority=row.priority,
        assignment=row.assignment_id,
        status=row.status,
        agent=row.agent,
    )


def _why(row: AttentionRow) -> str:
    match row.kind:
        case "silent":
            return f"{row.asked} pings without an answer"
        case "exhausted":
            return f"{row.asked} pings without an answer, and no step of the policy is left"
        case "stalled":
            return f"no progress since: {row.why}" if row.why else "accepted, and no progress"
        case "human":
            return row.why or "waits for a person"
        case _:
            return row.why or row.kind


def _of_agent(agent: Agent) -> AttentionView:
    dead = agent.status in ("dead", "dead_failed_revive")
    return AttentionView(
        kind="dead" if dead else "unreachable",
        since=instant(agent.status_since if dead else agent.unreachable_since or agent.status_since),
        why=(agent.dead_why or agent.status_why) if dead else "no ping could be delivered to its address",
        status=agent.status,
        agent=agent.name,
    )
