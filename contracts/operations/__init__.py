"""Every command, declared once: all doors are generated from this list."""

from contracts.operations import (
    agents,
    answers,
    attention,
    audit,
    credentials,
    dead_letters,
    flags,
    intake,
    lists,
    logins,
    machines,
    notifying,
    operators,
    orders,
    plans,
    policies,
    presence,
    reminders,
    system,
    tasks,
    tokens,
    webhooks,
)
from contracts.operations.registry import Operation

ALL: tuple[Operation, ...] = (
    *answers.OPERATIONS,
    *operators.OPERATIONS,
    *tasks.OPERATIONS,
    *plans.OPERATIONS,
    *lists.OPERATIONS,
    *reminders.OPERATIONS,
    *agents.OPERATIONS,
    *flags.OPERATIONS,
    *machines.OPERATIONS,
    *orders.OPERATIONS,
    *presence.OPERATIONS,
    *policies.OPERATIONS,
    *dead_letters.OPERATIONS,
    *tokens.OPERATIONS,
    *credentials.OPERATIONS,
    *intake.OPERATIONS,
    *logins.OPERATIONS,
    *attention.OPERATIONS,
    *webhooks.OPERATIONS,
    *notifying.OPERATIONS,
    *audit.OPERATIONS,
    *system.OPERATIONS,
)
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in ALL}


def owned_by(service: str) -> tuple[Operation, ...]:
    """Return the operations that one service answers."""
    return tuple(operation for operation in ALL if operation.owner == service)


__all__ = ["ALL", "BY_NAME", "Operation", "owned_by"]
