"""Somebody who throws at every subject what nobody can read."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from random import Random
from typing import Final

import nats.errors
from nats.aio.client import Client as Nats

from tests.chaos.client import PATIENCE_S, stored
from tests.chaos.evidence import ROOT
from tests.chaos.history import Entry, History, now_us

PAUSE_S: Final = (0.02, 0.2)
OVERSIZED: Final = 70_000  # bytes; a stream takes 65 536
TO_AGENTS: Final = ("ack", "complete", "sync", "next", "join", "wait")
TO_SERVICES: Final = (
    "assigner.task-add",
    "assigner.task-import",
    "monitor.agent-add",
    "escalator.policy-set",
    "relay.dlq-replay",
)


class Thrower:
    """Publishes poison, and writes down each piece."""

    def __init__(self, bus: Nats, history: History, rng: Random, agents: Sequence[str]) -> None:
        self.bus = bus
        self.history = history
        self.rng = rng
        self.agents = agents
        self.thrown = 0
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Throw until cancelled."""
        while True:
            nonce = f"junk-{next(self._numbers)}-"
            subject, body = self._subject(), self._body(nonce)
            await self._throw(subject, body, nonce)
            self.thrown += 1
            await asyncio.sleep(self.rng.uniform(*PAUSE_S))

    def _subject(self) -> str:
        agent, number = self.rng.choice(self.agents), self.rng.randint(1, 500)
        return self.rng.choice(
            (
                f"ack.{agent}.{number}",
                f"ack.{agent}.{number}",
                f"ack.{agent}.no-number",
                f"cmd.agent.{agent}.{self.rng.choice(TO_AGENTS)}",
                f"cmd.{self.rng.choice(TO_SERVICES)}.stranger",
                f"hb.{agent}",
                f"hb.machine.{agent}",
                f"in.ping.stranger.{number}",
                f"evt.assignment.{number}.acknowledged",
                "wake.pinger",
                "dlq.stranger",
            )
        )

    def _body(self, nonce: str) -> bytes:
        whole = json.dumps({"kind": "ack", "incarnation": "another", "attempt": 1, "note": nonce}).encode()
        match self.rng.randrange(8):
            case 0:
                return whole[:-1]
            case 1:
                return json.dumps({"kind": nonce}).encode()
            case 2:
                return b"\xff\xfe" + nonce.encode() + b"\x00"
            case 3:
                return nonce.encode()
            case 4:
                return json.dumps([nonce] * 3).encode()
            case 5:
                return json.dumps({"kind": "snooze", "minutes": nonce, "incarnation": "x"}).encode()
            case 6:
                return json.dumps({"kind": "progress", "note": 7, "incarnation": [nonce]}).encode()
            case _:
                size = OVERSIZED if self.rng.random() < 0.2 else 1_000
                return b"[" * size + nonce.encode()

    async def _throw(self, subject: str, body: bytes, nonce: str) -> None:
        durable = subject.startswith("ack.")
        asked = Entry(
            at_us=now_us(),
            process="stranger",
            type="invoke",
            op="junk",
            door="stream" if durable else "request",
            key=f"{ROOT}.{subject}",
            command=nonce,
        )
        self.history.add(asked, "invoke", body.decode("latin-1"))
        try:
            if durable:
                reply = await self.bus.request(asked.key, body, timeout=PATIENCE_S)
                self.history.add(asked, stored(reply))
            else:
                await self.bus.publish(asked.key, body)
        except (nats.errors.Error, TimeoutError, OSError):
            self.history.add(asked, "unknown")
