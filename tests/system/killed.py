"""Runs `rollcall up`, and kills at the n-th call of one function: a crash at a chosen point.

python killed.py [MODULE:FUNCTION before|after N self|server start|ready [ARGUMENT]]

`self` is this process, `server` its nats-server. Calls count from the start or from readiness on; with an
argument only those that are given it. Without a point nobody is killed. What a killed process had taken from
the bus comes back after a second: a test has no half minute to wait.
"""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from rollcall.settings import Settings


class Killer:
    """Counts calls, and kills at the right one."""

    def __init__(self, nth: int, victim: str, since: str, argument: str | None) -> None:
        self.left = nth
        self.victim = victim
        self.armed = since == "start"
        self.argument = argument

    def is_due(self, arguments: tuple[object, ...]) -> bool:
        """Count a call; tell whether it is the one."""
        if not self.armed or (self.argument is not None and self.argument not in map(str, arguments)):
            return False
        self.left -= 1
        return self.left == 0

    def kill(self) -> None:
        if self.victim == "self":
            os.kill(os.getpid(), signal.SIGKILL)
        (ports,) = Path(os.environ["ROLLCALL_STATE_DIR"]).glob("nats-server_*.ports")
        os.kill(int(ports.stem.partition("_")[2]), signal.SIGKILL)


def plant(killer: Killer, target: str, when: str) -> None:
    """Put the killer before or after the function."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, import_module(module))
    sound: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(sound)
    async def awaited(*args: Any, **named: Any) -> Any:
        due = killer.is_due(args)
        if due and when == "before":
            killer.kill()
        result = await sound(*args, **named)
        if due and when == "after":
            killer.kill()
        return result

    @functools.wraps(sound)
    def called(*args: Any, **named: Any) -> Any:
        due = killer.is_due(args)
        if due and when == "before":
            killer.kill()
        result = sound(*args, **named)
        if due and when == "after":
            killer.kill()
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(sound) else called)


def arm_when_ready(killer: Killer) -> None:
    from rollcall import up

    say_ready = up._say_ready

    def say(url: str, settings: Settings) -> None:
        say_ready(url, settings)
        killer.armed = True

    up._say_ready = say


def redeliver_soon() -> None:
    from bus import streams

    usual = streams.topology

    def topology(root: str = "rollcall.v1") -> streams.Topology:
        found = usual(root)
        for durable in found.durables:
            durable.config["ack_wait"] = streams.SECOND
        return found

    streams.topology = topology


def main() -> None:
    if sys.argv[1:]:
        target, when, nth, victim, since, *argument = sys.argv[1:]
        killer = Killer(int(nth), victim, since, argument[0] if argument else None)
        arm_when_ready(killer)
        plant(killer, target, when)
    redeliver_soon()
    sys.argv = ["rollcall", "up"]
    from rollcall.__main__ import main as rollcall

    rollcall()


if __name__ == "__main__":
    main()
