"""Scenarios 4 and 9 with real processes and signals: who is silent and lives is not dead, nor robbed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.nats import NatsBus
from tests.support.nats import Server, connected, server
from tests.support.processes import running, up
from tests.system.truth import rows, until

CROWD = str(Path(__file__).with_name("crowd.py"))
AGENTS = 24
EACH = 8  # agents in one process
RUNNING = "SELECT name FROM agents WHERE pid > 0 AND status = 'ready' AND beat_at >= joined_at"
TTL_US = 3_000_000  # three beats of a second
SETTINGS: dict[str, object] = {"durability": "relaxed", "monitor.grace": "1s", "monitor.release": "1s"}


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[tuple[Server, NatsBus, dict[str, object]]]:
    """Run a bus of its own and `rollcall up` on it, with deaths that come soon."""
    async with server(folder / "bus") as nats, connected(nats.url) as bus:
        settings = SETTINGS | {"nats.url": nats.url}
        async with up(folder, settings):
            yield nats, bus, settings


async def ask(bus: NatsBus, subject: str, **body: object) -> dict[str, Any]:
    reply = await bus.request(f"rollcall.v1.cmd.{subject}.tester", msgspec.json.encode(body), timeout_s=10)
    assert "Nats-Service-Error-Code" not in reply.headers, reply.data
    found: dict[str, Any] = msgspec.json.decode(reply.data)
    return found


def statuses(folder: Path) -> dict[str, str]:
    return dict(rows(folder, "SELECT name, status FROM agents WHERE beats = 'required'"))


def leases(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder, "SELECT id, task_id, epoch, agent, status FROM assignments ORDER BY id")


def became(folder: Path, *of: str) -> list[str]:
    """Return what has been said to be so of agents: `suspect`, `dead`."""
    told = rows(folder, "SELECT CAST(data AS TEXT) FROM audit WHERE event = 'status_changed'")
    return [status for (text,) in told if (status := json.loads(text)["status"]) in of]


async def test_a_stopped_process_that_its_daemon_sees_keeps_its_work(tmp_path: Path) -> None:
    """It is stopped for longer than a TTL, the grace and the time until the dead lose their work."""
    async with house(tmp_path) as (_, bus, settings):
        await ask(bus, "monitor.agent-add", name="a0", beats="required")
        file = tmp_path / "daemon.json"
        agent = {"name": "a0", "command": [sys.executable, CROWD, "0", "1"], "stop": "1s"}
        file.write_bytes(msgspec.json.encode({"machine": {"name": "box", "beat": "1s"}, "agent": [agent]}))
        async with running("-m", "rollcall", "daemon", str(file), state=tmp_path, settings=settings) as box:
            await until(lambda: rows(tmp_path, RUNNING) == [("a0",)])
            await ask(bus, "assigner.task-add", title="ship it")
            await until(lambda: statuses(tmp_path) == {"a0": "working"})
            held, told = leases(tmp_path), became(tmp_path, "working")
            ((pid,),) = rows(tmp_path, "SELECT pid FROM agents WHERE name = 'a0'")
            os.kill(pid, signal.SIGSTOP)
            try:
                await until(lambda: statuses(tmp_path) == {"a0": "suspect"})
                looked = "SELECT 1 FROM agents WHERE name = 'a0' AND silent_at > suspect_at + ?"
                await until(lambda: bool(rows(tmp_path, looked, TTL_US)))
                assert (statuses(tmp_path), leases(tmp_path)) == ({"a0": "suspect"}, held)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(lambda: statuses(tmp_path) == {"a0": "working"})
            assert leases(tmp_path) == held
            assert (became(tmp_path, "dead"), len(became(tmp_path, "working"))) == ([], len(told) + 1)
            await box.stop()


@pytest.mark.parametrize("cut", ["killed", "stopped"])
async def test_a_bus_away_for_longer_than_a_ttl_makes_nobody_suspect(tmp_path: Path, cut: str) -> None:
    async with house(tmp_path) as (nats, bus, settings):
        for number in range(AGENTS):
            await ask(bus, "monitor.agent-add", name=f"a{number}", beats="required")

        def crowd(number: int) -> Any:
            return running(CROWD, str(number * EACH), str(EACH), state=tmp_path, settings=settings)

        async with crowd(0), crowd(1), crowd(2):
            await until(lambda: set(statuses(tmp_path).values()) == {"ready"})
            for number in range(AGENTS // 2):
                await ask(bus, "assigner.task-add", title=f"task {number}")
            await until(lambda: list(statuses(tmp_path).values()).count("working") == AGENTS // 2)
            before, held = statuses(tmp_path), leases(tmp_path)
            await away(tmp_path, nats, cut)
            ((back_at,),) = rows(tmp_path, "SELECT max(alive_at, vitals_at) FROM processes")
            heard = "SELECT count(*) FROM agents WHERE beats = 'required' AND beat_at > ?"
            await until(lambda: rows(tmp_path, heard, back_at) == [(AGENTS,)])
            # by then each was heard again, whoever is judged wrongly was judged
            await until(lambda: rows(tmp_path, heard, back_at + TTL_US) == [(AGENTS,)])
            assert became(tmp_path, "suspect", "dead") == []
            assert (statuses(tmp_path), leases(tmp_path)) == (before, held)


async def away(folder: Path, nats: Server, cut: str) -> None:
    """Take the bus away until the process knows it to be away for longer than a TTL, and give it back."""
    since = "SELECT 1 FROM processes WHERE max(alive_at, vitals_at) > bus_ok_at + ?"
    if cut == "killed":
        await nats.kill()
    else:
        send(nats, signal.SIGSTOP)
    try:
        await until(lambda: bool(rows(folder, since, TTL_US + 2_000_000)))
    finally:
        if cut == "killed":
            await nats.start()
        else:
            send(nats, signal.SIGCONT)


def send(nats: Server, number: int) -> None:
    assert nats.pid is not None
    os.kill(nats.pid, number)
