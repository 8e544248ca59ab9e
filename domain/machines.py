"""The machines as pictures and tables for docs/machines.md, drawn from the tables that the code follows."""

from collections.abc import Iterable, Sequence

from contracts.records import AgentStatus, AssignmentStatus, PolicyStep, StepKind
from domain.aims import DEFAULT_STEPS
from domain.ending import TASK_TABLE
from domain.lifelines import arrows
from domain.matrix import END_REASONS, EVENTS, SAID, STATUSES, TABLE, Said, Target, Word
from domain.projection import GONE
from domain.timers import Timers
from domain.wording import length

LEADS: dict[Target, str] = {
    "restored": "pending or acknowledged, as it was accepted before or not",
    "same": "the status stays",
    "already": "accepted, and nothing new",
    "policy": "failed when a step moves the task on, else the status stays",
}
STEPS: dict[StepKind, tuple[str, str, str]] = {
    "retry": ("the present holder", "alive, not quarantined", "one new row of the same agent"),
    "peer": (
        "the best sub-agent",
        "alive, not quarantined, capable, with capacity, not the sender, not tried in this round",
        "a new row",
    ),
    "main": (
        "a main agent",
        "alive, not quarantined, not the sender, not tried in this round",
        "a new row",
    ),
    "notify": (
        "who is named, else a main agent",
        "alive, not quarantined, not the sender; a person always",
        "a notice; the row stays and its clock starts again",
    ),
}
"""Kind of step: whom it turns to, what that one must be, what comes of it."""


def document() -> str:
    """Return docs/machines.md."""
    parts = (
        "# The machines",
        "Written by `make generate` from the tables in `domain/`; a test holds them together.",
        "## Task",
        task_diagram(),
        "## Assignment",
        assignment_diagram(),
        "Every event in every status. `-` is a refusal (409) with the present state and what may be done.",
        assignment_table(),
        _legend(),
        "## Agent",
        "`present` stands for the five statuses of whoever is there, which follow from what it holds.",
        agent_diagram(),
        "Every change of status that can happen, and what brings it about.",
        agent_table(),
        "## Escalation",
        policy_diagram(),
        policy_table(),
        "## Clocks",
        clock_table(),
    )
    return "\n\n".join(parts) + "\n"


def task_diagram() -> str:
    """Return the life of a task."""
    arrows = [
        f"    {before} --> {after}: {event}" for event, moves in TASK_TABLE.items() for before, after in moves
    ]
    return _mermaid("stateDiagram-v2", ("    [*] --> todo: add", *arrows))


def assignment_diagram() -> str:
    """Return the life of an assignment; arrows between the same statuses are drawn once."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for event in EVENTS:
        for before, target in TABLE[event].items():
            for after in _ends(before, target):
                arrows.setdefault((before, after), []).append(event)
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in arrows.items()]
    return _mermaid("stateDiagram-v2", ("    [*] --> pending: assign", *lines))


def _ends(before: AssignmentStatus, target: Target) -> tuple[str, ...]:
    match target:
        case "restored":
            return ("pending", "acknowledged") if before == "snoozed" else (before,)
        case "same" | "already":
            return ()
        case "policy":
            return ("failed",)
        case _:
            return (target,)


def assignment_table() -> str:
    """Return the whole matrix; an end is shown with its reason."""
    rows = [(_who(event), f"`{event}`", *(_cell(event, status) for status in STATUSES)) for event in EVENTS]
    return _table(("from", "event", *STATUSES), rows)


def _who(event: Said | Word) -> str:
    return "holder" if event in SAID else "Rollcall"


def _cell(event: Said | Word, status: AssignmentStatus) -> str:
    target = TABLE[event].get(status)
    if target is None:
        return "-"
    reason = END_REASONS.get(event)
    return f"{target} ({reason})" if reason and reason != target else target


def _legend() -> str:
    return "\n".join(f"- `{target}`: {meaning}" for target, meaning in LEADS.items())


def agent_diagram() -> str:
    """Return the life of an agent; who is there is one state, whatever it holds."""
    moves: dict[tuple[str, str], list[str]] = {}
    for (before, after), events in arrows().items():
        pair = (_presence(before), _presence(after))
        if pair[0] != pair[1]:
            known = moves.setdefault(pair, [])
            known += [event for event in events if event not in known]
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in moves.items()]
    return _mermaid(
        "stateDiagram-v2", ("    [*] --> offline: add", *(line.replace("daemon: ", "") for line in lines))
    )


def _presence(status: AgentStatus) -> str:
    return status if status in GONE else "present"


def agent_table() -> str:
    """Return every change of status and its events."""
    rows = [(f"`{before}`", f"`{after}`", ", ".join(events)) for (before, after), events in arrows().items()]
    return _table(("from", "to", "by"), rows)


def policy_diagram(steps: Sequence[PolicyStep] = DEFAULT_STEPS) -> str:
    """Return the course of a policy whose targets stay silent."""
    repeats = [length(us) for us in Timers().repeats_us]
    lines = ["    missed([a clock is missed]) --> step0"]
    for number, step in enumerate(steps):
        after = f"step{number + 1}" if number + 1 < len(steps) else "used"
        lines += [
            f'    step{number}{{"step {number + 1}: {step.kind}"}}',
            f"    step{number} -- skipped, with the reason --> {after}",
            f"    step{number} -- taken, and silent again --> {after}",
        ]
    lines += [
        '    used{"no step is left"}',
        f"    used -- main holds it, or a step was taken --> repeats[pinged after {', '.join(repeats)}]",
        "    used -- every step was skipped --> exhausted",
        f"    repeats --> exhausted[exhausted: flagged, pinged every {repeats[-1]}]",
        "    exhausted -- a skipped step can be taken --> step0",
    ]
    return _mermaid("flowchart TD", lines)


def policy_table() -> str:
    """Return what each kind of step asks of its target."""
    rows = [(f"`{kind}`", *row) for kind, row in STEPS.items()]
    return _table(("step", "turns to", "who has to be", "what comes of it"), rows)


def clock_table() -> str:
    """Return the clocks and their lengths."""
    timers = Timers()
    rows = [
        (f"`{name.removesuffix('_us')}`", length(us))
        for name in Timers.__struct_fields__
        if isinstance(us := getattr(timers, name), int) and name.endswith("_us")
    ]
    repeats = ("`repeats`", ", ".join(length(us) for us in timers.repeats_us))
    return _table(("clock", "default"), [*rows, repeats])


def _mermaid(kind: str, lines: Iterable[str]) -> str:
    return "\n".join(("```mermaid", kind, *lines, "```"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
