"""Three agents, in bash, Python and JavaScript, live from joining to leaving with the real services."""

import sys
from pathlib import Path

import anyio

from rollcall.demo.node import node
from tests.examples.test_agents import EXAMPLES, NODE_MODULES
from tests.examples.upright import Upright, upright
from tests.support.fetched import fetched
from tests.support.nats import until

LINES_MAX = 60
COMMANDS = {
    "shelly": ("bash", str(EXAMPLES / "life.sh")),
    "pythia": (sys.executable, str(EXAMPLES / "life.py")),
    "jason": (str(node()), str(EXAMPLES / "js/life.js")),
}
LIFE = ["assigned", "acknowledged", "progressed", "waiting", "resumed", "progressed", "completed"]


def told(up: Upright, agent: str) -> list[str]:
    """Return what was told of an agent's assignments, in its order."""
    ours = (event for event in up.events if event["aggregate"] == "assignment")
    return [event["event"] for event in ours if event["data"].get("agent") == agent]


def test_sixty_lines_are_enough() -> None:
    assert len((EXAMPLES / "life.sh").read_text("utf-8").splitlines()) <= LINES_MAX


async def test_they_live_from_joining_to_leaving(tmp_path: Path) -> None:
    fetched(NODE_MODULES)
    async with upright(tmp_path) as up:
        for name in COMMANDS:
            beats = "none" if name == "shelly" else "required"
            await up.ask("monitor.agent-add", name=name, capabilities=[name], beats=beats)
        door = anyio.Path(up.folder / "state/agents/shelly.sock")
        await until(door.exists)
        # bash knows no bus: it has its door and nothing else
        env = {"shelly": up.env | {"ROLLCALL_SOCKET": str(door), "NATS_URL": "nats://127.0.0.1:1"}}
        for name, command in COMMANDS.items():
            own = env.get(name) or await up.admit(name)
            await up.processes.start(name, command, own | {"PAUSE_S": "0.2"})
        await up.said("joined", *COMMANDS)
        for name in COMMANDS:  # sooner, and the main agent would have it
            await up.ask("assigner.task-add", title=f"For {name}", capabilities=[name])
        await up.said("left", *COMMANDS)
        for name in COMMANDS:
            assert await up.processes._running[name].wait() == 0, up.processes.tail(name)
            assert told(up, name) == LIFE, name
