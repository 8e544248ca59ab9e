"""The agents in the README run as they stand there."""

import re
import sys
from pathlib import Path

import pytest

from rollcall.demo.node import node
from tests.client.house import lease
from tests.examples.test_agents import EXAMPLES, NODE_MODULES, ROOT, needs_node, playing

NAMES = ("agent.js", "agent.sh", "bare_nats.py", "client.py")
LINES_MAX = 10


def snippet(name: str) -> str:
    """Return a snippet as the README shows it; before it does, from the file it will be taken from."""
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else ""
    found = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    return found[1] if found and found[1].strip() else (EXAMPLES / f"readme/{name}.txt").read_text("utf-8")


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


@needs_node
async def test_javascript(tmp_path: Path) -> None:
    (tmp_path / "agent.mjs").write_text(snippet("agent.js"), "utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    async with playing(tmp_path, "js", [str(node()), tmp_path / "agent.mjs"]) as stage:
        await stage.ask(1)
        await stage.heard(1, "ack", "complete")


async def test_bash(tmp_path: Path) -> None:
    async with playing(tmp_path, "bash", ["bash", "-c", snippet("agent.sh")]) as stage:
        stage.house.results["next"] = {"status": "due", "lease": lease(1)}
        await stage.house.until(lambda: stage.said(1)[:3] == ["ack", "progress", "complete"])
