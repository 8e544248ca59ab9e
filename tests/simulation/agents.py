"""Agents of every temper, who know nothing of the system but its subjects."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import anyio
import msgspec

from bus.api import Bus, BusError, Incoming
from contracts.codec import instant
from contracts.messages import Outcome, Ping, Withdrawn
from contracts.views import SyncView
from tests.simulation.client import Client, told
from tests.simulation.history import History, Said
from tests.simulation.house import ROOT
from tests.simulation.net import SimClock
from tests.simulation.plan import BEAT_S, Member

Choices = dict[str, float]
FIRST: Choices = {
    "ack": 10,
    "progress": 2,
    "complete": 2,
    "snooze": 2,
    "decline": 1,
    "wait": 1,
    "release": 0.5,
    "fail": 0.5,
    "handoff": 0.5,
}
THEN: Choices = {
    "progress": 6,
    "complete": 6,
    "ack": 1,
    "snooze": 1,
    "wait": 1,
    "fail": 0.5,
    "release": 0.5,
    "handoff": 0.5,
}
WAITING: Choices = {"resume": 3, "complete": 1}
ENDS = frozenset({"complete", "decline", "fail", "release", "handoff"})
MORTAL_ANSWERS_MAX = 4
SYNC_S = 8.0


class Agent(Client):
    """One agent; what it holds it works at, each piece in a task of its own."""

    def __init__(self, who: Member, bus: Bus, clock: SimClock, history: History, dice: random.Random) -> None:
        """Wire it."""
        super().__init__(who.name, bus, clock, history, dice)
        self.who = who
        self.session = f"s{dice.getrandbits(32):08x}"
        self.answers = 0
        self.mended = False  # in the end phase the dead come back
        self._at_work: dict[int, Ping | None] = {}
        self._ended: set[int] = set()
        self._open: dict[str, Said] = {}
        self._group: asyncio.TaskGroup | None = None

    async def live(self) -> None:
        """Listen, beat, and work."""
        async with (
            asyncio.TaskGroup() as group
        ):  # what is heard comes in callbacks, where anyio starts nothing
            self._group = group
            await self.bus.subscribe(f"{ROOT}.ping.{self.name}.*", self._on_ping)
            await self.bus.subscribe(f"{ROOT}.answer.{self.name}.*", self._on_answer)
            group.create_task(self._keep_up())
            if self.who.beats:
                group.create_task(self._beat())

    @property
    def silent(self) -> bool:
        """Whether it says nothing at all."""
        if self.who.persona == "mortal":
            return not self.mended and self.answers >= MORTAL_ANSWERS_MAX
        return self.who.persona == "silent"

    def _on_ping(self, message: Incoming) -> None:
        kind = msgspec.json.decode(message.data)["kind"]
        if kind == "withdrawn":
            said = msgspec.json.decode(message.data, type=Withdrawn)
            if said.end_reason is not None:
                self._ended.add(said.assignment)
            return
        self._take(msgspec.json.decode(message.data, type=Ping))

    def _take(self, ping: Ping) -> None:
        began = ping.assignment in self._at_work
        self._at_work[ping.assignment] = ping
        if not began and self._group is not None:
            self._group.create_task(self._work(ping.assignment))

    def _on_answer(self, message: Incoming) -> None:
        if message.subject.endswith(".presence"):
            self.session = f"s{self.dice.getrandbits(32):08x}"
            if self._group is not None:
                self._group.create_task(self._join())
            return
        outcome = msgspec.json.decode(message.data, type=Outcome)
        said = self._open.get(outcome.command_id or "")
        if said is not None:
            told(said, message.data)

    async def _keep_up(self) -> None:
        """Ask now and then what is held: what was said while nobody could hear is not said again."""
        while True:
            await anyio.sleep(SYNC_S * self.dice.uniform(0.7, 1.3))
            if self.silent:
                continue
            try:
                reply = await self.bus.request(f"{ROOT}.cmd.agent.{self.name}.sync", b"{}", timeout_s=2)
            except BusError:
                continue
            if "Nats-Service-Error-Code" not in reply.headers:
                for lease in msgspec.json.decode(reply.data, type=SyncView).leases:
                    if lease.ping is not None:
                        self._take(lease.ping)

    async def _beat(self) -> None:
        await self._join()
        while True:
            await anyio.sleep(BEAT_S)
            if self.silent:
                continue
            beat = {"session": self.session, "interval_s": BEAT_S}
            try:
                await self.bus.publish(f"{ROOT}.hb.{self.name}", msgspec.json.encode(beat))
            except BusError:
                continue

    async def _join(self) -> None:
        body = {"session": self.session, "interval_s": BEAT_S}
        await self.ask(f"cmd.agent.{self.name}.join", "join", 0, body)

    async def _work(self, assignment: int) -> None:
        choices = FIRST
        while not self._stops(assignment):
            await anyio.sleep(self._delay(assignment))
            if self._stops(assignment):
                break
            kind = self.dice.choices(list(choices), weights=list(choices.values()))[0]
            said = await self._answer(assignment, kind)
            self.answers += 1
            if said.told == "refused" or (kind in ENDS and said.told != "unknown"):
                break
            choices = WAITING if kind == "wait" else THEN
        del self._at_work[assignment]  # a later ping begins it again

    def _stops(self, assignment: int) -> bool:
        return self.silent or assignment in self._ended

    def _delay(self, assignment: int) -> float:
        ping = self._at_work[assignment]
        if self.who.persona == "late" and ping is not None and ping.answer_by is not None:
            left = ping.answer_by.timestamp() - self.clock.now() / 1e6
            return max(0.0, left + self.dice.uniform(-1.5, 1.0))
        if self.who.persona == "moody":
            return self.dice.choice((0.0, 0.3, 3.0, 12.0, 40.0)) * self.dice.random()
        return self.dice.expovariate(1.0)

    async def _answer(self, assignment: int, kind: str) -> Said:
        ping = self._at_work[assignment]
        body: dict[str, Any] = self._fields(kind)
        if ping is not None:
            body |= {"incarnation": ping.incarnation, "attempt": ping.attempt}
        if kind == "handoff" or self.dice.random() < self.who.by_request:
            body["assignment"] = assignment
            return await self.ask(f"cmd.agent.{self.name}.{kind}", kind, assignment, body)
        said = await self.store(f"ack.{self.name}.{assignment}", kind, assignment, body)
        self._open[said.command_id] = said
        return said

    def _fields(self, kind: str) -> dict[str, Any]:
        match kind:
            case "progress":
                return {"note": f"step {self.dice.getrandbits(24)}"}
            case "handoff":
                return {"to": self.dice.choice((None, None, "Ruto", "a0", "a1"))}
            case "snooze":
                return {"minutes": self.dice.randint(1, 12)}
            case "wait":
                on = self.dice.choice(("human", "human", "lock", "peer", "rate_limit", "rate_limit"))
                if on == "rate_limit" and self.dice.random() < 0.5:
                    reset_us = self.clock.now() + round(self.dice.uniform(-2, 20) * 1e6)
                    return {"on": on, "resume_at": instant(reset_us).isoformat()}
                return {"on": on, "who": "Ruto"} if on == "peer" else {"on": on}
            case _:
                return {}
