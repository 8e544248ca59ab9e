"""What clients asked, and what they were told: the only witness that owes the system nothing."""

from typing import Any, Literal

from msgspec import Struct

Told = Literal["ok", "refused", "stored", "unknown"]
"""ok and refused: by a reply after the commit. stored: the bus has it. unknown: it may have happened."""


class Said(Struct, kw_only=True):
    """One try of one command."""

    client: str
    kind: str
    command_id: str
    target: int  # the assignment or task
    asked_at: int  # microseconds, by the simulator's clock
    told: Told = "unknown"
    told_at: int = 0
    stored_at: int = 0  # when the bus stored it
    seq: int = 0
    reply: bytes = b""
    body: dict[str, Any] = {}


class History:
    """Every try of every client, in the order of asking."""

    def __init__(self) -> None:
        """Begin empty."""
        self.said: list[Said] = []

    def ask(self, said: Said) -> Said:
        """Note that something is asked."""
        self.said.append(said)
        return said

    def tries(self) -> dict[tuple[str, str], list[Said]]:
        """Return the tries of each command."""
        found: dict[tuple[str, str], list[Said]] = {}
        for said in self.said:
            found.setdefault((said.client, said.command_id), []).append(said)
        return found
