"""What needs somebody, as the store finds it."""

from typing import Literal, get_args

from msgspec import Struct

AttentionKind = Literal[
    "human",
    "exhausted",
    "dead",
    "unreachable",
    "quarantined",
    "silent",
    "escalated",
    "due",
    "unassigned",
    "stalled",
]
"""Why somebody is needed, the most pressing first.

`human`: its holder waits for a person; `exhausted`: asked in vain to the end of the policy; `dead`: an agent;
`unreachable`: an agent whose webhook failed too often; `quarantined`: no decision was possible; `silent`: two
pings or more without an answer; `escalated`: moved on by a policy, and its new holder has not answered yet;
`due`: its due date has passed, and nothing else here is about it; `unassigned`: for too long; `stalled`:
accepted, and no progress.
"""
KINDS: tuple[AttentionKind, ...] = get_args(AttentionKind)


class AttentionRow(Struct, frozen=True, kw_only=True, gc=False):
    """An open assignment, or a task without one, that needs somebody."""

    kind: AttentionKind
    task_id: int
    title: str
    priority: int
    assignment_id: int | None
    agent: str | None
    status: str
    since: int
    why: str | None
    asked: int  # pings without an answer
