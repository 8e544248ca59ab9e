"""Operators and agents at work, who write down what they were promised."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from bus.api import BusError, Incoming, Outgoing
from bus.nats import NatsBus

ROOT = "rollcall.v1"
AGENTS = ("a0", "a1", "a2", "a3")
PATIENCE_S = 2.0


@dataclass
class History:
    """What was asked, and what was promised about it."""

    answered: dict[tuple[str, bytes], bytes] = field(default_factory=dict)  # (subject, body): the reply
    unknown: set[tuple[str, bytes]] = field(default_factory=set)
    stored: set[tuple[str, str]] = field(default_factory=set)  # (agent, command id) with a PubAck
    heard: list[tuple[int, int, str]] = field(default_factory=list)  # assignment, attempt, incarnation


class Load:
    """Adds tasks, answers pings by both doors, and now and then says what nobody can read."""

    def __init__(self, bus: NatsBus, history: History, name: str) -> None:
        self.bus = bus
        self.history = history
        self.name = name  # command ids of two loads must differ
        self.done = 0
        self._numbers = itertools.count()
        self._work, self._pings = anyio.create_memory_object_stream[dict[str, Any]](100_000)

    async def run(self) -> None:
        """Work until cancelled."""
        subscription = await self.bus.subscribe(f"{ROOT}.ping.*.*", self._on_ping)
        try:
            await self._run()
        finally:
            with anyio.CancelScope(shield=True), suppress(BusError):
                await subscription.unsubscribe()

    async def _run(self) -> None:
        with self._work, self._pings:
            for agent in AGENTS:
                body = {"name": agent, "beats": "none", "capacity": 1000}
                await self._ask("cmd.monitor.agent-add.load", body | {"command_id": f"{self.name}-{agent}"})
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(self._add)
                    group.start_soon(self._answer)

    def _on_ping(self, message: Incoming) -> None:
        body = json.loads(message.data)
        if body["kind"] == "ping":
            self.history.heard.append((body["assignment"], body["attempt"], body["incarnation"]))
            body["agent"] = message.subject.split(".")[-2]
            self._work.send_nowait(body)

    async def _add(self) -> None:
        while True:
            number = next(self._numbers)
            await self._ask("cmd.assigner.task-add.load", self._command({"title": f"task {number}"}))

    async def _answer(self) -> None:
        async for ping in self._pings:
            agent, assignment = ping["agent"], ping["assignment"]
            said = {"incarnation": ping["incarnation"], "attempt": ping["attempt"]}
            await self._store(agent, assignment, self._command({**said, "kind": "ack"}))
            if assignment % 7 == 0:
                await self._store(agent, assignment, {"kind": "mumble"})
            if assignment % 2:
                body = self._command({**said, "assignment": assignment})
                await self._ask(f"cmd.agent.{agent}.complete", body)

    def _command(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "command_id": f"{self.name}-{next(self._numbers)}"}

    async def _ask(self, subject: str, body: dict[str, Any]) -> None:
        """Ask, and ask again until there is an answer."""
        asked = (f"{ROOT}.{subject}", json.dumps(body).encode())
        self.history.unknown.add(asked)
        while True:
            try:
                reply = await self.bus.request(*asked, timeout_s=PATIENCE_S)
            except BusError:
                await anyio.lowlevel.checkpoint()
                continue
            if reply.headers.get("Nats-Service-Error-Code") in {"503", "429"}:
                continue
            self.history.answered[asked] = reply.data
            self.history.unknown.discard(asked)
            self.done += 1
            return

    async def _store(self, agent: str, assignment: int, body: dict[str, Any]) -> None:
        """Put an answer on the stream, again and again until it is acknowledged."""
        command_id = str(body.get("command_id", ""))
        for number in itertools.count():
            item = Outgoing(
                f"{ROOT}.ack.{agent}.{assignment}",
                json.dumps(body).encode(),
                f"{command_id or f'{self.name}-mumble-{assignment}'}:{number}",
            )
            try:
                refused = await self.bus.publish_batch([item], stream="ROLLCALL_ACKS", timeout_s=PATIENCE_S)
            except BusError:
                await anyio.lowlevel.checkpoint()
                continue
            assert not refused, refused
            if command_id:
                self.history.stored.add((agent, command_id))
            return
