"""An operator who adds work, and now and then takes it away again."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from tests.simulation.client import Client
from tests.simulation.history import Said
from tests.simulation.plan import Plan

WORDS = {"pause": 2, "drain": 1, "quarantine": 1, "resume": 4, "retire": 0.3, "freeze": 2}
TURNS = {"add": 6, "cancel": 1, "assign": 1, "reopen": 1, "set": 0.5}


class Operator(Client):
    """Registers the fleet, then makes work for it."""

    tasks: tuple[int, ...] = ()

    async def begin(self, plan: Plan) -> None:
        """Register who is there, and the policy."""
        steps = [{"kind": kind} for kind in plan.steps]
        await self._until_told("escalator.policy-set", "policy", {"name": "default", "steps": steps})
        for who in plan.fleet:
            if who.name == "Ruto":
                continue
            body = {"name": who.name, "capacity": who.capacity, "beats": "required" if who.beats else "none"}
            await self._until_told("monitor.agent-add", "register", body)

    async def work(self, plan: Plan) -> None:
        """Add tasks at the plan's rate, and meddle."""
        while True:
            await anyio.sleep(self.dice.expovariate(plan.tasks_per_s))
            turn = self.dice.choices(list(TURNS), weights=list(TURNS.values()))[0]
            if turn == "add" or not self.tasks:
                await self._add()
            elif turn == "set":
                task = self.dice.choice(self.tasks)
                await self._tell(
                    "assigner.task-set", turn, {"task": task, "pings_enabled": self.dice.random() < 0.5}
                )
            else:
                await self._tell(f"assigner.task-{turn}", turn, {"task": self.dice.choice(self.tasks)})

    async def say(self, plan: Plan) -> None:
        """Flag agents and take that back, freeze the fleet and thaw it."""
        while plan.words_per_s:
            await anyio.sleep(self.dice.expovariate(plan.words_per_s))
            verb = self.dice.choices(list(WORDS), weights=list(WORDS.values()))[0]
            if verb == "freeze":
                await self._tell("assigner.fleet-freeze", verb, {"reason": "a release"})
                await anyio.sleep(self.dice.uniform(1, 20))
                await self._tell("assigner.fleet-thaw", "thaw", {})
                continue
            name = self.dice.choice(plan.fleet).name
            body: dict[str, object] = {"name": name} if verb == "resume" else {"name": name, "reason": "ill"}
            await self._tell(f"monitor.agent-{verb}", verb, body)

    async def let_go(self, plan: Plan) -> None:
        """Take everything back, so that all work can come to an end."""
        await self._until_told("assigner.fleet-thaw", "thaw", {})
        for who in plan.fleet:
            await self._until_told("monitor.agent-resume", "resume", {"name": who.name}, ("ok", "refused"))

    async def _add(self) -> None:
        command = self.draw_id()  # as the title too: made twice it would be seen
        body: dict[str, Any] = {
            "title": command,
            "command_id": command,
            "priority": self.dice.choice(("P0", "P1", "P2")),
        }
        if self.tasks and self.dice.random() < 0.15:
            body["depends_on"] = [str(self.dice.choice(self.tasks))]
        said = await self._tell("assigner.task-add", "add", body)
        if said.told == "ok":
            self.tasks = (*self.tasks, msgspec.json.decode(said.reply)["task"])

    async def _tell(self, subject: str, kind: str, body: dict[str, object]) -> Said:
        return await self.ask(f"cmd.{subject}.op", kind, 0, body)

    async def _until_told(
        self, subject: str, kind: str, body: dict[str, object], enough: tuple[str, ...] = ("ok",)
    ) -> None:
        while True:
            if (await self._tell(subject, kind, body)).told in enough:
                return
            await anyio.sleep(1)
