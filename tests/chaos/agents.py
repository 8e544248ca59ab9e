"""Agents with a bare connection: they accept, get on, wait, snooze, decline, finish, or fall silent."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any, Final

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from tests.chaos.client import PATIENCE_S, PENDING, Client, answered
from tests.chaos.evidence import ROOT
from tests.chaos.history import Door, Entry, History

PAUSE_S: Final = (0.02, 0.3)
STEPS: Final = (3, 10)
SHARES: Final = {
    "silent": 0.02,  # never answers: the task is escalated
    "decline": 0.03,
    "vanish": 0.04,  # accepts, gets on, and is heard of no more
    "fail": 0.02,
    "release": 0.03,
    "repeat": 0.08,  # of all answers, sent again under the same command id after they were answered
    "foreign": 0.01,  # of all answers, those that name another store
}
STREAM_SHARE: Final = 0.6
LOST: Final = ("superseded", "already_final", "not_found")


class Agent(Client):
    """One agent."""

    def __init__(self, bus: Nats, history: History, name: str, rng: Random) -> None:
        super().__init__(bus, history, name, rng)
        self.diligent = False
        self._working: dict[int, asyncio.Task[None]] = {}
        self._ignored: set[int] = set()

    async def listen(self) -> None:
        """Subscribe to its own pings."""
        subject = f"{ROOT}.ping.{self.name}.*"
        await self.bus.subscribe(subject, cb=self._on_ping, pending_msgs_limit=PENDING)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is being worked on."""
        return not self._working

    async def _on_ping(self, message: Msg) -> None:
        ping = json.loads(message.data)
        if ping["kind"] != "ping":
            return
        if ping["assignment"] not in self._ignored or self.diligent:
            self._take_up(ping)

    async def catch_up(self) -> None:
        """Ask what it holds, as whoever may have lost track, and take that up."""
        try:
            reply = await self.bus.request(f"{ROOT}.cmd.agent.{self.name}.sync", b"{}", timeout=PATIENCE_S)
        except (nats.errors.Error, TimeoutError, OSError):
            return
        if answered(reply) == "ok":
            told = json.loads(reply.data)
            for lease in told["leases"]:
                self._take_up(lease | {"incarnation": told["incarnation"]})

    def _take_up(self, ping: dict[str, Any]) -> None:
        number = ping["assignment"]
        if number in self._working:
            return
        self._working[number] = task = asyncio.create_task(self._work(ping))
        task.add_done_callback(lambda _: self._working.pop(number))

    async def stop(self) -> None:
        """Drop everything."""
        tasks = list(self._working.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _chance(self, what: str) -> bool:
        return self.rng.random() < SHARES[what]

    async def _work(self, ping: dict[str, Any]) -> None:
        if self.diligent:
            await self._answer(ping, "complete")
            return
        if self._chance("silent"):
            self._ignored.add(ping["assignment"])
            return
        if self._chance("decline"):
            await self._answer(ping, "decline", reason="not mine")
            return
        holds = await self._answer(ping, "ack")
        for number in range(self.rng.randint(*STEPS)):
            if not holds or self.diligent:
                break
            await asyncio.sleep(self.rng.uniform(*PAUSE_S))
            holds = await self._step(ping, number)
        if not holds:
            return
        if self._chance("vanish") and not self.diligent:
            self._ignored.add(ping["assignment"])
            return
        last = "fail" if self._chance("fail") else "release" if self._chance("release") else "complete"
        await self._answer(ping, last)

    async def _step(self, ping: dict[str, Any], number: int) -> bool:
        match self.rng.choices(("progress", "wait", "snooze", "ack"), (12, 1, 1, 1))[0]:
            case "wait":
                held = await self._answer(ping, "wait", on="peer", reason="for somebody")
                await asyncio.sleep(self.rng.uniform(*PAUSE_S))
                return await self._answer(ping, "resume") and held
            case "snooze":
                held = await self._answer(ping, "snooze", minutes=1)
                return await self._answer(ping, "unsnooze") and held
            case "ack":
                return await self._answer(ping, "ack")
            case _:
                return await self._answer(ping, "progress", note=f"step {number}")

    async def _answer(self, ping: dict[str, Any], op: str, **fields: object) -> bool:
        """Say one thing by one of the doors; False if it is known that the lease is gone."""
        if self._chance("foreign"):
            await self._send(ping | {"incarnation": "another-store"}, op, fields)
        entry = await self._send(ping, op, fields)
        if entry.type == "fail" and entry.door == "request":
            return json.loads(entry.value)["code"] not in LOST
        return True

    async def _send(self, ping: dict[str, Any], op: str, fields: dict[str, object]) -> Entry:
        said = {"command_id": self.command_id(), "incarnation": ping["incarnation"], **fields}
        if op == "ack":
            said["attempt"] = ping["attempt"]
        entry = await self._by_a_door(ping["assignment"], op, said)
        if self._chance("repeat"):
            await self._by_a_door(ping["assignment"], op, said)
        return entry

    async def _by_a_door(self, assignment: int, op: str, said: dict[str, object]) -> Entry:
        door: Door = "stream" if self.rng.random() < STREAM_SHARE else "request"
        if door == "stream":
            return await self.say(op, door, f"ack.{self.name}.{assignment}", {"kind": op, **said})
        return await self.say(op, door, f"cmd.agent.{self.name}.{op}", {"assignment": assignment, **said})
