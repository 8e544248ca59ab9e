"""Orders: an agent's process is started, stopped or started anew by the daemon of its machine."""

from msgspec import Struct

from contracts.limits import Name, Note
from contracts.operations.registry import Noun, Params, Route
from contracts.records import ProcessState


class OrderParams(Params, frozen=True, kw_only=True):
    """Which agent, and why."""

    name: Name
    reason: Note | None = None


class OrderResult(Struct, frozen=True, kw_only=True):
    """What the daemon answered: how the process is now; what comes of the order is reported as it happens."""

    agent: str
    machine: str
    process: ProcessState | None
    why: str


AGENT = Noun("agent", "monitor")
SUMMARIES = {
    "start": "Let its machine start an agent, also one that was given up.",
    "stop": "Let its machine stop an agent; it is not started again by itself.",
    "restart": "Let its machine stop an agent and start it anew.",
}
OPERATIONS = tuple(
    AGENT.operation(
        verb,
        OrderParams,
        OrderResult,
        summary,
        arguments=("name",),
        errors=("not_found", "conflict"),
        http=(Route("POST", f"/agents/{{name}}/{verb}"),),
    )
    for verb, summary in SUMMARIES.items()
)
