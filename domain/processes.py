"""What a daemon's word on a process changes about its agent."""

from msgspec import structs

from contracts.messages import ProcessFacts
from contracts.records import Agent, Machine, ProcessState
from domain.draft import Draft
from domain.projection import put_agent
from domain.wording import because, misspelt

BACK: dict[str, None] = dict.fromkeys(
    ("suspect_at", "dies_at", "dead_at", "dead_why", "released_at", "hidden_at")
)
"""What is no longer so of an agent that is there again."""


ENDED: tuple[ProcessState, ...] = ("restarting", "stopped", "gone", "failed")
"""Words of a daemon that its agent contradicts by joining, and by nothing less."""


UNSAID: dict[str, None] = dict.fromkeys(("process", "process_at", "process_why", "pid"))
"""What is left of a daemon's word when its agent has contradicted it."""


def own_beats(agent: Agent) -> bool:
    """Tell whether the agent itself was heard in its present session."""
    return agent.beat_at is not None and agent.joined_at is not None and agent.beat_at >= agent.joined_at


def _is_there(agent: Agent) -> bool:
    """Tell whether the agent itself is heard now: whoever was not there before cannot say otherwise."""
    return own_beats(agent) and agent.left_at is None and agent.suspect_at is None and agent.dead_at is None


def _another_speaks(draft: Draft, machine: Machine, agent: Agent, *, named: bool) -> str | None:
    """Return who speaks for the agent rather than this machine, or None; `named`: it knows the session."""
    if agent.kept_by is not None and agent.kept_by.lower() != machine.name.lower():
        return f"{agent.name} is kept by {agent.kept_by or 'no machine'}"
    if agent.machine is not None and agent.machine != machine.name:
        other = draft.machine(agent.machine)
        if other is not None and other.connected:
            return f"{other.name} speaks for {agent.name}"
    if agent.machine != machine.name and not named and _is_there(agent):
        return f"{agent.name} is there by itself"
    return None


def refusal(draft: Draft, machine: Machine, facts: ProcessFacts) -> str | None:
    """Return why the daemon's word on this process is not taken, or None."""
    agent = draft.find_agent(facts.agent)
    if agent is None or not agent.active:
        return f"there is no active agent {facts.agent}"
    if agent.name != facts.agent:
        return misspelt(facts.agent, agent.name)
    named = facts.session is not None and facts.session == agent.session
    others = _another_speaks(draft, machine, agent, named=named)
    if others is not None or facts.state not in ENDED:
        return others
    same = facts.session in (None, agent.session)
    if agent.left_at is not None and same and facts.state != "stopped":
        return f"{agent.name} left on purpose: it is not revived"  # though a later life of it may crash
    foreign = agent.process is None or agent.machine != machine.name  # no process that this daemon told of
    if agent.left_at is None and agent.joined_at is not None and foreign and not named:
        return f"{agent.name} has joined by itself since"
    return None


def take(draft: Draft, machine: Machine, facts: ProcessFacts) -> None:
    """Let the daemon's word count."""
    before = draft.agent(facts.agent)
    after = structs.replace(before, machine=machine.name, process=facts.state)
    after = structs.replace(after, pid=facts.pid, process_why=facts.why)
    changed = _said(after) != _said(before)
    if changed or (before.process_at or 0) < machine.joined_at:  # said by this session of the daemon
        after = structs.replace(after, process_at=draft.now)
    after = _narrowed(after, facts)
    match facts.state:
        case "running":
            after = _running(draft, machine, before, after, facts)
        case "restarting":
            after = structs.replace(after, silent_at=_listens(after, machine), **BACK)
        case "stopped":
            left_at = draft.now if before.left_at is None else before.left_at
            after = structs.replace(after, left_at=left_at, silent_at=None, **BACK)
        case _:
            after = _ended(draft, machine, after)
    if after == before:
        return
    after = put_agent(draft, after)
    if changed:
        draft.fact(
            after,
            "process_changed",
            machine=machine.name,
            process=facts.state,
            pid=facts.pid,
            exits=facts.exits,
            why=facts.why,
        )
    if after.capabilities != before.capabilities:
        draft.fact(after, "narrowed", capabilities=list(after.capabilities))
    if before.status != after.status:
        draft.wake("assigner")


def _said(agent: Agent) -> tuple[object, ...]:
    return agent.machine, agent.process, agent.pid, agent.process_why


def _narrowed(agent: Agent, facts: ProcessFacts) -> Agent:
    """Leave an agent those capabilities that its process has, too; it gets none that it had not."""
    if facts.capabilities is None or facts.state != "running":
        return agent
    kept = tuple(name for name in agent.capabilities if name in facts.capabilities)
    return structs.replace(agent, capabilities=kept)


def _running(draft: Draft, machine: Machine, before: Agent, after: Agent, facts: ProcessFacts) -> Agent:
    """Let a running process stand for its agent; one that was not known before is a new life of it."""
    fresh = (before.machine, before.process, before.pid) != (machine.name, "running", facts.pid)
    if not fresh:
        missed = before.suspect_at if own_beats(before) else None  # its own beats are still missed
        if (before.dead_at, before.suspect_at) == (None, missed):
            return after
        return structs.replace(after, **BACK | {"silent_at": _listens(after, machine), "suspect_at": missed})
    if facts.session is not None and facts.session != before.session:
        after = structs.replace(after, session=facts.session, joined_at=draft.now)
    elif before.joined_at is None or before.left_at is not None:
        after = structs.replace(after, joined_at=draft.now)
    silent_at = _listens(after, machine)
    return structs.replace(after, left_at=None, silent_at=silent_at, **BACK)


def _ended(draft: Draft, machine: Machine, after: Agent) -> Agent:
    """Let an agent be dead at once: the daemon is the second witness."""
    if after.beats == "none" or after.dead_at is not None:
        return after
    why = because(f"{machine.name} says that its process is gone", after.process_why)
    return structs.replace(
        after, dead_at=draft.now, dead_why=why, dies_at=None, silent_at=draft.now + draft.timers.release_us
    )


def _listens(agent: Agent, machine: Machine) -> int | None:
    """Return until when the daemon's word holds without being said again."""
    return machine.silent_at if agent.beats == "required" else None
