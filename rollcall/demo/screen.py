"""What the audience sees: a line for each turn of the story."""

import asyncio
import sys
import time
from typing import Any, Final

import click
import msgspec

from rollcall.cli.text import clean, colorful, cut

_WORDS: Final[dict[str, tuple[str, str, str]]] = {  # what: mark, color, legend
    "assigned": ("→", "cyan", "given to an agent"),
    "asked": ("?", "yellow", "pinged again: it still owes an answer"),
    "accepted": ("✓", "green", "acknowledged"),
    "snoozed": ("z", "magenta", "put off"),
    "back": ("↩", "yellow", "given back"),
    "silent": ("!", "red", "a clock ran out without an answer"),
    "escalated": ("⇑", "red", "taken to the main agent"),
    "done": ("■", "bright_green", "finished"),
}
_EVENTS: Final = {
    "acknowledged": "accepted",
    "snoozed": "snoozed",
    "declined": "back",
    "released": "back",
    "timed_out": "silent",
    "completed": "done",
}
_TITLE_CELLS: Final = 58


class Screen:
    """Turns events into lines."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.done = 0
        self._began = time.monotonic()
        self._color = colorful()
        self.all_done = asyncio.Event()
        self._names: dict[int, tuple[str, str]] = {}  # of each task its key and title
        self._early: list[bytes] = []  # events that came before the names

    def say(self, text: str = "") -> None:
        """Print one line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def legend(self) -> None:
        """Say what the marks mean."""
        for what, (mark, color, text) in _WORDS.items():
            self.say(f"  {self._paint(f'{mark} {what:<10}', color)} {text}")
        self.say()

    def begin(self, names: dict[int, tuple[str, str]]) -> None:
        """Start the clock of the play, with the names of its tasks."""
        self._names = names
        self._began = time.monotonic()
        early, self._early = self._early, []
        for data in early:
            self.event(data)

    def event(self, data: bytes) -> None:
        """Show an event, if it is part of the story."""
        if not self._names:
            self._early.append(data)
            return
        body: dict[str, Any] = msgspec.json.decode(data)
        more: dict[str, Any] = body.get("data") or {}
        task = int(body["id"]) if body["aggregate"] == "task" else int(more.get("task") or 0)
        if body["aggregate"] != "assignment" or task not in self._names:
            return
        agent = str(more.get("agent", ""))
        match body["event"]:
            case "assigned":
                title = cut(clean(self._names[task][1]), _TITLE_CELLS)
                if more.get("level"):
                    self._line("escalated", task, agent, "now it is asked")
                else:
                    self._line("assigned", task, agent, title)
            case "completed":
                self.done += 1
                self._line("done", task, agent, f"{self.done} of {self.tasks}")
                if self.done == self.tasks:
                    self.all_done.set()
            case event if event in _EVENTS:
                self._line(_EVENTS[event], task, agent, clean(str(more.get("note") or more.get("why") or "")))
            case _:
                pass

    def ping(self, data: bytes) -> None:
        """Show a ping, if it is not the first."""
        body: dict[str, Any] = msgspec.json.decode(data)
        if body.get("kind") == "ping" and body["attempt"] > 1 and body["task"] in self._names:
            self._line("asked", int(body["task"]), "", f"attempt {body['attempt']}")

    def _line(self, what: str, task: int, agent: str, text: str) -> None:
        mark, color, _ = _WORDS[what]
        head = self._paint(f"{mark} {what:<10}", color)
        since = time.monotonic() - self._began
        self.say(f"  {since:5.1f} s  {head} {self._names[task][0]:<8} {agent:<8} {text}".rstrip())

    def _paint(self, text: str, color: str) -> str:
        return click.style(text, fg=color) if self._color else text
