"""What holds for every policy, fleet and order of events; the world checks its promises at each write."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.codec import instant
from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.messages import (
    Ack,
    Answer,
    Complete,
    Decline,
    Fail,
    Progress,
    Release,
    Resume,
    Snooze,
    Unsnooze,
    Wait,
)
from contracts.operations.agents import SetParams as AgentParams
from contracts.operations.answers import HandoffParams
from contracts.operations.flags import FlagParams, FreezeParams, ResumeParams, ThawParams
from contracts.operations.tasks import CancelParams, ReopenParams, SetParams
from contracts.records import OPEN_STATUSES, Assignment, Hold, PolicyStep
from domain import agents, escalation, flags, pinging, tasks
from domain.leases import unanswered
from domain.projection import flags as flags_of
from domain.timers import MINUTE_US, Timers
from tests.domain.letters import cannot_be_told
from tests.domain.world import START, World

CAPABILITIES = st.sets(st.sampled_from(["code", "review"])).map(tuple)
STEPS = st.one_of(
    st.builds(PolicyStep, kind=st.sampled_from(["retry", "main", "notify", "peer"])),
    st.builds(PolicyStep, kind=st.just("peer"), capability=st.sampled_from(["code", "review"])),
    st.builds(PolicyStep, kind=st.just("notify"), who=st.sampled_from(["Ruto", "s0", "s1", "the-boss"])),
)
MEMBER = st.fixed_dictionaries(
    {
        "capabilities": CAPABILITIES,
        "capacity": st.integers(0, 2),
        "beats": st.sampled_from(["none", "required"]),
        "flag": st.sampled_from([None, None, "paused", "draining", "quarantined"]),
    }
)
ANSWERS = st.one_of(
    st.builds(Ack, attempt=st.one_of(st.none(), st.integers(0, 9))),
    st.builds(Progress, note=st.sampled_from(["a", "b", ""])),
    st.builds(Wait, on=st.sampled_from(["human", "peer"]), who=st.sampled_from([None, "s1", "x"])),
    st.builds(
        Wait,
        on=st.just("rate_limit"),
        resume_at=st.integers(0, 600).map(lambda m: instant(START + m * MINUTE_US)),
    ),
    st.just(Wait(on="rate_limit")),
    st.builds(Snooze, minutes=st.integers(1, 480)),
    st.builds(Fail, final=st.booleans()),
    *(st.just(what) for what in (Resume(), Unsnooze(), Complete(), Decline(), Release())),
)


def fleet(world: World, members: list[dict[str, Any]]) -> None:
    for number, member in enumerate(members):
        name = f"s{number}"
        world.agent(name, *member["capabilities"], beats=member["beats"], capacity=member["capacity"])
        if member["flag"] is not None:
            world.operate(partial(flags.flag, which=member["flag"]), FlagParams(name=name, reason="ill"))


@given(
    steps=st.lists(STEPS, max_size=6),
    members=st.lists(MEMBER, max_size=5),
    main=st.booleans(),
    needs=CAPABILITIES,
    accepts=st.booleans(),
    lots=st.lists(st.floats(0, 1, exclude_max=True), max_size=6),
)
def test_every_policy_ends_with_a_flag(
    *,
    steps: list[PolicyStep],
    members: list[dict[str, Any]],
    main: bool,
    needs: tuple[str, ...],
    accepts: bool,
    lots: list[float],
) -> None:
    world = World(main=main)
    world.agent("holder", *needs)
    fleet(world, members)
    world.policy("default", *steps)
    task = world.task(to="holder", capabilities=needs)
    if accepts:
        world.say("holder", Ack())
    world.lots = lots
    told = escalation.try_policy(world, task, None, world.now, timers=world.timers)
    world.lots = lots
    world.forward(hours=3 * (len(steps) + 1) + 6)
    row = world.holder(task)
    assert row.exhausted
    assert told.course[-1].what == "exhausted"
    assert row.level <= len(steps)
    assert len(world.assignments) <= len(steps) + 1
    taken = [step for step in world.steps.values() if step.outcome == "taken"]
    assert len({step.step for step in taken}) == len(taken), "a step was taken twice"
    assert row.ping_at is not None or row.deadline_at is not None
    given = {row.agent.lower() for row in world.assignments.values()}
    assert not [name for name in given if flags_of(world.agents[name])], "given to whoever is flagged"


@given(steps=st.lists(STEPS, max_size=4), members=st.lists(MEMBER, max_size=4), turns=st.integers(0, 3))
def test_a_decision_is_a_function_of_what_it_sees(
    steps: list[PolicyStep], members: list[dict[str, Any]], turns: int
) -> None:
    world = World()
    fleet(world, members)
    world.policy("default", *steps)
    task = world.task()
    world.forward(minutes=31 * turns)
    row = world.holder(task)
    at = max(world.now, row.deadline_at or 0, row.ping_at or 0)
    for decide in (escalation.deadline, pinging.ping):
        first, second = copy.deepcopy(world), copy.deepcopy(world)
        first.now = second.now = at
        changes = decide(first, row.id, at, timers=world.timers)
        assert changes == decide(second, row.id, at, timers=world.timers)
        first.write(changes)
        again = decide(first, row.id, at, timers=world.timers)
        if changes.assignments:
            assert not again.steps
            assert not again.pings
            assert not again.facts, "a repeated event did something"


class Life(RuleBasedStateMachine):
    """Agents and operators do as they please while time passes."""

    def __init__(self) -> None:
        super().__init__()
        # nobody eligible is common here: look less often
        self.world = World(Timers(assign_retry_us=20 * MINUTE_US))
        self.seen: set[int] = set()

    @initialize(members=st.lists(MEMBER, min_size=1, max_size=4), steps=st.lists(STEPS, max_size=4))
    def begin(self, members: list[dict[str, Any]], steps: list[PolicyStep]) -> None:
        fleet(self.world, members)
        self.world.agent("free", "code", "review", capacity=2)
        self.world.policy("default", *steps)
        self.world.task("first")

    def attempt(self, deed: Callable[..., Any], *args: Any, **named: Any) -> bool:
        """Do it, or be refused by name with nothing changed."""
        before = (dict(self.world.assignments), dict(self.world.tasks), dict(self.world.agents))
        try:
            deed(*args, **named)
        except (ConflictError, NotFoundError, InvalidError):
            assert before == (self.world.assignments, self.world.tasks, self.world.agents)
            return False
        return True

    def pick(self, number: int, rows: dict[int, Any]) -> Any:
        return list(rows.values())[number % len(rows)]

    @rule(needs=CAPABILITIES, due=st.none() | st.integers(1, 300), after=st.booleans())
    def add(self, needs: tuple[str, ...], due: int | None, *, after: bool) -> None:
        due_at = None if due is None else instant(self.world.now + due * MINUTE_US)
        on = (str(max(self.world.tasks)),) if after else ()
        self.world.task(capabilities=needs, due_at=due_at, depends_on=on)

    @rule(number=st.integers(0, 99), what=ANSWERS, late=st.integers(0, 3))
    def answer(self, number: int, what: Answer, late: int) -> None:
        if not self.world.assignments:
            return
        row: Assignment = self.pick(number, self.world.assignments)
        at = self.world.now - late * MINUTE_US
        before = row.epoch, row.status in OPEN_STATUSES
        if self.attempt(self.world.say, row.agent, what, lease=row.id, at=at):
            assert before[1], "an ended lease was answered"
            assert self.world.tasks[row.task_id].epoch >= before[0]
            facts = len(self.world.facts)
            if self.attempt(self.world.say, row.agent, what, lease=row.id, at=at):
                assert len(self.world.facts) == facts or isinstance(what, Progress | Ack), "done twice"

    @rule(number=st.integers(0, 99), to=st.sampled_from([None, "Ruto", "s0", "free"]))
    def assign(self, number: int, to: str | None) -> None:
        self.attempt(self.world.assign, self.pick(number, self.world.tasks).id, to)

    @rule(
        number=st.integers(0, 99),
        to=st.sampled_from([None, "Ruto", "s0", "free"]),
        needs=st.sampled_from([None, "review"]),
    )
    def hand_off(self, number: int, to: str | None, needs: str | None) -> None:
        if self.world.assignments:
            row = self.pick(number, self.world.assignments)
            capability = needs if to is None else None
            params = HandoffParams(assignment=row.id, to=to, capability=capability)
            self.attempt(self.world.hand_off, row.agent, params)

    @rule(number=st.integers(0, 99), pings=st.booleans(), minutes=st.integers(1, 60))
    def change(self, number: int, minutes: int, *, pings: bool) -> None:
        task = self.pick(number, self.world.tasks).id
        params = SetParams(task=task, pings_enabled=pings, ping_interval_minutes=minutes)
        self.attempt(self.world.operate, tasks.set_task, params)

    @rule(number=st.integers(0, 99))
    def undelivered(self, number: int) -> None:
        if self.world.assignments:
            row: Assignment = self.pick(number, self.world.assignments)
            cannot_be_told(self.world, row)
            after = self.world.assignments[row.id]
            assert after == row or (unanswered(row) and self.beats(row) == "none"), "who was told is missed"

    @rule(number=st.integers(0, 99), reopen=st.booleans())
    def end(self, number: int, *, reopen: bool) -> None:
        task = self.pick(number, self.world.tasks).id
        if reopen:
            self.attempt(self.world.operate, tasks.reopen, ReopenParams(task=task))
        else:
            self.attempt(self.world.operate, tasks.cancel, CancelParams(task=task))

    @rule(name=st.sampled_from(["s0", "free", "Ruto"]), quarantined=st.booleans())
    def quarantine(self, name: str, *, quarantined: bool) -> None:
        self.world.operate(agents.set_agent, AgentParams(name=name, quarantined=quarantined))

    @rule(
        name=st.sampled_from(["free", "free", "Ruto", "s0"]),
        which=st.sampled_from(["paused", "draining", "paused", "quarantined", "resumed", "retired"]),
    )
    def flag(self, name: str, which: Any) -> None:
        before = self.world.agents.get(name.lower())
        if which == "resumed":
            self.attempt(self.world.operate, flags.resume, ResumeParams(name=name))
        elif which == "retired":
            gone = self.attempt(self.world.operate, flags.retire, FlagParams(name=name, reason="old"))
            assert not gone or (before is not None and not before.leases), "it went with open work"
        else:
            decide = partial(flags.flag, which=which)
            self.attempt(self.world.operate, decide, FlagParams(name=name, reason="ill"))

    @rule(frozen=st.booleans())
    def freeze(self, *, frozen: bool) -> None:
        if frozen:
            self.world.operate(flags.freeze, FreezeParams(reason="a release"))
        else:
            self.world.operate(flags.thaw, ThawParams())

    @rule(name=st.sampled_from(["s0", "free"]))
    def join(self, name: str) -> None:
        self.attempt(self.world.join, name)

    @rule(minutes=st.integers(0, 200), held=st.integers(0, 20), blind=st.booleans())
    def pass_time(self, minutes: int, held: int, *, blind: bool) -> None:
        if held:
            self.world.holds.append(Hold(start_at=self.world.now, end_at=self.world.now + held * MINUTE_US))
        self.world.handled = self.world.now if blind else -1
        self.world.forward(minutes=min(minutes, 10) if blind else minutes)
        self.world.handled = -1

    @invariant()
    def nothing_is_overdue_without_reason(self) -> None:
        for row in self.world.assignments.values():
            assert row.ping_at is None or row.status in ("pending", "acknowledged")
            assert row.unreachable_at is None or unanswered(row), "who answered cannot be told"
            assert row.end_reason != "unreachable" or self.beats(row) == "none", "who beats was told"
            if row.end_reason is None and row.status == "snoozed":
                assert (row.snooze_until or 0) >= self.world.now - 1 or row.deadline_at is not None

    @invariant()
    def nothing_goes_round_a_word(self) -> None:
        """No time passes while a word is said: whoever has something new now could be given it."""
        new = [row for number, row in self.world.assignments.items() if number not in self.seen]
        self.seen.update(row.id for row in new)
        assert not new or self.world.frozen is None, "something was offered while frozen"
        by_hand = {"unreachable"}  # it may be given work so; by what else it is not, is tested with the paths
        assert not [row.agent for row in new if {*flags_of(self.world.agents[row.agent.lower()])} - by_hand]

    def teardown(self) -> None:
        """Let everybody fall silent: within days all is at rest, flagged, or waits for who can take it."""
        self.world.operate(flags.thaw, ThawParams())
        self.world.forward(hours=30)
        for row in self.world.assignments.values():
            assert row.unreachable_at is None, "who cannot be told is forgotten"
            if row.status in OPEN_STATUSES:
                assert row.deadline_at is not None
        gaps = self.gaps()
        assert all(gap >= 60_000_000 for gap in gaps), gaps

    def beats(self, row: Assignment) -> str:
        return self.world.agents[row.agent.lower()].beats

    def gaps(self) -> list[int]:
        """Return the gaps between the pings of rows that were never answered nor changed."""
        found: list[int] = []
        answered = {fact.id for fact in self.world.facts if fact.actor.startswith("agent:")}
        changed = any(fact.event == "changed" and fact.aggregate == "task" for fact in self.world.facts)
        for row in self.world.assignments.values():
            if str(row.id) in answered or changed:
                continue
            sent = [ping.sent_at for ping in self.world.pings.values() if ping.assignment_id == row.id]
            found += [later - sooner for sooner, later in pairwise(sent)]
        return found


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=30)


@given(interval=st.integers(1, 90), accept=st.integers(1, 120), acked=st.booleans())
def test_between_answers_pings_follow_the_schedule(interval: int, accept: int, *, acked: bool) -> None:
    world = World(main=False)
    world.agent("s0")
    world.task(ping_interval_minutes=interval, accept_minutes=accept)
    if acked:
        world.say("s0", Ack())
    until = 30 if acked else accept
    world.forward(minutes=until - 0.5)
    first = [0.0] if acked else [0.0, float(min(5, interval))]
    expected = [*first, *(10.0,) * acked]
    while expected[-1] + interval <= until:
        expected.append(expected[-1] + interval)
    assert world.pinged("s0") == [at for at in expected if at < until - 0.5]
