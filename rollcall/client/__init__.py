"""The agent's side: `async with Agent("builder") as me: async for ping in me.pings(): await ping.ack()`.

It needs NATS and nothing of Rollcall's own: what crosses the wire is written down here once more, and the
golden vectors hold both sides to it.
"""

from rollcall.client.agent import Agent
from rollcall.client.promise import Held, Lease, Ping, Sync
from rollcall.client.wire import (
    Closed,
    Handoff,
    NotAllowed,
    Notice,
    NotStored,
    Outcome,
    Problem,
    Receipt,
    Refused,
    RollcallError,
    Unavailable,
    Withdrawn,
)

__all__ = [
    "Agent",
    "Closed",
    "Handoff",
    "Held",
    "Lease",
    "NotAllowed",
    "NotStored",
    "Notice",
    "Outcome",
    "Ping",
    "Problem",
    "Receipt",
    "Refused",
    "RollcallError",
    "Sync",
    "Unavailable",
    "Withdrawn",
]
