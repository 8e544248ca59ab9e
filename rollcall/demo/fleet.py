"""Who takes part: eight agents, what they are capable of, and how each is started."""

import sys
from pathlib import Path

from msgspec import Struct

from rollcall.demo.node import node


class Player(Struct, frozen=True, kw_only=True):
    """One agent of the demonstration."""

    name: str
    about: str
    command: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    capacity: int = 3
    beats: str = "required"
    more: tuple[str, ...] = ()  # what it is told beside its name
    finishes: bool = True  # else what it is given has to reach the main agent


def fleet(examples: Path, main_agent: str, thinks_s: float) -> list[Player]:
    """Return the players that can run here; the main agent thinks so long before its first answer."""

    def ours(name: str) -> tuple[str, ...]:
        return sys.executable, str(examples / f"{name}.py")

    return [
        Player(
            name="builder",
            about="our client: diligent.py",
            command=ours("diligent"),
            capabilities=("backend", "cli", "schema", "database", "ml"),
        ),
        Player(
            name="bare",
            about="nats-py and nothing of ours: bare_nats.py",
            command=ours("bare_nats"),
            capabilities=("backend", "database", "worker"),
            beats="none",
        ),
        *_javascript(examples),
        Player(
            name="bash",
            about="`rollcall` verbs in a shell: agent.sh",
            command=("bash", str(examples / "agent.sh")),
            capabilities=("testing", "operations"),
            beats="none",
        ),
        Player(
            name="snoozer",
            about="puts everything off once: snoozer.py",
            command=ours("snoozer"),
            capabilities=("backend", "registry", "policy"),
        ),
        Player(
            name="dies",
            about="accepts, and is killed: dies.py",
            command=ours("dies"),
            capabilities=("cli", "daemon"),
            capacity=1,
            finishes=False,
        ),
        Player(
            name="silent",
            about="is there, and never answers: silent.py",
            command=ours("silent"),
            capabilities=("frontend",),
            capacity=2,
            finishes=False,
        ),
        Player(
            name=main_agent,
            about="the main agent, who gets what others left: ruto.py",
            command=ours("ruto"),
            more=(f"{thinks_s:g}",),
        ),
    ]


def _javascript(examples: Path) -> list[Player]:
    program = node()
    if program is None or not (examples / "js/node_modules").is_dir():
        return []
    return [
        Player(
            name="js",
            about="the official npm client and nothing of ours: agent.js",
            command=(program, str(examples / "js/agent.js")),
            capabilities=("backend", "cli", "schema"),
        )
    ]
