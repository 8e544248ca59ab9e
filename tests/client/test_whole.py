"""The client with the real services: every answer, and the death of everything at once."""

import asyncio
from pathlib import Path

import pytest

from rollcall import Agent
from rollcall.client import Refused
from tests.examples.upright import upright


async def test_the_whole_circle(tmp_path: Path) -> None:
    async with upright(tmp_path) as up:
        await up.ask("monitor.agent-add", name="builder", capacity=2)
        creds = (await up.admit("builder"))["NATS_CREDS"]
        async with Agent("builder", url=up.url, creds=creds, interval_s=1) as me:
            task = (await up.ask("assigner.task-add", title="Wash up"))["task"]
            ping = await anext(aiter(me.pings()))
            assert (ping.task, ping.title, ping.attempt, ping.status) == (task, "Wash up", 1, "pending")
            outcomes = [
                (await ping.ack(outcome=True)).outcome,
                (await ping.progress("half", outcome=True)).outcome,
                (await ping.wait("human", "the boss", outcome=True)).outcome,
                (await ping.resume(outcome=True)).outcome,
                (await ping.snooze(5, outcome=True)).outcome,
                (await ping.unsnooze(outcome=True)).outcome,
            ]
            statuses = [found.status for found in outcomes if found and found.accepted]
            assert statuses == ["acknowledged"] * 2 + ["waiting", "acknowledged", "snoozed", "acknowledged"]
            assert await me.next() is None
            held = await me.sync()
            assert [lease.assignment for lease in held.leases] == [ping.assignment]
            assert not ping.ended
            receipt = await ping.complete("clean")
            await up.happened("completed")
            with pytest.raises(Refused):
                await ping.progress("more", outcome=True)
            again = await ping.complete("clean", outcome=True, command_id=receipt.command_id)
            assert again.outcome
            assert again.outcome.status == "completed"


async def test_a_superseded_agent_is_told_to_stop(tmp_path: Path) -> None:
    async with upright(tmp_path) as up:
        await up.ask("monitor.agent-add", name="builder", beats="none")
        creds = (await up.admit("builder"))["NATS_CREDS"]
        async with Agent("builder", url=up.url, creds=creds) as me:
            await up.ask("assigner.task-add", title="Wash up")
            ping = await anext(aiter(me.pings()))
            await up.ask("monitor.agent-add", name="ann", beats="none")
            offered = await ping.handoff("ann")
            assert offered.agent == "ann"
            with pytest.raises(Refused, match="superseded"):
                await ping.ack(outcome=True)
            await up.ask("assigner.task-add", title="Another")  # assigned after: the stop has come by then
            other = await anext(aiter(me.pings()))
            assert other.assignment != ping.assignment
            assert ping.ended


async def test_everything_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with upright(tmp_path) as up:
        await up.ask("monitor.agent-add", name="builder", capacity=3)
        creds = (await up.admit("builder"))["NATS_CREDS"]
        async with Agent("builder", url=up.url, creds=creds, interval_s=1) as me:
            pings = aiter(me.pings())
            await up.ask("assigner.task-add", title="First")
            first = await anext(pings)
            await first.ack(outcome=True)
            await up.kill()
            answer = asyncio.create_task(first.complete("done while all was down"))
            await up.start()
            stored = await answer
            decided = await first.complete(
                "done while all was down", outcome=True, command_id=stored.command_id
            )
            assert decided.outcome
            assert decided.outcome.status == "completed"
            await up.ask("assigner.task-add", title="Second")
            second = await anext(pings)
            assert second.title == "Second"
            receipt = await second.complete(outcome=True)
            assert receipt.outcome
            assert receipt.outcome.status == "completed"
