"""Who needs somebody: what an operator looks at first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.attention import KINDS, AttentionKind, AttentionRow
from contracts.codec import instant
from contracts.notifying import Kind
from contracts.operations.attention import AttentionView, ListResult
from contracts.records import Agent
from contracts.work import Lookup

ITEMS_MAX: Final = 500
"""Of each sort: whoever has more of them needs another page than a list."""
LOOKUPS: Final = tuple(
    Lookup(query=f"attention_{sort}", params=(("limit", ITEMS_MAX),))
    for sort in ("assignments", "tasks", "due", "agents")
)
"""All that needs somebody; `listed` reads their rows."""


def listed(rows: Mapping[Lookup, Sequence[Any]]) -> ListResult:
    """Return all that needs somebody, the most pressing kind first, and of one kind the oldest."""
    assignments, tasks, due, dead = (rows[part] for part in LOOKUPS)
    pressing = (*assignments, *tasks)
    there = {
        row.task_id for row in pressing
    }  # a task stands here once, and not as late where there is more to say of it
    late = (row for row in due if row.task_id not in there)
    found = [*map(_of_task, (*pressing, *late)), *map(_of_agent, dead)]
    found.sort(key=lambda item: (KINDS.index(item.kind), item.priority or 0, item.since))
    more = any(len(sort) >= ITEMS_MAX for sort in (assignments, tasks, due, dead))
    return ListResult(items=tuple(found), more=more)


def _of_task(row: AttentionRow) -> AttentionView:
    moved = f"Escalated to {row.agent}, not answered yet" if row.kind == "escalated" else None
    return AttentionView(
        kind=row.kind,
        since=instant(row.since),
        why=moved or reason(row.kind, row.why, row.asked),
        task=row.task_id,
        title=row.title,
        priority=row.priority,
        assignment=row.assignment_id,
        status=row.status,
        agent=row.agent,
    )


def reason(kind: AttentionKind | Kind, why: str | None, asked: int) -> str:
    """Return why somebody is needed, after so many pings without an answer: in the list, and in a notice."""
    match kind:
        case "silent":
            return f"{asked} pings without an answer"
        case "exhausted":
            return f"{asked} pings without an answer, and no step of the policy is left"
        case "stalled":
            return f"no progress since: {why}" if why else "accepted, and no progress"
        case "human":
            return why or "waits for a person"
        case "unreachable":
            return "no ping could be delivered to its address"
        case "due":
            return "its due date has passed"
        case "brake":
            return "many fell silent at once: nobody is declared dead"
        case _:
            return why or kind


def _of_agent(agent: Agent) -> AttentionView:
    dead = agent.status in ("dead", "dead_failed_revive")
    kind: AttentionKind = "dead" if dead else "unreachable"
    return AttentionView(
        kind=kind,
        since=instant(agent.status_since if dead else agent.unreachable_since or agent.status_since),
        why=reason(kind, agent.dead_why or agent.status_why, 0),
        status=agent.status,
        agent=agent.name,
    )
