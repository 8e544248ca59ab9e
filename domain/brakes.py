"""The brake: when many fall silent at once nobody is declared dead, until it is clear that it is not us.

It holds until the canary, our own beat over the same bus, was heard for a while; at most for half an hour.
Then it lets go, one death at a time, so that those who are really dead are found too.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, structs

from contracts.errors import NotFoundError
from contracts.operations.presence import BrakesResult, BrakeView, ReleaseParams, ReleaseResult
from contracts.records import Agent, Brake
from contracts.views import view as shown_as
from contracts.work import Changes, Lookup, View
from domain.draft import Draft
from domain.timers import SECOND_US, Timers

FLEET: Final = "fleet"
SILENT_MIN: Final = 3
TOO_LONG: Final = "it held as long as it may"
LOOK_US: Final = 5 * SECOND_US
CANARY_GAP_US: Final = 15 * SECOND_US
CANARY_TTL_US: Final = 90 * SECOND_US
MEMBERS: Final = Lookup(query="brake_members")
"""How many living agents are expected to beat, by machine."""


class Toll(Struct, frozen=True):
    """How many of a scope could have fallen silent, and how many did."""

    members: int
    silent: int

    @property
    def heavy(self) -> bool:
        """Whether so many are silent that it is more likely us than them."""
        return self.silent >= SILENT_MIN and self.silent * 2 >= self.members


def silent_since(since: int) -> Lookup:
    """Return the lookup of who is silent, by machine and second, with those that died of it after `since`."""
    return Lookup(query="brake_silent", params=(("since", since),))


def scopes(agent: Agent) -> tuple[str, ...]:
    """Return the scopes whose brakes hold an agent."""
    return (FLEET,) if agent.machine is None else (FLEET, f"machine:{agent.machine}")


def holding(draft: Draft, agent: Agent) -> Brake | None:
    """Return the brake that is on for the agent, one that lets nobody go before one that does."""
    return min(_on(draft, agent), key=lambda brake: brake.released_at is not None, default=None)


def holds(draft: Draft, agent: Agent) -> bool:
    """Tell whether an agent is silent and a brake is on that lets nobody go."""
    brake = None if agent.suspect_at is None else holding(draft, agent)
    return brake is not None and brake.released_at is None


def turn(draft: Draft, agent: Agent, silent: Lookup) -> int:
    """Return when a silent agent may be declared dead (now, if it may), or has to be looked at again.

    The first of too many puts the brake on, and again when too many more fall silent after it let go.
    """
    now, timers = draft.now, draft.timers
    known = _on(draft, agent)
    since = max((_lets_go_at(brake, timers) for brake in known), default=0)
    if since < (agent.suspect_at or now):  # what befell before was judged when the brake let go
        _put_on(draft, agent, silent, since)
    for brake in _on(draft, agent):
        if brake.released_at is None and now >= _lets_go_at(brake, timers):
            release(draft, brake, TOO_LONG)  # even if nobody looks at the brake itself any more
    on = holding(draft, agent)
    if on is None:
        return now
    if on.released_at is None:
        return now + timers.grace_us  # even if another brake had let it go
    if agent.dies_at is not None and agent.dies_at <= now < agent.dies_at + timers.brake_pace_us:
        return now  # else nobody judged for a while: the turns that passed are not taken all at once
    at = max(now, on.next_death_at or 0)
    draft.put(structs.replace(on, next_death_at=at + timers.brake_pace_us))
    return at


def _on(draft: Draft, agent: Agent) -> list[Brake]:
    return [brake for brake in map(draft.brake, scopes(agent)) if brake is not None]


def _lets_go_at(brake: Brake, timers: Timers) -> int:
    return brake.began_at + timers.brake_us if brake.released_at is None else brake.released_at


def _put_on(draft: Draft, agent: Agent, silent: Lookup, since: int) -> None:
    """Put the brake on in the first scope where too many fell silent; one that let others go holds anew."""
    around = agent.suspect_at or draft.now
    for scope in scopes(agent):
        toll = _toll(draft, scope, silent, around, since)
        if toll.heavy:
            known = draft.brake(scope)
            brake = Brake(
                id=draft.view.new_id("brakes") if known is None else known.id,
                scope=scope,
                began_at=draft.now,
                members=toll.members,
                silent=toll.silent,
                look_at=draft.now + LOOK_US,
                version=0 if known is None else known.version,
            )
            draft.put(brake)
            draft.fact(brake, "put_on", scope=scope, members=toll.members, silent=toll.silent)
            return


def _toll(draft: Draft, scope: str, silent: Lookup, around: int, since: int) -> Toll:
    """Count who fell silent near an instant and after `since`, among those that were not silent before."""
    rows = _rows(draft.view.rows[silent], scope)
    living = sum(row[1] for row in _rows(draft.view.rows[MEMBERS], scope))
    before = sum(row[3] for row in rows if row[1] < since // SECOND_US and not row[2])
    fresh = [row for row in rows if row[1] >= since // SECOND_US]
    near = [row for row in fresh if abs(row[1] * SECOND_US - around) <= draft.timers.brake_window_us]
    return Toll(living - before + sum(row[3] for row in near if row[2]), sum(row[3] for row in near))


def _rows(rows: Sequence[Any], scope: str) -> list[Any]:
    return [row for row in rows if scope in (FLEET, f"machine:{row[0]}")]


def judge(view: View, brake_id: int, now: int, *, silent: Lookup, timers: Timers) -> Changes:
    """Look whether a brake may end or let go."""
    draft = Draft(view, now, actor="rollcall:monitor", timers=timers)
    brake = view.brakes.get(brake_id)
    if brake is None or brake.look_at is None or brake.look_at > now or brake.ended_at is not None:
        return draft.changes()
    alive = sum(row[1] for row in _rows(view.rows[MEMBERS], brake.scope))
    toll = Toll(alive, sum(row[3] for row in _rows(view.rows[silent], brake.scope) if not row[2]))
    if brake.released_at is None and not toll.heavy:
        _end(draft, brake, "beats returned")
    elif brake.released_at is not None and not toll.silent:
        _end(draft, brake, "whoever was silent is back or was found dead")
    elif brake.released_at is None and _sings(brake, now):
        release(draft, brake, "the canary was heard all the time: they are silent, not we deaf")
    elif brake.released_at is None and now - brake.began_at >= timers.brake_us:
        release(draft, brake, TOO_LONG)
    else:
        draft.put(structs.replace(brake, look_at=now + LOOK_US))
    return draft.changes()


def _sings(brake: Brake, now: int) -> bool:
    since, last = brake.canary_since, brake.canary_at
    if since is None or last is None or now - last > CANARY_GAP_US:
        return False
    return last - since >= CANARY_TTL_US


def release(draft: Draft, brake: Brake, why: str) -> None:
    """Let a brake go, one death at a time."""
    after = structs.replace(
        brake,
        released_at=draft.now,
        released_why=why,
        next_death_at=draft.now,
        look_at=draft.now + LOOK_US,
    )
    draft.put(after)
    draft.fact(after, "released", scope=brake.scope, why=why)


def _end(draft: Draft, brake: Brake, why: str) -> None:
    after = structs.replace(brake, ended_at=draft.now, end_reason=why, look_at=None)
    draft.put(after)
    draft.fact(after, "taken_off", scope=brake.scope, why=why)


def canary(view: View, now: int, at: int, timers: Timers) -> Changes:
    """Note on every brake that our own beat came back over the bus."""
    draft = Draft(view, now, actor="rollcall:monitor", timers=timers)
    for brake in view.brakes.values():
        if brake.ended_at is None and brake.released_at is None:
            heard_at = min(at, now)
            gap = brake.canary_at is None or heard_at - brake.canary_at > CANARY_GAP_US
            since = heard_at if gap else brake.canary_since
            draft.put(structs.replace(brake, canary_at=heard_at, canary_since=since))
    return draft.changes()


def let_go(view: View, now: int, params: ReleaseParams, *, actor: str, timers: Timers) -> Changes:
    """Let brakes go at an operator's word."""
    draft = Draft(view, now, actor=actor, timers=timers, cause=params.command_id)
    on = [row for row in view.brakes.values() if row.ended_at is None and params.scope in (None, row.scope)]
    if not on:
        raise NotFoundError(
            "no brake is on" if params.scope is None else f"no brake is on for {params.scope}"
        )
    for brake in on:
        if brake.released_at is None:
            release(draft, brake, params.reason)
    return draft.changes(ReleaseResult(scopes=tuple(brake.scope for brake in on)))


def listed(view: View) -> BrakesResult:
    """Return the brakes that are on, for readers."""
    return BrakesResult(items=tuple(shown_as(row, BrakeView) for row in view.brakes.values()))
