"""The keeper: how often a process is started again, when it is given up, and that a stop is a stop."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.keeper import (
    TABLE,
    Adopted,
    Due,
    Effect,
    Event,
    Exited,
    Kept,
    Lost,
    NotSpawned,
    Phase,
    Restart,
    RestartPolicy,
    Reviving,
    Spawned,
    Start,
    Stop,
    step,
)
from domain.timers import SECOND_US

POLICY = RestartPolicy()
S = SECOND_US
KILLED = Exited("killed by SIGKILL")


class Life:
    """A keeper whose process obeys, under a clock of its own."""

    def __init__(self, policy: RestartPolicy = POLICY, kept: Kept | None = None) -> None:
        self.policy = policy
        self.now = 1_000 * S
        self.kept = kept or Kept()
        self.launches = 0
        self.ends = 0

    def hear(self, event: Event) -> None:
        self.kept, effects = step(self.kept, event, self.now, self.policy)
        self.launches += effects.count("launch")
        self.ends += effects.count("end")

    def start(self, *, steady: bool = True) -> None:
        self.hear(Start("begin"))
        self.hear(Spawned())
        if steady:
            self.wait(self.policy.steady_us)

    def wait(self, us: int) -> None:
        """Let time pass; what becomes due is told at its time."""
        until = self.now + us
        while self.kept.due_at is not None and self.kept.due_at <= until:
            self.now = max(self.now, self.kept.due_at)
            before = self.launches
            self.hear(Due())
            if self.launches > before:
                self.hear(Spawned())
        self.now = until

    @property
    def told(self) -> tuple[str, str]:
        return self.kept.word, self.kept.why


def test_a_start_counts_as_running_once_it_holds() -> None:
    life = Life()
    assert life.told == ("stopped", "not started yet")
    life.start(steady=False)
    assert life.told == ("stopped", "begin")
    life.wait(POLICY.steady_us - 1)
    assert life.kept.word == "stopped"
    life.wait(1)
    assert life.told == ("running", "begin")


def test_three_tries_three_seconds_apart_then_a_person_has_to_look() -> None:
    life = Life()
    life.start()
    for number in (1, 2, 3):
        life.hear(KILLED)
        assert life.told == ("restarting", f"killed by SIGKILL; try {number} of 3")
        life.wait(3 * S - 1)
        assert life.launches == number
        life.wait(1)
        assert (life.launches, life.kept.phase) == (number + 1, "up")
    life.hear(KILLED)
    assert life.told == ("failed", "killed by SIGKILL; 3 tries failed")
    life.wait(3_600 * S)
    assert life.launches == 4


def test_a_start_that_holds_gives_the_tries_back() -> None:
    life = Life()
    life.start()
    life.hear(KILLED)
    life.wait(3 * S)
    life.hear(KILLED)
    life.wait(3 * S + POLICY.steady_us)
    assert life.kept.word == "running"
    life.hear(KILLED)
    assert life.told == ("restarting", "killed by SIGKILL; try 1 of 3")


def crashed_thrice(life: Life) -> None:
    life.start()
    for _ in range(2):
        life.hear(KILLED)
        life.wait(20 * S)
        assert life.kept.word == "running"
    life.hear(KILLED)


def test_three_exits_in_five_minutes_open_the_breaker() -> None:
    life = Life()
    crashed_thrice(life)
    assert life.told == ("restarting", "killed by SIGKILL; exit 3 in 300 s: one try in 60 s")
    life.wait(60 * S - 1)
    assert life.launches == 3
    life.wait(1)
    assert life.launches == 4


def test_the_one_try_after_the_breaker_is_the_last() -> None:
    life = Life()
    crashed_thrice(life)
    life.wait(60 * S + 200 * S)
    assert life.kept.word == "running"
    life.hear(KILLED)
    assert life.told == ("failed", "killed by SIGKILL; that was the one try after too many exits")


def test_a_window_without_an_exit_closes_the_breaker() -> None:
    life = Life()
    crashed_thrice(life)
    life.wait(60 * S + POLICY.window_us)
    assert (life.kept.due_at, life.kept.half_open) == (None, False)
    life.hear(KILLED)
    assert life.told == ("restarting", "killed by SIGKILL; try 1 of 3")


def test_exits_that_are_far_apart_are_no_reason_to_pause() -> None:
    life = Life()
    life.start()
    for _ in range(10):
        life.hear(KILLED)
        assert life.told == ("restarting", "killed by SIGKILL; try 1 of 3")
        life.wait(3 * S + 150 * S)
        assert life.kept.word == "running"


def test_what_cannot_be_started_is_tried_as_often() -> None:
    life = Life()
    life.hear(Start("begin"))
    for number in (1, 2, 3):
        life.hear(NotSpawned("cannot be started: no such file"))
        assert life.told == ("restarting", f"cannot be started: no such file; try {number} of 3")
        life.now += 3 * S
        life.hear(Due())
    life.hear(NotSpawned("cannot be started: no such file"))
    assert life.kept.word == "failed"


def test_an_end_that_was_meant_is_no_crash() -> None:
    meant = Exited("exited with 0", clean=True)
    life = Life()
    life.start()
    life.hear(meant)
    assert life.told == ("stopped", "exited with 0, by itself")
    always = Life(RestartPolicy(when="always"))
    always.start()
    always.hear(meant)
    assert always.kept.word == "restarting"


def test_who_is_never_started_again_is_gone() -> None:
    life = Life(RestartPolicy(when="never"))
    life.start()
    life.hear(KILLED)
    assert life.told == ("gone", "killed by SIGKILL")


def test_a_stop_takes_its_time_and_is_told_when_it_is_true() -> None:
    life = Life()
    life.start()
    life.hear(Stop("stopped by olga"))
    assert (life.ends, *life.told) == (1, "running", "stopped by olga")
    life.hear(Exited("exited with 1"))
    assert life.told == ("stopped", "stopped by olga")
    life.wait(3_600 * S)
    assert life.launches == 1


def test_a_restart_is_a_stop_and_a_start_with_the_whole_budget() -> None:
    life = Life()
    crashed_thrice(life)
    life.wait(70 * S)
    life.hear(Restart("restarted by olga"))
    assert (life.ends, *life.told) == (1, "restarting", "restarted by olga")
    life.hear(Exited("killed by SIGTERM"))
    life.hear(Spawned())
    assert not life.kept.half_open
    life.wait(3 * S)
    assert life.told == ("running", "restarted by olga")


def test_the_last_order_counts() -> None:
    life = Life()
    life.start()
    for order in (Stop("a"), Start("b"), Stop("c"), Restart("d"), Stop("e")):
        life.hear(order)
    life.hear(KILLED)
    assert (life.ends, life.launches, *life.told) == (1, 1, "stopped", "e")
    life.hear(Restart("f"))
    assert life.launches == 2


def test_an_order_ends_a_pause() -> None:
    life = Life()
    life.start()
    life.hear(KILLED)
    life.hear(Start("started by olga"))
    assert (life.launches, life.kept.phase, life.kept.tries) == (2, "starting", 0)
    life.hear(NotSpawned("no"))
    life.hear(Stop("stopped by olga"))
    life.wait(3_600 * S)
    assert (life.launches, *life.told) == (2, "stopped", "stopped by olga")


def test_what_comes_up_after_it_was_called_off_is_ended() -> None:
    life = Life()
    life.hear(Start("begin"))
    life.hear(Stop("stopped by olga"))
    life.hear(Spawned())
    assert (life.ends, life.kept.phase) == (1, "stopping")
    life.hear(KILLED)
    assert life.told == ("stopped", "stopped by olga")


def test_what_was_found_running_is_running() -> None:
    life = Life()
    life.hear(Adopted("it ran on"))
    assert life.told == ("running", "it ran on")
    life.hear(KILLED)
    assert life.told == ("restarting", "killed by SIGKILL; try 1 of 3")


def test_what_ended_meanwhile_is_started_again_as_after_a_crash() -> None:
    life = Life()
    life.hear(Lost("it ended while the daemon was away"))
    assert life.told == ("restarting", "it ended while the daemon was away; try 1 of 3")
    never = Life(RestartPolicy(when="never"))
    never.hear(Lost("it ended"))
    assert never.told == ("gone", "it ended")


EVENTS: list[Event] = [
    Start("x"),
    Stop("x"),
    Restart("x"),
    Adopted("x"),
    Lost("x"),
    Spawned(),
    NotSpawned("x"),
    Exited("x"),
    Due(),
]
PHASES: tuple[Phase, ...] = get_args(Phase)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_in_an_empty_cell_nothing_follows(phase: Phase, event: Event) -> None:
    kept = Kept(phase=phase)
    if (phase, type(event)) not in TABLE:
        assert step(kept, event, 0, POLICY) == (kept, ())
    else:
        assert step(kept, event, 10**12, POLICY) != (kept, ()) or isinstance(event, Due)


def test_too_early_is_not_yet() -> None:
    for kept in (Kept(phase="up", due_at=10), Kept(phase="pausing", due_at=10), Kept(phase="up")):
        assert step(kept, Due(), 9, POLICY) == (kept, ())


class Machine(RuleBasedStateMachine):
    """Any order of orders, crashes and waits: nothing is started that was stopped, nothing twice."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = RestartPolicy(exits=2, tries=2)
        self.kept = Kept()
        self.now = 0
        self.alive = False
        self.launching = False
        self.ending = False
        self.wanted = False
        self.by_itself: list[int] = []  # instants of starts that nobody asked for

    def hear(self, event: Event) -> None:
        self.kept, effects = step(self.kept, event, self.now, self.policy)
        for effect in effects:
            self.obey(effect, asked=isinstance(event, Start | Restart))

    def obey(self, effect: Effect, *, asked: bool) -> None:
        if effect == "launch":
            assert self.wanted, "started although it was stopped"
            assert not self.alive, "two processes at once"
            self.launching = True
            if asked:
                self.by_itself.clear()
            else:
                self.by_itself.append(self.now)
        else:
            assert self.alive, "there is nothing to end"
            assert not self.ending, "ended twice"
            self.ending = True

    @precondition(lambda self: self.launching)
    @rule(works=st.booleans())
    def launched(self, *, works: bool) -> None:
        self.launching = False
        self.alive = works
        self.hear(Spawned() if works else NotSpawned("no"))

    @precondition(lambda self: not self.launching)
    @rule(word=st.sampled_from(["start", "stop", "restart"]))
    def order(self, word: str) -> None:
        self.wanted = word != "stop"
        orders: dict[str, Event] = {"start": Start("x"), "stop": Stop("x"), "restart": Restart("x")}
        self.hear(orders[word])

    @precondition(lambda self: self.alive)
    @rule(clean=st.booleans())
    def exits(self, *, clean: bool) -> None:
        self.alive = self.ending = False
        if clean and self.kept.phase == "up":
            self.wanted = False
        self.hear(Exited("x", clean=clean))

    @rule(seconds=st.one_of(st.integers(0, 10), st.integers(0, 400)))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S
        if not self.launching:
            self.hear(Due())

    @invariant()
    def it_knows_what_there_is(self) -> None:
        assert self.alive == (self.kept.phase in {"up", "stopping"})
        assert self.launching == (self.kept.phase == "starting")
        assert (self.kept.word == "running") <= self.alive

    @invariant()
    def it_never_waits_for_nothing(self) -> None:
        young = self.kept.phase == "up" and (not self.kept.steady or self.kept.half_open)
        assert (self.kept.due_at is not None) == (young or self.kept.phase == "pausing")

    @invariant()
    def it_is_not_started_more_often_than_the_budget_says(self) -> None:
        recent = [at for at in self.by_itself if at > self.now - self.policy.window_us]
        assert len(recent) <= self.policy.exits * (self.policy.tries + 1) + 1


TestMachine = Machine.TestCase


@given(when=st.sampled_from(get_args(Reviving)), clean=st.booleans(), steady=st.booleans())
def test_every_end_leads_somewhere(*, when: Reviving, clean: bool, steady: bool) -> None:
    life = Life(RestartPolicy(when=when))
    life.start(steady=steady)
    life.hear(Exited("x", clean=clean))
    expected = {"never": "gone", "always": "restarting", "crash": "restarting"}[when]
    assert life.kept.word == ("stopped" if clean and when == "crash" else expected)


def test_who_was_given_up_stays_so_until_a_new_start_has_held() -> None:
    life = Life(kept=Kept(rest="failed", why="3 tries failed"))
    life.start(steady=False)
    assert life.told == ("failed", "begin")
    life.wait(POLICY.steady_us)
    assert life.kept.word == "running"
    life = Life(kept=Kept(rest="failed"))
    life.start(steady=False)
    life.hear(Restart("restarted by olga"))
    assert life.told == ("restarting", "restarted by olga")
    life.hear(Stop("stopped by olga"))
    assert life.told == ("failed", "stopped by olga")
    life.hear(KILLED)
    assert life.told == ("stopped", "stopped by olga")
