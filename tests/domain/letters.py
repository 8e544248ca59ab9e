"""Deliveries of a world's pings, as the store reads them."""

from typing import Any

from contracts.deliveries import DueDelivery
from contracts.records import Assignment
from domain import deliveries
from domain.deliveries import Patience, Tried
from tests.domain.world import World

PATIENCE = Patience()


def letter(world: World, row: Assignment, **more: Any) -> DueDelivery:
    """Return the delivery of the row's newest ping, which was never tried."""
    agent = world.agents[row.agent.lower()]
    said: dict[str, Any] = {
        "id": row.id,
        "assignment_id": row.id,
        "attempt": row.attempt,
        "agent": row.agent,
        "url": "https://agent.example",
        "incarnation": world.incarnation,
        "next_at": world.now,
        "sent_at": world.now,
        "task_id": row.task_id,
        "title": world.tasks[row.task_id].title,
        "accept_us": row.accept_us,
        "lease": row.status,
        "newest": row.attempt,
        "answered": row.answered_attempt,
        "beats": agent.beats,
        "present_url": "https://agent.example",
    }
    return DueDelivery(**said | more)


def cannot_be_told(world: World, row: Assignment) -> None:
    """Let the last try of the row's newest ping fail."""
    due = letter(world, row, tries=PATIENCE.tries)
    tried = Tried(id=due.id, version=due.version, why="answered 500")
    world.decide(deliveries.settle, world.now, tried, [due], due.tries - 1, patience=PATIENCE)
