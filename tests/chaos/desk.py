"""The operators: they register agents, keep work coming, cancel and reassign some, and ask again at last."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final

from nats.aio.client import Client as Nats

from tests.chaos.client import Client
from tests.chaos.history import Entry, History

LOOK_S: Final = 0.25
IMPORT_MAX: Final = 25
CANCEL_SHARE: Final = 0.03
ASSIGN_SHARE: Final = 0.03
RECENT: Final = 200
AGAIN_AT_ONCE: Final = 32


class Desk(Client):
    """One operator."""

    def __init__(self, bus: Nats, history: History, name: str, rng: Random, *, store: Path) -> None:
        super().__init__(bus, history, name, rng)
        self.store = store
        self._recent: deque[int] = deque(maxlen=RECENT)

    async def ask(self, verb: str, **body: object) -> Entry:
        """Ask as an operator."""
        service, _, name = verb.partition(".")
        body["command_id"] = self.command_id()
        return await self.say(name, "request", f"cmd.{service}.{name}.{self.name}", body)

    async def register(self, names: Sequence[str], capacity: int) -> None:
        """Make the agents known."""
        for name in names:
            await self.ask("monitor.agent-add", name=name, beats="none", capacity=capacity)

    async def keep_busy(self, tasks_open: int, agents: Sequence[str]) -> None:
        """Add tasks whenever fewer than so many are open, until cancelled."""
        while True:
            missing = tasks_open - await self.open_tasks()
            if missing > 0:
                tasks = [{"title": f"task of {self.name}"}] * min(missing, IMPORT_MAX)
                entry = await self.ask("assigner.task-import", tasks=tasks)
                self._recent.extend(json.loads(entry.value)["created"])
            else:
                await asyncio.sleep(LOOK_S)
            await self._meddle(agents)

    async def _meddle(self, agents: Sequence[str]) -> None:
        for task in list(self._recent)[-IMPORT_MAX:]:
            if self.rng.random() < CANCEL_SHARE / 4:
                await self.ask("assigner.task-cancel", task=task, reason="no longer needed")
            if self.rng.random() < ASSIGN_SHARE / 4:
                await self.ask("assigner.task-assign", task=task, agent=self.rng.choice(agents))

    async def open_tasks(self) -> int:
        """Count what is not ended, in the file."""
        return await asyncio.to_thread(count, self.store, "tasks WHERE status IN ('todo', 'in_progress')")

    async def repeat(self, entries: Sequence[Entry], most: int) -> int:
        """Send commands of others again, a sample of them; return how many."""
        bodies = {(entry.process, entry.command): entry for entry in entries if entry.type == "invoke"}
        asked = [
            entry
            for entry in bodies.values()
            if entry.door == "request" and entry.command and entry.op != "junk"
        ]
        chosen = self.rng.sample(asked, min(most, len(asked)))
        gate = asyncio.Semaphore(AGAIN_AT_ONCE)

        async def again(entry: Entry) -> None:
            async with gate:
                client = Client(self.bus, self.history, entry.process, self.rng)
                subject = entry.key.split(".", 2)[2]
                await client.say(entry.op, "request", subject, json.loads(entry.value))

        await asyncio.gather(*map(again, chosen))
        return len(chosen)


def count(store: Path, what: str) -> int:
    """Count rows with other eyes than the store's own."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as file:
        found: Any = file.execute(f"SELECT count(*) FROM {what}").fetchone()
        return int(found[0])
