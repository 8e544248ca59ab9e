"""What every client of the simulator does: ask, lose the answer, ask again under the same id, remember."""

from __future__ import annotations

import random
from typing import Any

import anyio
import msgspec

from bus.api import Bus, BusError, Outgoing
from contracts.errors import Problem
from contracts.messages import Outcome
from tests.simulation.history import History, Said
from tests.simulation.house import ROOT
from tests.simulation.net import SimClock

PATIENCE_S = 1.5
TRIES = 4
REPEATED_ODDS = 0.1  # of asking once more though the answer is known


class Client:
    """One connection with a name."""

    def __init__(self, name: str, bus: Bus, clock: SimClock, history: History, dice: random.Random) -> None:
        """Wire it."""
        self.name = name
        self.bus = bus
        self.clock = clock
        self.history = history
        self.dice = dice

    def draw_id(self) -> str:
        """Draw a command id."""
        return f"{self.name}-{self.dice.getrandbits(48):012x}"

    async def ask(self, subject: str, kind: str, target: int, body: dict[str, Any]) -> Said:
        """Ask until there is an answer, or patience ends; every try is one of the same command."""
        body = {"command_id": self.draw_id(), **body}
        said = await self._ask_once(subject, kind, target, body)
        for _ in range(TRIES):
            if said.told != "unknown" and self.dice.random() > REPEATED_ODDS:
                break
            await anyio.sleep(self.dice.uniform(0.2, 3.0))
            again = await self._ask_once(subject, kind, target, body)
            said = again if said.told == "unknown" else said
        return said

    async def _ask_once(self, subject: str, kind: str, target: int, body: dict[str, Any]) -> Said:
        said = self._asked(kind, target, body)
        data = msgspec.json.encode(body)
        try:
            reply = await self.bus.request(f"{ROOT}.{subject}", data, timeout_s=PATIENCE_S)
        except BusError:
            return said
        said.reply, said.told_at = bytes(reply.data), self.clock.now()
        if "Nats-Service-Error-Code" not in reply.headers:
            said.told = "ok"
        elif not msgspec.json.decode(reply.data, type=Problem).retryable:
            said.told = "refused"
        return said

    def _asked(self, kind: str, target: int, body: dict[str, Any]) -> Said:
        return self.history.ask(
            Said(
                client=self.name,
                kind=kind,
                command_id=body["command_id"],
                target=target,
                asked_at=self.clock.now(),
                body=body,
            )
        )

    async def store(self, subject: str, kind: str, target: int, body: dict[str, Any]) -> Said:
        """Leave an answer on the bus; once this says stored, the bus has it."""
        body = {"command_id": self.draw_id(), "kind": kind, **body}
        said = self._asked(kind, target, body)
        for number in range(TRIES):
            item = Outgoing(f"{ROOT}.{subject}", msgspec.json.encode(body), f"{body['command_id']}:{number}")
            try:
                await self.bus.publish_batch([item], stream="ROLLCALL_ACKS", timeout_s=PATIENCE_S)
            except BusError:
                await anyio.sleep(self.dice.uniform(0.2, 2.0))
                continue
            said.told, said.stored_at = "stored", self.clock.now()
            if self.dice.random() > REPEATED_ODDS:
                break
        return said


def told(said: Said, data: bytes) -> None:
    """Note an outcome that came on the subject of answers."""
    outcome = msgspec.json.decode(data, type=Outcome)
    said.told = "ok" if outcome.accepted else "refused"
    said.reply = data
