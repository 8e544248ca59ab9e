"""One agent's process, kept: started, started again after a crash, given up in the end, stopped when asked.

Two budgets, for two ways to be ill. A start that does not hold (`steady_us`) is a failed try: after `tries`
of them, `pause_us` apart, a person has to look. A process that holds and then exits, `exits` times within
`window_us`, opens the breaker: nothing for `cool_us`, then one try, and an exit within the window ends it.
Instants are microseconds on a clock that never steps.
"""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, structs

from domain.timers import SECOND_US

Phase = Literal["resting", "starting", "up", "stopping", "pausing"]
Rest = Literal["stopped", "gone", "failed"]
Word = Literal["running", "restarting", "stopped", "gone", "failed"]
"""What the world is told of a process."""
Effect = Literal["launch", "end"]
"""`launch` is answered by Spawned or NotSpawned, `end` (gracefully, then by force) by Exited."""
Reviving = Literal["crash", "always", "never"]


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """When a process that ended is started again; lengths in microseconds."""

    when: Reviving = "crash"  # an exit with 0 is no crash: the agent meant it
    tries: int = 3
    pause_us: int = 3 * SECOND_US
    steady_us: int = 3 * SECOND_US
    exits: int = 3
    window_us: int = 300 * SECOND_US
    cool_us: int = 60 * SECOND_US


class Start(Struct, frozen=True):
    """It is to run; a process that runs is left alone."""

    why: str


class Stop(Struct, frozen=True):
    """It is not to run, and is not started again by itself."""

    why: str


class Restart(Struct, frozen=True):
    """It is to run anew."""

    why: str


class Adopted(Struct, frozen=True):
    """It was found running."""

    why: str


class Lost(Struct, frozen=True):
    """It had been running, and was found gone."""

    how: str


class Spawned(Struct, frozen=True):
    """It was launched."""


class NotSpawned(Struct, frozen=True):
    """It could not be launched."""

    how: str


class Exited(Struct, frozen=True):
    """It ended."""

    how: str
    clean: bool = False  # with 0, by itself


class Due(Struct, frozen=True):
    """Time has passed."""


Event = Start | Stop | Restart | Adopted | Lost | Spawned | NotSpawned | Exited | Due


class Kept(Struct, frozen=True, kw_only=True):
    """What is known of one agent's process."""

    phase: Phase = "resting"
    rest: Rest = "stopped"  # how it came to rest
    anew: bool = False  # it rested before this start
    why: str = "not started yet"
    steady: bool = False  # its start has held
    tries: int = 0  # starts since the last one that held
    exits: tuple[int, ...] = ()  # when processes ended that had held, within the window
    half_open: bool = False  # the breaker has opened: this is the one try after it
    began_at: int = 0
    due_at: int | None = None  # when something is to be done by itself
    again: bool = False  # while stopping: to be started again

    @property
    def word(self) -> Word:
        """Say how the process is; until a start has held it is being restarted, or still what it was."""
        if self.phase == "resting" or self.tentative:
            return self.rest
        return "running" if self.steady and not self.again else "restarting"

    @property
    def tentative(self) -> bool:
        """Whether it is being started from rest: nothing is said of it before that has held, or failed."""
        return self.phase != "resting" and self.anew and not self.steady and not self.again


Step = tuple[Kept, tuple[Effect, ...]]


def step(kept: Kept, event: Event, now: int, policy: RestartPolicy) -> Step:
    """Return what follows from an event; in an empty cell of the table nothing does."""
    cell = TABLE.get((kept.phase, type(event)))
    return (kept, ()) if cell is None else cell(kept, event, now, policy)


def _launch(kept: Kept, event: Start | Restart, _now: int, _policy: RestartPolicy) -> Step:
    """Start it with its whole budget: somebody asked for it."""
    return Kept(phase="starting", rest=kept.rest, anew=kept.phase == "resting", why=event.why), ("launch",)


def _adopt(_kept: Kept, event: Adopted, now: int, _policy: RestartPolicy) -> Step:
    return Kept(phase="up", steady=True, began_at=now, why=event.why), ()


def _spawned(kept: Kept, _event: Spawned, now: int, policy: RestartPolicy) -> Step:
    return structs.replace(kept, phase="up", steady=False, began_at=now, due_at=now + policy.steady_us), ()


def _not_wanted(kept: Kept, _event: Spawned, _now: int, _policy: RestartPolicy) -> Step:
    """End what came up after it was called off."""
    return structs.replace(kept, phase="stopping", again=False), ("end",)


def _not_there(kept: Kept, event: NotSpawned | Lost, now: int, policy: RestartPolicy) -> Step:
    return _revive(kept, event.how, now, policy)


def _stop(kept: Kept, event: Stop, _now: int, _policy: RestartPolicy) -> Step:
    return structs.replace(kept, phase="stopping", why=event.why, due_at=None, again=False), ("end",)


def _restart(kept: Kept, event: Restart, _now: int, _policy: RestartPolicy) -> Step:
    return structs.replace(kept, phase="stopping", why=event.why, due_at=None, again=True), ("end",)


def _again(kept: Kept, event: Start | Restart, _now: int, _policy: RestartPolicy) -> Step:
    return structs.replace(kept, why=event.why, again=True), ()


def _not_again(kept: Kept, event: Stop, _now: int, _policy: RestartPolicy) -> Step:
    return structs.replace(kept, why=event.why, again=False), ()


def _call_off(_kept: Kept, event: Stop, _now: int, _policy: RestartPolicy) -> Step:
    return _rest("stopped", event.why)


def _ended(kept: Kept, event: Exited, now: int, policy: RestartPolicy) -> Step:
    """Tell a crash from an end that was meant."""
    if event.clean and policy.when == "crash":
        return _rest("stopped", f"{event.how}, by itself")
    return _revive(kept, event.how, now, policy)


def _stopped(kept: Kept, _event: Exited, _now: int, _policy: RestartPolicy) -> Step:
    if kept.again:
        return Kept(phase="starting", why=kept.why), ("launch",)
    return _rest("stopped", kept.why)


def _due(kept: Kept, _event: Due, now: int, policy: RestartPolicy) -> Step:
    """Note that the start has held; or, after the breaker, that it has for a whole window."""
    if kept.due_at is None or now < kept.due_at:
        return kept, ()
    until = kept.began_at + policy.window_us
    if kept.half_open and now < until:
        return structs.replace(kept, steady=True, due_at=until), ()
    return structs.replace(kept, steady=True, due_at=None, half_open=False), ()


def _retry(kept: Kept, _event: Due, now: int, _policy: RestartPolicy) -> Step:
    if kept.due_at is None or now < kept.due_at:
        return kept, ()
    return structs.replace(kept, phase="starting", due_at=None), ("launch",)


def _revive(kept: Kept, how: str, now: int, policy: RestartPolicy) -> Step:
    """Spend from the budget, or give up."""
    if policy.when == "never":
        return _rest("gone", how)
    if kept.half_open:
        return _rest("failed", f"{how}; that was the one try after too many exits")
    recent = tuple(at for at in kept.exits if at > now - policy.window_us)
    exits = (*recent, now) if kept.steady else recent
    waiting = Kept(phase="pausing", exits=exits)
    if len(exits) >= policy.exits:
        why = (
            f"{how}; exit {len(exits)} in {_seconds(policy.window_us)}: one try in {_seconds(policy.cool_us)}"
        )
        return structs.replace(waiting, exits=(), half_open=True, why=why, due_at=now + policy.cool_us), ()
    tries = 1 if kept.steady else kept.tries + 1
    if tries > policy.tries:
        return _rest("failed", f"{how}; {policy.tries} tries failed")
    why = f"{how}; try {tries} of {policy.tries}"
    return structs.replace(waiting, tries=tries, why=why, due_at=now + policy.pause_us), ()


def _rest(rest: Rest, why: str) -> Step:
    return Kept(rest=rest, why=why), ()


def _seconds(us: int) -> str:
    return f"{us / SECOND_US:g} s"


TABLE: dict[tuple[Phase, type[Event]], Callable[[Kept, Any, int, RestartPolicy], Step]] = {
    ("resting", Start): _launch,
    ("resting", Restart): _launch,
    ("resting", Stop): _call_off,
    ("resting", Adopted): _adopt,
    ("resting", Lost): _not_there,
    ("resting", Spawned): _not_wanted,
    ("starting", Spawned): _spawned,
    ("starting", NotSpawned): _not_there,
    ("starting", Stop): _call_off,
    ("up", Stop): _stop,
    ("up", Restart): _restart,
    ("up", Exited): _ended,
    ("up", Due): _due,
    ("stopping", Start): _again,
    ("stopping", Restart): _again,
    ("stopping", Stop): _not_again,
    ("stopping", Exited): _stopped,
    ("pausing", Start): _launch,
    ("pausing", Restart): _launch,
    ("pausing", Stop): _call_off,
    ("pausing", Due): _retry,
}
