"""Pulling: in order, settled once, and nothing lost, whatever happens to the server or the consumer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from nats.aio.msg import Msg

from bus import puller as module
from bus.api import Incoming, Outgoing
from bus.client import js_api
from bus.nats import NatsBus
from bus.puller import StandingPuller, pulled
from tests.support.nats import Server, ready, until

ACKS = "ROLLCALL_ACKS"


@asynccontextmanager
async def pulling(folder: Path, *, batch: int = 100) -> AsyncIterator[tuple[Server, NatsBus, StandingPuller]]:
    async with ready(folder) as (nats, bus, _):
        puller = await bus.pull(ACKS, "answers", batch=batch)
        yield nats, bus, puller
        await puller.close()


async def put(bus: NatsBus, *bodies: bytes) -> None:
    items = [Outgoing(f"rollcall.v1.ack.ann.{body.decode()}", body, f"ack:{body!r}") for body in bodies]
    assert await bus.publish_batch(items, stream=ACKS) == []


async def take(puller: StandingPuller, count: int) -> list[Incoming]:
    """Take exactly so many, in as many pieces as they come."""
    taken: list[Incoming] = []
    with anyio.fail_after(20):
        while len(taken) < count:
            taken += await puller.take(count - len(taken), expires_s=5)
    return taken


async def settled(bus: NatsBus) -> None:
    """Wait until the work queue is empty."""

    async def empty() -> bool:
        return (await bus.backlog(ACKS)).count == 0

    await until(empty)


async def test_only_the_first_word_about_a_message_counts(tmp_path: Path) -> None:
    async with pulling(tmp_path) as (_, bus, puller):
        await put(bus, b"1")
        (message,) = await take(puller, 1)
        before = bus.client.pending_data_size
        message.ack()
        after = bus.client.pending_data_size
        message.nak()
        message.term()
        assert before < after == bus.client.pending_data_size
        await settled(bus)
        Incoming(subject="core", data=b"").ack()


async def test_take_waits_no_longer_than_asked_and_takes_no_more(tmp_path: Path) -> None:
    async with pulling(tmp_path) as (_, bus, puller):
        await put(bus, *(b"%d" % n for n in range(150)))
        assert len(await take(puller, 1)) == 1
        await until(lambda: len(puller._buffer) == 99)
        assert puller.pending() == 149  # 99 here, 50 there
        assert len(await puller.take(1_000, expires_s=5)) == 99
        assert len(await take(puller, 50)) == 50
        assert puller.pending() == 0
        with anyio.fail_after(5):
            assert await puller.take(10, expires_s=0.02) == []


async def test_the_connection_forgets_a_puller_that_was_closed(tmp_path: Path) -> None:
    async with ready(tmp_path) as (_, bus, _):
        puller = await bus.pull(ACKS, "answers", batch=100)
        assert len(bus.client.on_back) == 1
        await puller.close()
        assert bus.client.on_back == []


async def test_no_answer_is_doubt_and_not_a_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While JetStream restarts it answers nothing; a consumer that is there must not be called gone."""
    async with pulling(tmp_path) as (_, bus, puller):
        monkeypatch.setattr(module, "BACKOFF_S", 0.01)
        puller._on_status({"Status": "503"})
        subject = "$JS.API.CONSUMER.INFO.ROLLCALL_ACKS.answers"
        request, asked = bus.client.request, 0

        async def silent(asked_subject: str, *arguments: object, **options: object) -> object:
            nonlocal asked
            if asked_subject == subject:
                asked += 1
                raise TimeoutError
            return await request(asked_subject, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(bus.client, "request", silent)
        await put(bus, b"1")
        assert [message.data for message in await take(puller, 1)] == [b"1"]
        assert asked == 1


async def test_a_lost_request_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pulling(tmp_path) as (_, bus, puller):
        monkeypatch.setattr(module, "SILENCE_S", 0.05)
        monkeypatch.setattr(module, "BACKOFF_S", 0.01)
        post, asked = bus.client.post, 0

        def lossy(subject: str, payload: bytes, reply: str = "") -> None:
            nonlocal asked
            asked += 1
            if asked > 1:
                post(subject, payload, reply)

        monkeypatch.setattr(bus.client, "post", lossy)
        await put(bus, b"1")
        assert [message.data for message in await take(puller, 1)] == [b"1"]
        assert asked >= 2


async def test_an_expired_request_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPIRES_S", 0.1)
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.04)
    async with pulling(tmp_path) as (_, bus, puller):
        while puller._request < 2:
            assert await puller.take(1, expires_s=0.3) == []
        await put(bus, b"1")
        assert [message.data for message in await take(puller, 1)] == [b"1"]


async def test_a_refused_request_is_no_message(tmp_path: Path) -> None:
    async with ready(tmp_path) as (_, bus, _):
        config = {"durable_name": "small", "ack_policy": "explicit", "max_batch": 10}
        body = {"stream_name": "ROLLCALL_EVENTS", "config": config}
        await js_api(bus.client, "CONSUMER.DURABLE.CREATE.ROLLCALL_EVENTS.small", body)
        puller = await bus.pull("ROLLCALL_EVENTS", "small", batch=11)
        assert await puller.take(11, expires_s=0.1) == []
        assert puller._request == 1  # and the next one waits, so that this does not spin
        await puller.close()


async def test_the_end_of_an_older_request_is_not_the_end_of_this_one(tmp_path: Path) -> None:
    async with pulling(tmp_path) as (_, bus, puller):
        await puller.take(1, expires_s=0.01)
        await bus.publish(
            f"{puller._inbox}.99", b"", headers={"Status": "409", "Description": "Consumer Deleted"}
        )
        await bus.flush()
        assert await puller.take(1, expires_s=0.01) == []


async def test_closing_after_the_connection_is_no_fault(tmp_path: Path) -> None:
    async with ready(tmp_path) as (_, bus, _):
        puller = await bus.pull(ACKS, "answers", batch=1)
        await bus.drain()
        await puller.close()
        await StandingPuller(bus.client, ACKS, "answers", batch=1).close()


async def test_the_longer_form_of_a_reply_is_understood(tmp_path: Path) -> None:
    """Through a leaf node's domain, or with accounts, the reply subject has more tokens."""
    async with pulling(tmp_path) as (_, bus, puller):
        long = "$JS.ACK.hub.ACCOUNT.ROLLCALL_ACKS.answers.3.17.20.1700000000123456789.5.random"
        message, left = pulled(Msg(_client=bus.client, subject="x", reply=long), puller)
        assert (message.delivered, message.seq, message.at_us, left) == (3, 17, 1_700_000_000_123_456, 5)
        short = "$JS.ACK.ROLLCALL_ACKS.answers.3.17.20.1700000000123456789.5"
        message, left = pulled(Msg(_client=bus.client, subject="x", reply=short), puller)
        assert (message.delivered, message.seq, message.at_us, left) == (3, 17, 1_700_000_000_123_456, 5)
