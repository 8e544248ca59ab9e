"""What silence makes of an agent: suspect, dead, its work released, and at last a record that is not listed.

Each step is one decision at the agent's `silent_at`, which says when it has to be looked at again.
"""

from collections.abc import Sequence

from msgspec import structs

from contracts.records import OPEN_STATUSES, Agent, Hold, Machine
from contracts.work import Changes, Lookup, View
from domain import brakes, ending
from domain.draft import Draft
from domain.leases import able_giver, end_lease, return_to_giver
from domain.processes import own_beats
from domain.projection import put_agent
from domain.timers import SECOND_US, Timers
from domain.wording import length


def judge(view: View, agent_id: int, now: int, *, silent: Lookup, timers: Timers) -> Changes:
    """Take the next step with an agent whose time has come, or look at it again later.

    A bus that is down silences everybody, and the hold is written only when it is back: so nobody is
    judged later than up to when the answers are known to have been handled.
    """
    draft = Draft(view, now, actor="rollcall:monitor", timers=timers)
    known = next((agent for agent in view.agents.values() if agent.id == agent_id), None)
    if known is None or known.silent_at is None or known.silent_at > now:
        return draft.changes()
    due = _listened(known, known.silent_at, view.holds, timers)
    if known.released_at is not None:
        _hide(draft, known)
    elif due > now:
        draft.put(structs.replace(known, silent_at=due))
    elif view.answers_until is None or view.answers_until < due:
        draft.put(structs.replace(known, silent_at=now + timers.recheck_us))
    elif known.dead_at is not None:
        _release(draft, known)
    else:
        _doubt(draft, known, silent)
    return draft.changes()


def witness(draft: Draft, agent: Agent) -> Machine | None:
    """Return the machine that says now that the agent's process runs or is started anew, if one does.

    What an earlier session of its daemon said counts only when the present one has said it too.
    """
    if agent.machine is None or agent.process not in ("running", "restarting"):
        return None
    machine = draft.machine(agent.machine)
    if machine is None or not machine.connected or (machine.silent_at or 0) <= draft.now:
        return None
    return machine if (agent.process_at or 0) >= machine.joined_at else None


def _doubt(draft: Draft, agent: Agent, silent: Lookup) -> None:
    """Doubt an agent whose beats were missed; while its daemon speaks for it, it loses nothing."""
    now = draft.now
    machine = witness(draft, agent)
    again = now + draft.timers.grace_us * (1 + draft.view.health)
    if machine is not None and not (agent.process == "running" and own_beats(agent)):
        put_agent(draft, structs.replace(agent, silent_at=machine.silent_at, suspect_at=None, dies_at=None))
    elif agent.suspect_at is None:
        put_agent(draft, structs.replace(agent, suspect_at=now, silent_at=again))
    elif machine is not None:
        draft.put(structs.replace(agent, silent_at=again, dies_at=None))
    else:
        _end(draft, agent, silent)


def _end(draft: Draft, agent: Agent, silent: Lookup) -> None:
    """Declare a suspect dead when its grace is over, unless a brake is on and it is not its turn."""
    at = brakes.turn(draft, agent, silent)
    if at > draft.now:
        brake = brakes.holding(draft, agent)
        row = None if brake is None or brake.released_at is None else at
        draft.put(structs.replace(agent, silent_at=at, dies_at=row))
        return
    quiet_us = (draft.now - _heard_at(draft, agent)) // SECOND_US * SECOND_US
    why = f"not heard for {length(quiet_us)}"
    dead = structs.replace(
        agent,
        dead_at=draft.now,
        dead_why=why,
        dies_at=None,
        silent_at=draft.now + draft.timers.release_us,
    )
    draft.fact(put_agent(draft, dead), "died", why=why, leases=agent.leases)


def _heard_at(draft: Draft, agent: Agent) -> int:
    """Return when the last sign of an agent came: its own, or its daemon's."""
    machine = None if agent.machine is None else draft.machine(agent.machine)
    signs = (agent.beat_at if own_beats(agent) else None, None if machine is None else machine.beat_at)
    return max((at for at in signs if at is not None), default=agent.joined_at or draft.now)


def _release(draft: Draft, agent: Agent) -> None:
    """Give what a dead agent held back to todo, where somebody else is sought; not while all is frozen."""
    if draft.view.frozen is not None:
        draft.put(structs.replace(agent, silent_at=draft.now + draft.timers.release_us))
        return
    rows = [row for row in draft.view.assignments.values() if row.agent == agent.name]
    for row in sorted((row for row in rows if row.status in OPEN_STATUSES), key=lambda row: row.id):
        giver = able_giver(draft, row) if row.status == "pending" else None
        ended = end_lease(
            draft, row, "lost", holder=None if giver is None else giver.name, why=f"{agent.name} is dead"
        )
        if giver is not None:
            return_to_giver(draft, ended, giver)
        else:
            ending.give_back(draft, draft.task(row.task_id), ended, f"lost by {agent.name}, which is dead")
            draft.comment(row.task_id, f"Lost: {agent.name} is dead")
    at = draft.now + draft.timers.hide_us
    after = structs.replace(draft.agent(agent.name), released_at=draft.now, silent_at=at)
    draft.fact(put_agent(draft, after), "leases_released", leases=agent.leases)


def _hide(draft: Draft, agent: Agent) -> None:
    """Let a record be a tombstone, unless it holds work again by an operator's word."""
    if agent.leases:
        draft.put(structs.replace(agent, silent_at=draft.now + draft.timers.hide_us))
        return
    after = structs.replace(agent, hidden_at=draft.now, silent_at=None)
    draft.put(after)
    draft.fact(after, "hidden")


def _listened(agent: Agent, silent_at: int, holds: Sequence[Hold], timers: Timers) -> int:
    """Return when its beats have been missed while somebody could hear them: after a hold all are awaited."""
    whole_us = timers.beat_misses * agent.beat_interval_us
    for hold in sorted(holds, key=lambda hold: hold.start_at):
        if hold.start_at < silent_at < hold.end_at + whole_us:
            silent_at = hold.end_at + whole_us
    return silent_at
