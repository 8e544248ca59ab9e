"""The bus as actors see it: core messages, requests, and what is said when it is away."""

from pathlib import Path

import anyio
import pytest

from bus.api import (
    BusError,
    BusTimeout,
    NoResponders,
    Unsendable,
)
from bus.nats import NatsBus, micros
from tests.support.nats import connected, server


async def test_what_can_never_be_sent_is_told_from_what_may_pass_later(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        with pytest.raises(Unsendable):
            await bus.publish("x", b"x" * (bus.client.max_payload + 1))
        with pytest.raises(Unsendable):
            await bus.publish("x", b"x" * (bus.client.max_payload - 10), headers={"key": "value"})
        with pytest.raises(Unsendable):
            await bus.publish("a b", b"")
        assert await bus.rtt() < 5
        assert bus.client.stats["reconnects"] == 0


async def test_draining_without_a_server_does_not_wait(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        bus, lost = await NatsBus.open(nats.url, name="test"), anyio.Event()
        bus.client.on_lost.append(lost.set)
        await nats.kill()
        with anyio.fail_after(10):
            await lost.wait()
            await bus.publish("x", b"1")
            await bus.drain()
        assert bus.client.is_closed


def test_an_error_says_its_kind_and_its_detail() -> None:
    assert str(BusError()) == "The bus refused or failed."
    assert str(NoResponders("cmd")) == "Nobody answers on this subject. (cmd)"
    assert issubclass(BusTimeout, TimeoutError)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("2026-11-21T05:35:53.123456789Z", 1_795_239_353_123_456),
    ],
)
def test_timestamps_are_read_to_the_microsecond(timestamp: str, expected: int) -> None:
    assert micros(timestamp) == expected
