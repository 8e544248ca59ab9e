"""Clients of the bus with a bare connection each: they ask until they know, and write down every try."""

from __future__ import annotations

import asyncio
import itertools
import json
from random import Random
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from tests.chaos.evidence import ROOT, Told
from tests.chaos.history import Door, Entry, History, now_us

PATIENCE_S: Final = 1.5
AGAIN_S: Final = (0.05, 0.4)
PENDING: Final = 1 << 20


async def connect(url: str, name: str) -> Nats:
    """Connect for good: it comes back by itself, however often the server goes."""

    async def quiet(_: Exception) -> None:
        """Outages are what we are here for."""

    return await nats.connect(
        url,
        name=name,
        error_cb=quiet,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        ping_interval=2,
        max_outstanding_pings=2,
        pending_size=8 << 20,
    )


class Client:
    """One process of the history."""

    def __init__(self, bus: Nats, history: History, name: str, rng: Random) -> None:
        self.bus = bus
        self.history = history
        self.name = name
        self.rng = rng
        self.asking = 0  # how many questions are open
        self._numbers = itertools.count(1)
        self._tries = itertools.count(1)

    def command_id(self) -> str:
        """Return a new id for a command."""
        return f"{self.name}-{next(self._numbers)}"

    async def say(self, op: str, door: Door, subject: str, body: dict[str, Any]) -> Entry:
        """Ask, again and again under one command id, until there is an answer for good; return it."""
        self.asking += 1
        try:
            while True:
                entry = await self._try(op, door, f"{ROOT}.{subject}", body)
                if entry.type != "unknown":
                    return entry
                await asyncio.sleep(self.rng.uniform(*AGAIN_S))
        finally:
            self.asking -= 1

    async def _try(self, op: str, door: Door, subject: str, body: dict[str, Any]) -> Entry:
        text, number = json.dumps(body), next(self._tries)
        asked = Entry(
            at_us=now_us(),
            process=self.name,
            type="invoke",
            op=op,
            door=door,
            key=subject,
            command=body["command_id"],
            attempt=number,
        )
        self.history.add(asked, "invoke", text)
        headers = {"Nats-Msg-Id": f"{self.name}:{body['command_id']}:{number}"} if door == "stream" else None
        try:
            reply = await self.bus.request(subject, text.encode(), timeout=PATIENCE_S, headers=headers)
        except (nats.errors.Error, TimeoutError, OSError):
            self.history.add(asked, "unknown")
        else:
            type_ = stored(reply) if door == "stream" else answered(reply)
            self.history.add(asked, type_, reply.data.decode() if type_ != "unknown" else "")
        return self.history.entries[-1]


def stored(reply: Msg) -> Any:
    """Tell whether a stream has taken a message."""
    error = json.loads(reply.data).get("error")
    if error is None:
        return "ok"
    return "unknown" if error["code"] >= 500 else "fail"


def answered(reply: Msg) -> Any:
    """Tell whether a reply is an answer for good."""
    code = (reply.headers or {}).get("Nats-Service-Error-Code", "")
    if not code:
        return "ok"
    return "unknown" if code.startswith("5") or code == "429" else "fail"


class Ears:
    """A plain subscriber to events, pings and outcomes, who keeps all it hears."""

    def __init__(self) -> None:
        self.heard: list[Told] = []

    async def listen(self, bus: Nats) -> None:
        """Subscribe."""
        for word in ("evt", "ping", "answer"):
            await bus.subscribe(
                f"{ROOT}.{word}.>", cb=self._on, pending_msgs_limit=PENDING, pending_bytes_limit=-1
            )
        await bus.flush()

    async def _on(self, message: Msg) -> None:
        self.heard.append(Told(message.subject, message.data, (message.headers or {}).get("Nats-Msg-Id", "")))
