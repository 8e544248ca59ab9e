"""Stands in for the services: it records what an agent sends and says what a test wants it to say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from nats.aio.msg import Msg

from bus.client import SafeClient, connect
from bus.embedded import quoted
from tests.support.nats import Server, ready

ROOT = "rollcall.v1"
AT = "2026-11-21T12:00:00Z"
NOT_FOUND = {"code": "not_found", "status": 404, "title": "There is no such thing"}
STALE = {"code": "stale_session", "status": 409, "title": "A newer session of this agent has taken over"}
BUSY = {"code": "unavailable", "status": 503, "title": "The service cannot be reached", "retryable": True}


def ping(assignment: int, attempt: int = 1, **more: Any) -> dict[str, Any]:
    body = {"kind": "ping", "incarnation": "i1", "assignment": assignment, "task": assignment + 100}
    return body | {"attempt": attempt, "epoch": 1, "status": "pending", "title": "T", "sent_at": AT} | more


def lease(assignment: int, attempt: int | None = 1) -> dict[str, Any]:
    owed = None if attempt is None else ping(assignment, attempt)
    return {"assignment": assignment, "task": 1, "title": "T", "epoch": 1, "status": "pending", "ping": owed}


def withdrawn(assignment: int, status: str, **more: Any) -> dict[str, Any]:
    body = {"kind": "withdrawn", "incarnation": "i1", "assignment": assignment, "task": 1, "sent_at": AT}
    return body | {"status": status} | more


class House:
    """Answers `cmd.agent`, and hears beats and acks."""

    def __init__(self, client: SafeClient) -> None:
        self.client = client
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.beats: list[dict[str, Any]] = []
        self.acks: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.leases: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.problems: dict[str, list[dict[str, Any]]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.keeps_session = False  # whether a beat of any session but the newest is answered
        self._session = ""
        self._complaints = ""
        self._stirred = asyncio.Event()

    async def open(self) -> Self:
        await self.client.subscribe(f"{ROOT}.cmd.agent.*.*", cb=self._on_command)
        await self.client.subscribe(f"{ROOT}.hb.*", cb=self._on_beat)
        await self.client.subscribe(f"{ROOT}.ack.*.*", cb=self._on_ack)
        await self.client.flush()
        return self

    async def say(self, subject: str, body: dict[str, Any], **headers: str) -> None:
        await self.client.publish(f"{ROOT}.{subject}", json.dumps(body).encode(), headers=headers or None)
        await self.client.flush()

    async def ping(self, assignment: int, attempt: int = 1, *, agent: str = "builder", **more: Any) -> None:
        await self.say(f"ping.{agent}.{assignment}", ping(assignment, attempt, **more))

    async def reaches(self, assignment: int, attempt: int = 1, *, agent: str) -> bool:
        """Ping, and tell whether anybody listened: if not, the server says so before anything else."""
        nobody = asyncio.Event()

        async def on_reply(_message: Msg) -> None:
            nobody.set()

        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox, cb=on_reply)
        body = json.dumps(ping(assignment, attempt)).encode()
        await self.client.publish(f"{ROOT}.ping.{agent}.{assignment}", body, reply=inbox)
        await self.client.flush()
        await subscription.unsubscribe()
        return not nobody.is_set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until it holds, looking again at each message."""
        async with asyncio.timeout(20):
            while not holds():
                self._stirred.clear()
                await self._stirred.wait()

    async def complain(self, code: str = "rejoin_required") -> None:
        """Say that the last beat was wrong, to whoever sent it."""
        problem = {"code": code, "status": 409, "title": "Join again"}
        await self.client.publish(self._complaints, json.dumps(problem).encode())
        await self.client.flush()

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.commands]

    async def _on_command(self, message: Msg) -> None:
        verb = message.subject.rpartition(".")[2]
        body = json.loads(message.data)
        self.commands.append((verb, body))
        self._session = str(body["session"]) if verb == "join" else self._session
        self._stirred.set()
        if self.problems.get(verb):
            problem = self.problems[verb].pop(0)
            headers = {
                "Nats-Service-Error-Code": str(problem["status"]),
                "Nats-Service-Error": problem["code"],
            }
            await self.client.publish(message.reply, json.dumps(problem).encode(), headers=headers)
            return
        await message.respond(json.dumps(self._result(verb, body)).encode())

    def _result(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        if verb in self.results:
            return self.results[verb]
        if verb in {"join", "sync"}:
            session = body.get("session")
            here = {"incarnation": "i1", "agent": "builder", "session": session}
            return here | {"leases": self.leases, "notices": self.notices}
        if verb == "leave":
            return {"leases": 0}
        return {"assignment": body["assignment"], "kind": verb, "accepted": True, "status": "acknowledged"}

    async def _on_beat(self, message: Msg) -> None:
        beat = json.loads(message.data)
        self._complaints = message.reply
        self.beats.append(beat)
        if self.keeps_session and beat["session"] != self._session:
            await self.complain()
        self._stirred.set()

    async def _on_ack(self, message: Msg) -> None:
        self.acks.append((message.subject, json.loads(message.data), dict(message.headers or {})))
        self._stirred.set()


@asynccontextmanager
async def furnished(folder: Path) -> AsyncIterator[tuple[House, Server]]:
    """Run a server with all streams, and a house on it."""
    async with ready(folder) as (server, bus, _):
        yield await House(bus.client).open(), server


class Guarded(Server):
    """A server on which one agent may do what `allowed` says, and `house` may do everything."""

    agent: str = "builder"
    allowed: str = ""

    def _config(self, port: int) -> str:
        users = (
            "{ user: house, password: secret }, "
            f"{{ user: {self.agent}, password: secret, permissions: {{ {self.allowed} }} }}"
        )
        # nats.js takes no user from a URL: whoever says nothing is the agent, too
        return super()._config(port) + f"no_auth_user: {self.agent}\nauthorization {{ users: [ {users} ] }}\n"

    def url_of(self, user: str) -> str:
        return f"nats://{user}:secret@{self.address}"


def may_publish(agent: str) -> list[str]:
    """Return the template of an agent's permissions: where it may publish."""
    return [f"{ROOT}.ack.{agent}.*", f"{ROOT}.cmd.agent.{agent}.*", f"{ROOT}.hb.{agent}"]


def may_hear(agent: str) -> list[str]:
    """Return the same for where it may subscribe."""
    return [*(f"{ROOT}.{word}.{agent}.*" for word in ("ping", "answer", "notice")), f"_INBOX_{agent}.>"]


@asynccontextmanager
async def guarded(
    folder: Path, *, publish: list[str], subscribe: list[str], agent: str = "builder"
) -> AsyncIterator[tuple[House, Guarded]]:
    """Run a server that keeps the agent to these subjects."""
    lists = {"publish": publish, "subscribe": subscribe}
    server = Guarded(folder, durability="relaxed")
    server.agent = agent
    server.allowed = ", ".join(f"{verb}: [{', '.join(map(quoted, names))}]" for verb, names in lists.items())
    await server.start()
    client = await connect(server.url_of("house"), name="house", timeout_s=5)
    try:
        await client.jetstream().add_stream(name="ROLLCALL_ACKS", subjects=[f"{ROOT}.ack.*.*"])
        yield await House(client).open(), server
    finally:
        await client.close()
        await server.stop()
