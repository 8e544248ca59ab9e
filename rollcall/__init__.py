"""The front door: commands, configuration, wiring, and the client for agents."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollcall.client import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> object:
    """Import the client when it is asked for: the command line starts without it."""
    if name == "Agent":
        from rollcall.client import Agent

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
