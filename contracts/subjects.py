"""Every subject, built and taken apart in one place. Ids are checked before any subject is built."""

import re
from typing import Final

from contracts.errors import InvalidError
from contracts.limits import NAME_PATTERN

ROOT: Final = "rollcall.v1"
CANARY: Final = "rollcall-canary"
"""Under this name a monitor hears its own beats; nobody else may have it, whatever the case."""
_NAME = re.compile(NAME_PATTERN)


def name(text: str) -> str:
    """Return `text` if it is a legal name."""
    if not _NAME.match(text):
        raise InvalidError(
            f"{text[:80]!r} is not a name: 1 to 63 letters, digits, _ or -, beginning with a letter or digit"
        )
    return text


def ping(agent: str, assignment: int) -> str:
    """Where an agent hears about one assignment."""
    return f"ping.{agent}.{assignment}"


def ping_ingest(agent: str, assignment: int) -> str:
    """Where the runtime stores a ping; the server hands it on to `ping`."""
    return f"in.ping.{agent}.{assignment}"


def ack(agent: str, assignment: int) -> str:
    """Where an agent publishes its answers."""
    return f"ack.{agent}.{assignment}"


def answer(agent: str, assignment: int) -> str:
    """Where an agent hears what became of an answer."""
    return f"answer.{agent}.{assignment}"


def notice(agent: str, assignment: int) -> str:
    """Where an agent is told what it did not ask."""
    return f"notice.{agent}.{assignment}"


def presence_answer(agent: str) -> str:
    """Where an agent is told that its beat was wrong."""
    return f"answer.{agent}.presence"


def message(sender: str, channel: str) -> str:
    """Where somebody says something in plain words."""
    return f"msg.{sender}.{channel}"


def intake_answer(sender: str) -> str:
    """Where it is told what became of what somebody said."""
    return f"answer.{sender}.intake"


def heartbeat(agent: str) -> str:
    """Where an agent beats."""
    return f"hb.{agent}"


def machine_heartbeat(machine: str) -> str:
    """Where a machine's daemon beats."""
    return f"hb.machine.{machine}"


def order(machine: str, agent: str) -> str:
    """Where a machine's daemon takes orders about an agent."""
    return f"order.{machine}.{agent}"


def machine_answer(machine: str) -> str:
    """Where a machine's daemon is told that its beat was wrong."""
    return f"answer.machine.{machine}.presence"


def machine_command(machine: str, verb: str) -> str:
    """Where a machine's daemon asks for something."""
    return f"cmd.machine.{machine}.{verb}"


def agent_command(agent: str, verb: str) -> str:
    """Where an agent asks for something."""
    return f"cmd.agent.{agent}.{verb}"


def command(service: str, verb: str, operator: str) -> str:
    """Where an operator or service asks for something."""
    return f"cmd.{service}.{verb}.{operator}"


def event(aggregate: str, identity: str, what: str) -> str:
    """Where a fact is published."""
    return f"evt.{aggregate}.{identity}.{what}"


def wake(service: str) -> str:
    """Where a service's doorbell is rung."""
    return f"wake.{service}"


def vital(service: str, process: str) -> str:
    """Where one process says how one of its services is."""
    return f"vital.{service}.{process}"


def dead_letter(stream: str, consumer: str) -> str:
    """Where poison is kept."""
    return f"dlq.{stream}.{consumer}"


def split(subject: str, root: str) -> list[str]:
    """Return the tokens after the root."""
    return subject[len(root) + 1 :].split(".")
