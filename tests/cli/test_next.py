"""`rollcall next`: what is owed now, else wait until something is."""

import asyncio
import json

import pytest

from contracts.errors import NotFoundError
from rollcall.cli import waiting
from tests.cli.conftest import SILENCE, Bus, Command
from tests.support.nats import until

LEASE = {
    "assignment": 5,
    "task": 7,
    "title": "Write it",
    "epoch": 1,
    "status": "pending",
    "accept_by": None,
    "progress_by": None,
    "snooze_until": None,
    "ping": {"kind": "ping", "description": "All of it", "escalated_from": "bob"},
}
DUE = {"status": "due", "lease": LEASE, "retry": True}
NONE = {"status": "none", "lease": None, "retry": True}


async def test_what_is_due_is_shown_at_once(ann: Command, bus: Bus) -> None:
    bus.answer("next", DUE)
    for verb in ("next", "wait-for-task", "get-next-task"):
        done = await ann(verb)
        assert done.exit_code == 0
        assert "assignment      5" in done.stdout
        assert "description     All of it" in done.stdout
        assert "escalated_from  bob" in done.stdout
        assert done.stderr == "next: rollcall ack 5   (or: rollcall decline 5)\n"
    assert json.loads((await ann("next", "-o", "json")).stdout) == DUE


async def test_an_accepted_lease_wants_progress(ann: Command, bus: Bus) -> None:
    bus.answer("next", DUE | {"lease": LEASE | {"status": "acknowledged", "ping": None}})
    assert "rollcall progress 5" in (await ann("next")).stderr


async def test_nothing_came_in_time(ann: Command, bus: Bus) -> None:
    bus.answer("next", NONE)
    done = await ann("next", "--wait", "0.05", "-o", "jsonl")
    assert (done.exit_code, json.loads(done.stdout)) == (3, NONE)
    assert done.stderr == "next: rollcall next\n"
    assert (await ann("next", "--wait", "0")).stdout == "nothing yet\n"


async def test_a_ping_ends_the_wait(ann: Command, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ASK_AGAIN_S", 1_000)
    bus.answer("next", NONE, DUE)
    asking = asyncio.create_task(ann("next", "--wait", "30"))
    await until(lambda: len(bus.asked) == 1)
    await bus.client.publish("rollcall.v1.ping.bob.5", b"{}")  # somebody else's
    await bus.client.publish("rollcall.v1.ping.ann.5", b"{}")
    async with asyncio.timeout(15):  # at the end of the wait it would ask once more
        done = await asking
    assert done.exit_code == 0
    assert len(bus.asked) == 2


async def test_a_ping_that_was_missed_is_found_by_asking_again(
    ann: Command, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ASK_AGAIN_S", 0.02)
    bus.answer("next", NONE, NONE, DUE)
    assert (await ann("next", "--wait", "30")).exit_code == 0
    assert len(bus.asked) == 3


async def test_a_service_that_restarts_does_not_end_the_wait(ann: Command, bus: Bus) -> None:
    bus.answer("next", NONE, SILENCE, DUE)
    asking = asyncio.create_task(ann("next", "--wait", "30"))
    await until(lambda: len(bus.asked) == 1)
    await bus.client.publish("rollcall.v1.ping.ann.5", b"{}")
    await until(lambda: len(bus.asked) == 2)
    await bus.client.publish("rollcall.v1.ping.ann.5", b"{}")
    assert (await asking).exit_code == 0


async def test_a_service_that_is_gone_does_not_end_the_wait(ann: Command, bus: Bus) -> None:
    bus.answer("next", NONE)
    asking = asyncio.create_task(ann("next", "--wait", "0.5"))
    await until(lambda: len(bus.asked) == 1)
    await bus.client.drain()
    assert (await asking).exit_code == 3


@pytest.mark.parametrize("first", [NONE, None], ids=["answered", "unanswered"])
async def test_a_server_that_is_killed_does_not_end_the_wait(ann: Command, bus: Bus, first: object) -> None:
    """It is back only after a second: three tries are over by then, and may have had no answer."""
    bus.answer("next", first, DUE)
    asking = asyncio.create_task(ann("next", "--wait", "30", "--timeout", "0.3"))
    await until(lambda: len(bus.asked) >= 1)
    await bus.server.kill()
    await bus.server.start()
    await bus.back.wait()
    while not asking.done():  # whether the command is back too is not to be seen: ring until it hears
        await bus.client.publish("rollcall.v1.ping.ann.5", b"{}")
        await bus.client.flush()
    assert (await asking).exit_code == 0


async def test_a_silent_service_ends_the_command(ann: Command, bus: Bus) -> None:
    bus.answer("next", None)
    done = await ann("next", "--timeout", "0.05")
    assert done.exit_code == 69
    await until(lambda: len(bus.asked) == 3)


async def test_a_refusal_ends_the_command(ann: Command, bus: Bus) -> None:
    bus.answer("next", NotFoundError())
    assert (await ann("next")).exit_code == 6


async def test_nobody_answers_at_all(ann: Command, bus: Bus) -> None:
    await bus.client.close()
    assert (await ann("next")).exit_code == 69
