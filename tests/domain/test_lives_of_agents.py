"""What holds for agents whatever happens, in whatever order: beats, daemons, silence, work, operators."""

from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.messages import Ack, Answer, Complete, Decline, ProcessFacts, Progress, Wait
from contracts.operations.agents import SetParams
from contracts.operations.answers import LeaveParams
from contracts.operations.presence import ReleaseParams
from contracts.records import OPEN_STATUSES, AgentStatus, Frozen, ProcessState
from domain import agents, brakes, presence
from domain.lifelines import arrows
from domain.projection import GONE
from domain.timers import MINUTE_US, SECOND_US, Timers
from tests.domain.world import World

NAMES = ("a0", "a1", "a2")
TTL_US, HOST_TTL_US = 90 * SECOND_US, 120 * SECOND_US
SURE_US = TTL_US + 120 * SECOND_US  # silent for so long: suspect, dead, and released
ENDS = ("gone", "failed")  # a daemon's words that its agent is dead, at once
REFUSED = (ConflictError, NotFoundError, InvalidError)
WHO, STATES = st.sampled_from(NAMES), st.sampled_from(get_args(ProcessState))
DAEMONS = st.sampled_from(["d1", "d1", "d1", "d2"])
ANSWERS: st.SearchStrategy[Answer] = st.sampled_from(
    [Ack(), Progress(note="on"), Wait(on="human"), Complete(), Decline()]
)


class Lives(RuleBasedStateMachine):
    """Three agents on a machine, each with work, and what really happened beside what is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Timers(assign_retry_us=20 * MINUTE_US))
        self.signs: dict[str, int] = {}  # when each was last heard
        self.words: dict[str, tuple[str, int]] = {}  # the daemon's last word on each, and when it said so
        self.until: dict[str, int] = {}  # up to when its word that one runs holds
        self.stopped: set[str] = set()
        self.pids = 1
        self.facts = 0
        self.lost: set[int] = set()

    @initialize()
    def begin(self) -> None:
        self.world.agent("late", beats="required")
        self.host("d1")
        for name in NAMES:
            self.world.agent(name, beats="required")
            self.join(name, "b1")
            self.report("d1", name, "running", new=False)
            self.add(name)
            self.world.say(name, Ack())

    def attempt(self, deed: Any, *args: Any, **named: Any) -> bool:
        try:
            deed(*args, **named)
        except REFUSED:
            return False
        return True

    @rule(name=WHO, session=st.sampled_from(["s1", "s2"]))
    def join(self, name: str, session: str) -> None:
        if self.attempt(self.world.join, name, session):
            self.signs[name] = self.world.now
            self.words.pop(name, None)
            self.stopped.discard(name)

    @rule(names=st.lists(WHO, min_size=1, unique=True), stale=st.sampled_from([False, False, False, True]))
    def beat(self, names: list[str], *, stale: bool) -> None:
        for name in names:
            session = "s0" if stale else self.world.agents[name].session or "b1"
            if self.attempt(self.world.beat, name, session):
                self.signs[name] = self.world.now

    @rule(name=WHO)
    def leave(self, name: str) -> None:
        deed, now, timers = self.world.decide, self.world.now, self.world.timers
        if self.attempt(deed, presence.leave, now, name, LeaveParams(), timers=timers):
            self.stopped.add(name)

    @rule(session=DAEMONS)
    def host(self, session: str) -> None:
        self.world.host("m1", session)
        self.words = {name: word for name, word in self.words.items() if word[0] != "running"}

    @rule(
        session=DAEMONS,
        name=st.sampled_from(NAMES[:2]),
        state=STATES,
        new=st.booleans(),
    )
    def report(self, session: str, name: str, state: ProcessState, *, new: bool) -> None:
        self.pids += new  # else it is the process that was there before
        before = self.world.agents[name]
        pid = self.pids if state == "running" else None
        facts = ProcessFacts(agent=name, state=state, pid=pid, session="b1" if state == "running" else None)
        if "m1" not in self.world.machines:
            return
        try:
            told = self.world.report(facts, session=session)
        except REFUSED:
            return
        if told.taken:
            word, since = self.words.get(name, ("", 0))
            again = word in ENDS and state in ENDS  # the end was told before
            self.words[name] = (state, since if again else self.world.now)
            self.until[name] = 0
            if state == "stopped":
                self.stopped.add(name)
            elif state == "running" and (before.process, before.pid) != ("running", pid):
                self.stopped.discard(name)
        self.vouch()

    def vouch(self) -> None:
        """Note that the daemon was heard: what it says holds for a TTL; the dead live when it names them."""
        for name, (word, _) in self.words.items():
            if word == "running" and self.world.agents[name].dead_at is None:
                self.until[name] = self.world.now + HOST_TTL_US

    @rule(session=DAEMONS, names=st.booleans())
    def machine_beat(self, session: str, *, names: bool) -> None:
        running = [name for name, (word, _) in self.words.items() if names and word == "running"]
        held = [self.world.agents[name] for name in running]
        facts = [
            ProcessFacts(agent=agent.name, state="running", pid=agent.pid, session=agent.session)
            for agent in held
        ]
        if self.attempt(self.world.machine_beat, *facts, session=session):
            self.vouch()

    @rule(needs=st.sampled_from([None, *NAMES]))
    def add(self, needs: str | None) -> None:
        self.attempt(self.world.task, to=needs)

    @rule(number=st.integers(0, 99), what=ANSWERS)
    def answer(self, number: int, what: Answer) -> None:
        rows = [row for row in self.world.assignments.values() if row.status in OPEN_STATUSES]
        if rows:
            row = rows[number % len(rows)]
            self.attempt(self.world.say, row.agent, what, lease=row.id)

    @rule(name=WHO, active=st.booleans())
    def activate(self, name: str, *, active: bool) -> None:
        if not active and self.world.agents[name].joined_at is not None:
            self.stopped.add(name)
        if not active:
            self.words.pop(name, None)
        self.world.operate(agents.set_agent, SetParams(name=name, active=active))

    @rule(frozen=st.booleans())
    def freeze(self, *, frozen: bool) -> None:
        word = Frozen(since=self.world.now, by="operator:ann", reason="a look")
        self.world.frozen = word if frozen else None

    @rule()
    def let_go(self) -> None:
        params = ReleaseParams(reason="they are gone")
        self.attempt(
            self.world.decide,
            brakes.let_go,
            self.world.now,
            params,
            actor="operator:ann",
            timers=self.world.timers,
        )

    @rule(
        seconds=st.integers(10, 400),
        health=st.sampled_from([0, 0, 0, 3]),
        sings=st.booleans(),
        names=st.booleans(),
        alive=st.sets(st.sampled_from([*NAMES, "m1"])),
    )
    def pass_time(self, seconds: int, health: int, alive: set[str], *, sings: bool, names: bool) -> None:
        self.world.health = health
        for _ in range(0, seconds, 10):
            self.world.forward(seconds=10)
            self.nobody_is_robbed()  # as of now: those who beat in a moment were silent
            self.beat(sorted(alive - {"m1"}), stale=False)
            if "m1" in alive:
                self.machine_beat(self.world.machines["m1"].session, names=names)
            if sings:
                now = self.world.now
                self.world.decide(brakes.canary, now, now, timers=self.world.timers)

    @invariant()
    def nobody_is_robbed(self) -> None:
        rows = [row for row in self.world.assignments.values() if row.end_reason == "lost"]
        for row in rows:
            if row.id in self.lost:
                continue
            self.lost.add(row.id)
            now = self.world.now
            word, said_at = self.words.get(row.agent, ("", 0))
            ended = word in ENDS and now - said_at >= 60 * SECOND_US
            silent = now - self.signs.get(row.agent, 0) >= SURE_US
            unspoken = now - self.until.get(row.agent, 0) >= 60 * SECOND_US
            assert ended or (silent and unspoken), f"{row.agent} was robbed"

    @invariant()
    def who_is_there_was_heard(self) -> None:
        for name in NAMES:
            agent = self.world.agents[name]
            assert agent.status in get_args(AgentStatus)
            if agent.status not in GONE:
                heard = self.world.now - self.signs.get(name, 0) < TTL_US
                assert heard or self.world.now < self.until.get(name, 0), f"{name} is {agent.status}"

    @invariant()
    def who_beats_is_not_doubted(self) -> None:
        for name in NAMES:
            word, _ = self.words.get(name, ("running", 0))
            if word == "running" and self.world.now - self.signs.get(name, 0) < TTL_US:
                assert self.world.agents[name].status not in ("suspect", "dead"), f"{name} was doubted"

    @invariant()
    def a_stop_is_not_revived(self) -> None:
        for name in self.stopped:
            assert self.world.agents[name].status == "offline", f"{name} was revived"

    @invariant()
    def every_change_is_one_of_those_that_are_drawn(self) -> None:
        for fact in self.world.facts[self.facts :]:
            if fact.event == "status_changed" and fact.id in NAMES:
                assert (fact.data["before"], fact.data["status"]) in arrows()
        self.facts = len(self.world.facts)

    def teardown(self) -> None:
        """Let everybody be silent: no task stays with the dead, but flagged or in todo with an alarm."""
        self.world.frozen = None
        self.world.health = 0
        for _ in range(60):
            self.world.forward(minutes=1)
            for _ in range(2):
                self.world.decide(brakes.canary, self.world.now, self.world.now, timers=self.world.timers)
        self.world.forward(hours=7)
        for name in NAMES:
            assert self.world.agents[name].status in GONE
        for task in self.world.tasks.values():
            row = self.world.assignments.get(task.assignment_id or 0)
            if row is not None:
                holder = self.world.agents[row.agent.lower()]
                after = holder.dead_at is not None and row.assigned_at >= holder.dead_at  # by hand
                assert row.exhausted or after or holder.dead_at is None, task
            elif task.status == "todo":
                assert task.alarmed, task


def test_nobody_who_is_there_is_robbed_and_the_dead_are_found() -> None:
    run_state_machine_as_test(Lives, settings=settings(stateful_step_count=15, max_examples=60))


def test_every_status_is_reached_and_every_arrow_has_an_event() -> None:
    found = arrows()
    assert {after for _, after in found} == set(get_args(AgentStatus))
    assert all(found.values())
    assert ("offline", "dead") in found
    assert ("dead", "working") in found
    assert ("offline", "suspect") not in found
