"""The micro protocol, as any client of it sees it: raw requests, raw answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from bus.api import BusTimeout, Incoming, NoResponders
from bus.endpoints import ERROR_CODE, ERROR_WORD, MicroEndpoint, MicroRequest, MicroService
from bus.nats import NatsBus
from tests.support.nats import Seen, connected, server, until

SUBJECT = "rollcall.v1.cmd.echo.say.*"
STARTED = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


class Echo:
    """A service that answers when it is told to."""

    def __init__(self, bus: NatsBus) -> None:
        self.requests: list[MicroRequest] = []
        self.now_ns = 0
        self.service = MicroService(
            bus,
            name="rollcall-echo",
            version="1.2.3",
            instance_id="I1",
            started_at=STARTED,
            description="Says it again.",
            metadata={"team": "bus"},
            clock_ns=lambda: self.now_ns,
        )
        self.endpoint = MicroEndpoint(
            name="say", subject=SUBJECT, handler=self.requests.append, metadata={"schema": "{}"}
        )

    async def count(self, expected: int) -> MicroRequest:
        """Wait until so many requests are here, and return the newest."""
        await until(lambda: len(self.requests) >= expected)
        return self.requests[-1]


@asynccontextmanager
async def echo(folder: Path) -> AsyncIterator[tuple[Echo, NatsBus]]:
    """Run the service, and a client of it."""
    async with (
        server(folder) as nats,
        connected(nats.url) as bus,
        connected(nats.url, name="client") as client,
    ):
        running = Echo(bus)
        await running.service.start([running.endpoint])
        await bus.flush()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.service.run)
            yield running, client
            tasks.cancel_scope.cancel()


async def ask(client: NatsBus, subject: str) -> dict[str, Any]:
    reply = await client.request(subject, b"", timeout_s=5)
    return msgspec.json.decode(reply.data, type=dict[str, Any])


async def say(client: NatsBus, answers: list[Incoming]) -> None:
    answers.append(await client.request("rollcall.v1.cmd.echo.say.ann", b"hello", timeout_s=5))


IDENTITY = {"name": "rollcall-echo", "id": "I1", "version": "1.2.3", "metadata": {"team": "bus"}}
DOOR = {"name": "say", "subject": SUBJECT, "queue_group": "rollcall-echo"}


@pytest.mark.parametrize("tail", ["", ".rollcall-echo", ".rollcall-echo.I1"])
async def test_it_tells_of_itself(tmp_path: Path, tail: str) -> None:
    async with echo(tmp_path) as (_, client):
        assert await ask(client, f"$SRV.PING{tail}") == {"type": "io.nats.micro.v1.ping_response", **IDENTITY}
        assert await ask(client, f"$SRV.INFO{tail}") == {
            "type": "io.nats.micro.v1.info_response",
            **IDENTITY,
            "description": "Says it again.",
            "endpoints": [{**DOOR, "metadata": {"schema": "{}"}}],
        }
        nothing = {
            "num_requests": 0,
            "num_errors": 0,
            "last_error": "",
            "processing_time": 0,
            "average_processing_time": 0,
        }
        assert await ask(client, f"$SRV.STATS{tail}") == {
            "type": "io.nats.micro.v1.stats_response",
            **IDENTITY,
            "started": "2031-02-03T04:05:06Z",
            "endpoints": [{**DOOR, **nothing}],
        }


async def test_it_is_silent_about_others(tmp_path: Path) -> None:
    async with echo(tmp_path) as (_, client):
        for subject in ("$SRV.PING.other", "$SRV.PING.rollcall-echo.I2", "$SRV.NOTHING"):
            with pytest.raises(NoResponders):
                await client.request(subject, b"", timeout_s=5)


async def test_requests_do_not_wait_for_one_another(tmp_path: Path) -> None:
    async with echo(tmp_path) as (running, client), anyio.create_task_group() as tasks:
        answers: list[Incoming] = []
        for _ in range(3):
            tasks.start_soon(say, client, answers)
        await running.count(3)
        assert answers == []
        for number, request in enumerate(reversed(running.requests)):
            await request.respond(b"%d" % number, {"X": "y"})
        await until(lambda: len(answers) == 3)
        assert sorted(answer.data for answer in answers) == [b"0", b"1", b"2"]
        assert answers[0].headers == {"X": "y"}
        assert running.requests[0].subject == "rollcall.v1.cmd.echo.say.ann"
        assert running.requests[0].data == b"hello"


async def test_errors_and_times_are_counted(tmp_path: Path) -> None:
    async with echo(tmp_path) as (running, client), anyio.create_task_group() as tasks:
        answers: list[Incoming] = []
        tasks.start_soon(say, client, answers)
        good = await running.count(1)
        running.now_ns = 3_000
        await good.respond(b"yes")
        await good.respond(b"again")
        await good.respond_error(500, "again")
        tasks.start_soon(say, client, answers)
        bad = await running.count(2)
        running.now_ns = 8_000
        await bad.respond_error(409, "superseded", b'{"code":"superseded"}')
        await until(lambda: len(answers) == 2)
        assert answers[0].data == b"yes"
        assert answers[1].data == b'{"code":"superseded"}'
        assert answers[1].headers == {ERROR_CODE: "409", ERROR_WORD: "superseded"}
        assert ERROR_CODE == "Nats-Service-Error-Code"
        assert ERROR_WORD == "Nats-Service-Error"
        (counted,) = (await ask(client, "$SRV.STATS"))["endpoints"]
        assert counted == {
            **DOOR,
            "num_requests": 2,
            "num_errors": 1,
            "last_error": "409:superseded",
            "processing_time": 8_000,
            "average_processing_time": 4_000,
        }


@pytest.mark.parametrize("subject", ["rollcall.v1.cmd.echo.say.eve", "$SRV.PING", "$SRV.STATS.rollcall-echo"])
async def test_a_forged_reply_is_refused(tmp_path: Path, subject: str) -> None:
    """Permissions do not cover the reply: the answer would become an ack in another agent's name."""
    async with echo(tmp_path) as (running, client):
        acks = Seen()
        await client.subscribe("rollcall.v1.ack.>", acks)
        for reply in ("rollcall.v1.ack.ann.7", "x_INBOX.1"):
            await client.publish(subject, b"", reply=reply)
        await until(lambda: running.service.forged == 2)
        await client.publish("rollcall.v1.ack.end.1", b"")
        assert [message.subject for message in await acks.have(1)] == ["rollcall.v1.ack.end.1"]
        assert running.requests == []


async def test_what_has_no_reply_is_one_and_is_not_handled(tmp_path: Path) -> None:
    """A stream answers on whatever subject the publisher named, with rights of its own."""
    async with echo(tmp_path) as (running, client):
        await client.publish("rollcall.v1.cmd.echo.say.ann", b'{"stream":"S","seq":1}')
        await until(lambda: running.service.forged == 1)
        assert running.requests == []


async def test_two_instances_share_the_work_and_both_tell(tmp_path: Path) -> None:
    async with echo(tmp_path) as (running, client):
        other = Echo(client)
        await other.service.start([other.endpoint])
        await client.flush()
        for _ in range(200):
            await client.publish("rollcall.v1.cmd.echo.say.ann", b"x", reply="_INBOX.nobody")
        await client.flush()
        await until(lambda: len(running.requests) + len(other.requests) >= 200)
        assert min(len(running.requests), len(other.requests)) > 20
        assert len(running.requests) + len(other.requests) == 200
        pongs = Seen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.service.run)
            await client.subscribe("_INBOX.pongs", pongs)
            await client.publish("$SRV.PING", b"", reply="_INBOX.pongs")
            await pongs.have(2)
            tasks.cancel_scope.cancel()


async def test_after_stop_nothing_is_taken_and_what_came_is_not_lost(tmp_path: Path) -> None:
    async with echo(tmp_path) as (running, client), anyio.create_task_group() as tasks:
        answers: list[Incoming] = []
        tasks.start_soon(say, client, answers)
        request = await running.count(1)
        await running.service.stop()
        with pytest.raises(NoResponders):
            await client.request("rollcall.v1.cmd.echo.say.ann", b"", timeout_s=5)
        with pytest.raises(NoResponders):
            await client.request("$SRV.PING", b"", timeout_s=5)
        await request.respond(b"late, but said")
        await until(lambda: bool(answers))


async def test_a_question_that_cannot_be_answered_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with echo(tmp_path) as (running, client):
        bus = running.service._bus
        publish, failed = bus.publish, 0

        async def failing(*arguments: Any, **options: Any) -> None:
            nonlocal failed
            failed += 1
            if failed == 1:
                raise BusTimeout
            await publish(*arguments, **options)

        monkeypatch.setattr(bus, "publish", failing)
        await client.publish("$SRV.PING", b"", reply="_INBOX.nobody")
        await until(lambda: failed == 1)
        assert await ask(client, "$SRV.PING")
