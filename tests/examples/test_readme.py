"""The agents in the README run as they stand there."""

import re
import sys
from pathlib import Path

import pytest

from rollcall.demo.node import node
from tests.client.house import lease
from tests.examples.test_agents import NODE_MODULES, ROOT, playing
from tests.examples.upright import upright
from tests.support.fetched import fetched

NAMES = ("agent.js", "agent.sh", "bare_nats.py", "client.py")
LINES_MAX = 10


def snippet(name: str) -> str:
    """Return a snippet as the README shows it."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize("name", NAMES)
def test_ten_lines_are_enough(name: str) -> None:
    lines = [line for line in snippet(name).splitlines() if line.strip()]
    assert len(lines) <= LINES_MAX


async def test_bare_nats(tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(snippet("bare_nats.py"), "utf-8")
    async with playing(tmp_path, "bare", [sys.executable, program]) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "complete")


async def test_our_client(tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(snippet("client.py"), "utf-8")
    async with playing(tmp_path, "builder", [sys.executable, program]) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "progress", "complete")


async def test_javascript(tmp_path: Path) -> None:
    (tmp_path / "agent.mjs").write_text(snippet("agent.js"), "utf-8")
    (tmp_path / "node_modules").symlink_to(fetched(NODE_MODULES))
    async with playing(tmp_path, "js", [str(node()), tmp_path / "agent.mjs"]) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "complete")


async def test_bash(tmp_path: Path) -> None:
    async with playing(tmp_path, "bash", ["bash", "-c", snippet("agent.sh")]) as stage:
        stage.house.results["next"] = {"status": "due", "lease": lease(1)}
        await stage.house.until(lambda: stage.said(1)[:3] == ["ack", "progress", "complete"])


COMMANDS = {
    "builder": ("client.py", "py", [sys.executable]),
    "bare": ("bare_nats.py", "py", [sys.executable]),
    "bash": ("agent.sh", "sh", ["bash"]),
    "js": ("agent.js", "mjs", [str(node())]),
}


async def test_all_of_them_with_the_real_services(tmp_path: Path) -> None:
    async with upright(tmp_path, scale=0.01) as up:  # who was not listening yet is asked again in 3 s
        for name in COMMANDS:
            await up.ask("monitor.agent-add", name=name, capabilities=[name], beats="none")
        (tmp_path / "node_modules").symlink_to(fetched(NODE_MODULES))
        for name, (source, ending, program) in COMMANDS.items():
            path = tmp_path / f"{name}.{ending}"
            path.write_text(snippet(source), "utf-8")
            await up.processes.start(name, (*program, str(path)), await up.admit(name))
        for name in COMMANDS:
            await up.ask("assigner.task-add", title=f"For {name}", capabilities=[name])
        await up.happened("completed", len(COMMANDS))
