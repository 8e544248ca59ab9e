"""A real server, a responder that answers as it is told, and the command line in front of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from click.testing import CliRunner, Result
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.codec import encode
from contracts.errors import RollcallError
from rollcall.cli.root import root
from tests.support.nats import Server, server

Command = Callable[..., Coroutine[Any, Any, Result]]
SILENCE = b"silence"  # stands for the end of the time that a command gives


class Bus:
    """Answers requests by their verb, and keeps what was asked."""

    def __init__(self, client: Client, server: Server) -> None:
        self.client = client
        self.server = server
        self.url = server.url
        self.asked: list[tuple[str, dict[str, Any], Mapping[str, str]]] = []
        self.answers: dict[str, list[Any]] = {}
        self.back = asyncio.Event()

    async def note_back(self) -> None:
        """Note that the connection is back."""
        self.back.set()

    def answer(self, verb: str, *answers: Any) -> None:
        """Give these answers in turn, the last for ever: JSON, bytes, an error, or None for none at all."""
        self.answers[verb] = list(answers)

    async def listen(self) -> None:
        """Serve all verbs for which there are answers."""
        await self.client.subscribe("rollcall.v1.cmd.>", cb=self._serve)
        await self.client.flush()

    async def _serve(self, message: Msg) -> None:
        tokens = message.subject.split(".")
        verb = tokens[-1] if tokens[3] == "agent" else tokens[4]
        self.asked.append((message.subject, json.loads(message.data), message.headers or {}))
        waiting = self.answers.get(verb, [])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if answer is None:
            return
        if isinstance(answer, RollcallError):
            headers = {"Nats-Service-Error-Code": str(answer.status), "Nats-Service-Error": answer.code}
            await self.client.publish(message.reply, encode(answer.problem()), headers=headers)
        else:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await self.client.publish(message.reply, data)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the only request."""
        ((_, body, _),) = self.asked
        return body


@pytest.fixture(autouse=True)
def _nobody_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that runs the tests counts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("NATS_URL", "NATS_CREDS", "DATABASE_URL", "ROLLCALL_CONFIG", "ROLLCALL_AGENT"):
        monkeypatch.delenv(name, raising=False)


async def _quietly(_error: Exception) -> None:
    """Ignore it: some tests take the server away."""


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    async with server(tmp_path / "nats") as running:
        client = Client()
        made = Bus(client, running)
        await client.connect(
            running.url,
            error_cb=_quietly,
            reconnected_cb=made.note_back,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
        )
        await made.listen()
        yield made
        with suppress(OSError):  # of the connection to a server that was killed
            await client.close()


@pytest.fixture(autouse=True)
def _silence_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the answer SILENCE end a request as the end of its time does: no answer has to beat a clock."""
    request = Client.request

    async def told(self: Client, *arguments: Any, **named: Any) -> Msg:
        reply = await request(self, *arguments, **named)
        if reply.data == SILENCE:
            raise nats.errors.TimeoutError
        return reply

    monkeypatch.setattr(Client, "request", told)


@pytest.fixture
def rollcall() -> Command:
    """Run the command line beside the responder."""

    async def run(
        *arguments: str, env: Mapping[str, str] | None = None, stdin: str | bytes | None = None
    ) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, root, arguments, input=stdin, env=env)

    return run


@pytest.fixture
def ann(rollcall: Command, bus: Bus) -> Command:
    """Run the command line as the agent ann and the operator olga, on the bus."""

    async def run(*arguments: str, stdin: str | bytes | None = None, **more: str) -> Result:
        env = {"ROLLCALL_AGENT": "ann", "ROLLCALL_OPERATOR": "olga", "NATS_URL": bus.url, **more}
        return await rollcall(*arguments, env=env, stdin=stdin)

    return run
