"""The watchers of the house as real processes: one is stopped, one is killed, and somebody says so."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bus.api import Incoming
from tests.support.nats import connected, server
from tests.support.processes import Program, running, start
from tests.system.truth import rows, until


class Receiver(ThreadingHTTPServer):
    """The address outside: counts who calls."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.calls += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    with Receiver() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


def alarms(state: Path) -> list[str]:
    return [name for (name,) in rows(state, "SELECT name FROM alarms ORDER BY name")]


async def doctor(state: Path, settings: dict[str, object]) -> tuple[int, dict[str, Any]]:
    program = await start("-m", "rollcall", "doctor", "-o", "json", state=state, settings=settings)
    code = await program.ended()
    return code, {row["name"]: row for row in json.loads("".join(program.said))}


async def test_whoever_stops_is_noticed_by_who_is_left_and_outside(tmp_path: Path) -> None:
    """A pinger is stopped, and the monitor says so; a monitor is killed, and the pinger does."""
    heard: list[str] = []

    def on_event(message: Incoming) -> None:
        heard.append(".".join(message.subject.split(".")[-2:]))

    async with receiving() as outside, server(tmp_path / "bus") as nats, connected(nats.url) as bus:
        await bus.subscribe("rollcall.v1.evt.system.*.*", on_event)
        await bus.flush()
        state = tmp_path / "state"
        settings: dict[str, object] = {
            "nats.url": nats.url,
            "services.expected": "monitor,pinger",
            "watch.deadman_url": f"http://127.0.0.1:{outside.server_port}/ping",
            "watch.deadman_every": "100ms",
        }

        def run(name: str) -> Any:
            return running("-m", "rollcall", "run", name, state=state, settings=settings)

        async with run("monitor") as monitor, run("pinger") as pinger:
            await until(lambda: outside.calls > 0)
            assert (await doctor(state, settings))[0] == 0
            await settled(state, monitor)
            pinger.process.send_signal(signal.SIGSTOP)
            await until(lambda: alarms(state) == ["pinger"])
            calls = outside.calls
            code, found = await doctor(state, settings)
            assert (code, found["pinger"]["fix"]) == (1, "rollcall run pinger")
            await until(lambda: "pinger.alarm_raised" in heard)
            assert outside.calls - calls <= 1  # the one that was on its way
            pinger.process.send_signal(signal.SIGCONT)
            await until(lambda: not alarms(state) and "pinger.alarm_over" in heard)
            await until(lambda: outside.calls > calls + 1)
            monitor.process.kill()
            await monitor.ended()
            calls = outside.calls
            await until(lambda: alarms(state) == ["monitor"])
            code, found = await doctor(state, settings)
            assert (code, found["monitor"]["fix"]) == (1, "rollcall run monitor")
            assert outside.calls == calls

        async def nothing_runs() -> bool:
            code, found = await doctor(state, settings)
            return code == 1 and "services" in found and found["services"]["fix"] == "rollcall up"

        await until(nothing_runs)
    assert heard.count("pinger.alarm_raised") == 1


async def settled(state: Path, program: Program) -> None:
    """Wait until a watcher has lived long enough to miss anybody."""
    sql = "SELECT max(alive_at) - max(started_at) FROM processes WHERE id LIKE ?"
    await until(lambda: rows(state, sql, f"{program.process.pid}-%")[0][0] > 11_000_000)
