"""Commands made from the operations: one verb, one name at every door."""

import os
import uuid
from collections.abc import Mapping
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from contracts.operations import ALL, BY_NAME, Operation
from rollcall.cli.answering import ask
from rollcall.cli.extras import EXTRAS
from rollcall.cli.failures import USAGE, Failed
from rollcall.cli.kinds import body, parameters
from rollcall.cli.setting import Caller, caller_options
from rollcall.cli.short import SHORT, Short
from rollcall.shell import sessions

_NOUNS: Final = {
    "agent": "Agents: who they are, how they are.",
    "assignment": "Assignments: who promised what.",
    "attention": "Attention: who needs somebody, and why.",
    "credential": "Credentials: who is let in on the bus.",
    "audit": "The audit: what was changed, by whom and why.",
    "comment": "Comments: what was said about tasks.",
    "dlq": "Dead letters: what could not be handled.",
    "escalation": "Escalations: what came of silence.",
    "intake": "Intake: plain words, and what became of them.",
    "machine": "Machines: whose daemons speak for the processes of agents.",
    "notice": "Notices: what agents were told without asking.",
    "notification": "Notifications: what people are told.",
    "phase": "Phases: the stretches of a task's way.",
    "policy": "Escalation policies: what happens when nobody answers.",
    "presence": "Presence of many: what holds deaths back.",
    "reminder": "Reminders: what is to be said at an instant, or every so often.",
    "todo": "Todos: the checklist of a task.",
    "rule": "Rules: what intake makes of plain words.",
    "token": "Tokens: who is let in over HTTP.",
    "task": "Tasks: what is to be done, and who does it.",
    "team": "Teams: who is expected, and who is there.",
    "webhook": "Webhooks: pings over HTTP, and the keys that sign them.",
}


_SPOKEN: Final = tuple(operation for operation in ALL if operation.scope != "machine")
"""What people and agents say; the daemon of a machine speaks without a command line."""


def of_agents() -> list[str]:
    """Return the verbs of agents."""
    return [operation.command for operation in ALL if operation.scope == "agent"]


def of_operators() -> list[str]:
    """Return the nouns and verbs of operators."""
    words = (operation.command.split()[0] for operation in ALL if operation.scope == "operator")
    return sorted(dict.fromkeys(words))


def find(name: str) -> click.Command | None:
    """Return the command, or group of commands, of this name."""
    group = {
        verb: operation
        for operation in _SPOKEN
        for noun, _, verb in [operation.command.partition(" ")]
        if noun == name and verb
    }
    if group:
        commands = {verb: command(operation, verb) for verb, operation in group.items()}
        commands |= {
            verb: command(BY_NAME[short.operation], verb, short=short)
            for verb, short in SHORT.get(name, {}).items()
        }
        return click.Group(name, commands=commands, help=_NOUNS.get(name))
    for operation in _SPOKEN:
        if name == operation.command:
            return command(operation, name)
        if name in operation.aliases:
            return command(operation, name, hidden=True)
    return None


def command(
    operation: Operation, name: str, *, hidden: bool = False, short: Short | None = None
) -> click.Command:
    """Return the command for one operation; `short` says what is given already."""
    extra = short.extra if short else EXTRAS.get(operation.name)
    given: Mapping[str, Any] = short.given if short else {}
    summary = short.help if short else operation.summary

    def callback(caller: Caller, **values: Any) -> None:
        values |= given
        if extra:
            values = extra.values(values, caller)
        if operation.scope == "agent":
            values = in_session(operation, values, caller)
        params = checked(operation, values)
        if extra and extra.run:
            extra.run(caller, operation, params)
        else:
            ask(caller, operation, params)

    own = [
        one
        for one in parameters(operation.params, operation.arguments, operation.name)
        if one.name not in given
    ]
    if extra:
        own = extra.parameters(own)
    made = click.Command(
        name,
        callback=callback,
        params=own,
        help=summary if not hidden else f"{summary} (the same as `{operation.command}`)",
        hidden=hidden,
    )
    return caller_options(made, "agent" if operation.scope == "agent" else "operator")


def in_session(operation: Operation, values: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Return the values with the agent's session, where the operation takes one and none was given."""
    if "session" not in values or values["session"] is not None:
        return values
    joins = operation.name == "agent.join"
    if joins:
        return values | {"session": sessions.chosen(caller.name, os.environ)}
    return values | {"session": sessions.known(caller.name, caller.session_path, os.environ)}


def checked(operation: Operation, values: Mapping[str, Any]) -> Struct:
    """Return the parameters; a command gets an id of its own."""
    given = dict(values)
    if not operation.query and given.get("command_id") is None:
        given["command_id"] = str(uuid.uuid4())
    try:
        return body(operation.params, given)
    except msgspec.ValidationError as error:
        from contracts.wording import wrong

        place, why = wrong(error, operation.params)
        raise Failed(f"{place}: {why}" if place else why, USAGE) from error
