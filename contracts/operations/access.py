"""Who may do what over HTTP: operation by role, and whose things. What has no row is allowed to nobody."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from contracts.tokens import Role

Reach = Literal["own", "any"]
Row = Mapping[Role, Reach]

_ANSWER: Final[Row] = MappingProxyType({"agent": "own"})
"""An agent, about what it holds itself. Nobody answers in its place: operators have verbs of their own."""
_LOOK: Final[Row] = MappingProxyType({"read_only": "any", "operator": "any", "admin": "any"})
_CHANGE: Final[Row] = MappingProxyType({"operator": "any", "admin": "any"})
_RULE: Final[Row] = MappingProxyType({"admin": "any"})

STREAM: Final = "event.stream"
"""No operation: changes as they happen, over HTTP; on the bus they are the subjects of events."""
TRAFFIC: Final = "bus.stream"
"""No operation: what is said to all agents and by them, without their sessions; so too on the bus."""

ACCESS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "assignment.ack": _ANSWER,
        "assignment.progress": _ANSWER,
        "assignment.wait": _ANSWER,
        "assignment.resume": _ANSWER,
        "assignment.snooze": _ANSWER,
        "assignment.unsnooze": _ANSWER,
        "assignment.complete": _ANSWER,
        "assignment.fail": _ANSWER,
        "assignment.release": _ANSWER,
        "assignment.decline": _ANSWER,
        "assignment.handoff": _ANSWER,
        "assignment.next": _ANSWER,
        "assignment.plan": _ANSWER,
        "assignment.check": _ANSWER,
        "assignment.advance": _ANSWER,
        "assignment.remark": _ANSWER,
        "agent.join": _ANSWER,
        "agent.leave": _ANSWER,
        "agent.sync": _ANSWER,
        "agent.prime": _ANSWER,
        "task.add": _CHANGE,
        "task.import": _CHANGE,
        "task.ls": _LOOK,
        "task.show": _LOOK,
        "task.assignments": _LOOK,
        "task.set": _CHANGE,
        "task.assign": _CHANGE,
        "task.cancel": _CHANGE,
        "task.reopen": _CHANGE,
        "task.comment": _CHANGE,
        "todo.add": _CHANGE,
        "todo.ls": _LOOK,
        "todo.set": _CHANGE,
        "todo.rm": _CHANGE,
        "phase.add": _CHANGE,
        "phase.ls": _LOOK,
        "phase.set": _CHANGE,
        "reminder.add": _CHANGE,
        "reminder.ls": _LOOK,
        "reminder.cancel": _CHANGE,
        "assignment.ls": _LOOK,
        "assignment.show": _LOOK,
        "comment.ls": _LOOK,
        "notice.ls": _LOOK,
        "escalation.ls": _LOOK,
        "escalation.show": _LOOK,
        "agent.add": _CHANGE,
        "agent.ls": _LOOK,
        "agent.show": _LOOK,
        "agent.set": _CHANGE,
        "agent.pause": _CHANGE,
        "agent.drain": _CHANGE,
        "agent.quarantine": _CHANGE,
        "agent.resume": _CHANGE,
        "agent.retire": _CHANGE,
        "fleet.freeze": _CHANGE,
        "fleet.thaw": _CHANGE,
        "agent.start": _CHANGE,
        "agent.stop": _CHANGE,
        "agent.restart": _CHANGE,
        "machine.ls": _LOOK,
        "machine.show": _LOOK,
        "presence.brakes": _LOOK,
        "presence.release": _CHANGE,
        "team.ready": _LOOK,
        "policy.ls": _LOOK,
        "policy.show": _LOOK,
        "policy.set": _RULE,
        "policy.try": _LOOK,
        "dlq.ls": _LOOK,
        "dlq.show": _LOOK,
        "dlq.replay": _CHANGE,
        "task.ack": _CHANGE,
        "task.snooze": _CHANGE,
        "task.answer": _CHANGE,
        "attention.ls": _LOOK,
        "policy.preview": _LOOK,
        "login.create": _RULE,
        "credential.create": _RULE,
        "credential.ls": _RULE,
        "credential.revoke": _RULE,
        "token.create": _RULE,
        "token.ls": _RULE,
        "token.revoke": _RULE,
        "agent.say": _ANSWER,
        "intake.say": _CHANGE,
        "intake.try": _LOOK,
        "intake.ls": _LOOK,
        "rule.ls": _LOOK,
        "rule.show": _LOOK,
        "rule.set": _RULE,
        "webhook.rotate": _RULE,
        "webhook.settle": _RULE,
        "webhook.ls": _LOOK,
        "notification.ls": _LOOK,
        "notification.read": _CHANGE,
        "notification.test": _CHANGE,
        "notification.sent": _LOOK,
        "audit.ls": _LOOK,
        "system.status": _LOOK,
        STREAM: _LOOK,
        TRAFFIC: _LOOK,
    }
)


def reach(operation: str, role: Role) -> Reach | None:
    """Return whose things the role may do this to: its own, anybody's, or nobody's."""
    return ACCESS.get(operation, {}).get(role)
